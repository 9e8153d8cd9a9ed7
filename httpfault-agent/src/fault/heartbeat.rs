//! The heartbeat: while it beats the kernel steers; when the agent is stopped, wedged or starved, it stops by itself
//! and so does the steering.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use httpfault_responder::Stats;
use tokio::{sync::Notify, task::JoinHandle, time::MissedTickBehavior};

use crate::{clock::monotonic_ns, datapath::Datapath};

/// How long the kernel steers without a beat. Traffic is back within 3 s of a SIGSTOP.
const LEASE: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_millis(250);

/// A beating heart; it stops when it is dropped.
pub(super) struct Heartbeat(JoinHandle<()>);

impl Heartbeat {
    /// The first beat is done when this returns. A beat that comes too late, when the kernel has given the traffic back
    /// already, is not done: `lapsed` is notified, and the fault is over.
    pub(super) fn start(
        datapath: Arc<Mutex<Datapath>>,
        stats: Arc<Stats>,
        lapsed: Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let mut alive_until = beat(&datapath, &stats)?;
        Ok(Self(tokio::spawn(async move {
            let mut beats = tokio::time::interval(BEAT);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beats.tick().await;
                if monotonic_ns() >= alive_until {
                    break;
                }
                match beat(&datapath, &stats) {
                    Ok(until) => alive_until = until,
                    Err(why) => {
                        log::error!("{why:#}");
                        break;
                    }
                }
            }
            lapsed.notify_one();
        })))
    }

    pub(super) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Renews the lease, unless the responder has no room: then new connections are the application's for the moment.
fn beat(datapath: &Mutex<Datapath>, stats: &Stats) -> anyhow::Result<u64> {
    let until = monotonic_ns() + u64::try_from(LEASE.as_nanos())?;
    let mut datapath = datapath.lock().unwrap_or_else(PoisonError::into_inner);
    datapath.print_log();
    datapath.renew(if stats.saturated() { 0 } else { until })?;
    Ok(until)
}
