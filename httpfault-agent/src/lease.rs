//! The leases: while one is renewed the kernel steers; when the agent is stopped, wedged or starved, it runs out by
//! itself and so does the steering.
//!
//! One thread renews them all and does nothing else, so that neither a busy runtime nor the injection of other targets
//! delays it. A lease holds for a time from the last progress of those without whom the fault can't be: the agent's own
//! runtime, and the responder.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use httpfault_responder::Stats;
use tokio::{sync::Notify, task::AbortHandle};

use crate::{clock::boot_ns, datapath::LeaseWords, signs::Signs};

/// How long the kernel steers without progress. Tasks run within milliseconds, on a busy host within some tenths of a
/// second; traffic is back within 3 s of a SIGSTOP.
const LEASE: Duration = Duration::from_millis(2500);
const BEAT: Duration = Duration::from_millis(200);
/// The heart's place before others that want a processor; where it may not have it, it beats all the same.
const NICE: i32 = -10;

/// Renews every lease of this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Heart {
    body: Arc<Body>,
    pulse: AbortHandle,
}

#[derive(Debug)]
struct Body {
    leases: Mutex<Vec<Arc<Lease>>>,
    /// When the runtime was last seen to make progress.
    pulse: AtomicU64,
    stopped: AtomicBool,
    /// The other processes' part: until when this beats, and when the responder was seen to make progress.
    signs: Signs,
}

/// The lease of one fault.
#[derive(Debug)]
pub(crate) struct Lease {
    words: LeaseWords,
    stats: &'static Stats,
    /// Until when the kernel was last allowed to steer; 0 when it is over.
    until: AtomicU64,
    lapsed: Notify,
}

// === impl Heart ===

impl Heart {
    /// Starts the thread, and the task by which it sees that the runtime makes progress.
    pub(crate) fn start(signs: Signs) -> anyhow::Result<Self> {
        let body = Arc::new(Body {
            leases: Mutex::default(),
            pulse: AtomicU64::new(boot_ns()),
            stopped: AtomicBool::new(false),
            signs,
        });
        signs.responder_pulse.set(boot_ns());
        signs.agent_until.set(body.alive_until());
        let beating = Arc::clone(&body);
        thread::Builder::new()
            .name("httpfault-heart".into())
            .spawn(move || beating.beat_until_stopped())
            .context("starting the thread that renews leases")?;
        let pulsing = Arc::clone(&body);
        let pulse = tokio::spawn(async move {
            loop {
                pulsing.pulse.store(boot_ns(), Ordering::Relaxed);
                tokio::time::sleep(BEAT).await;
            }
        });
        Ok(Self { body, pulse: pulse.abort_handle() })
    }

    /// A lease that is renewed from now on.
    pub(crate) fn lease(&self, words: LeaseWords, stats: &'static Stats) -> Arc<Lease> {
        let lease = Arc::new(Lease { words, stats, until: AtomicU64::new(0), lapsed: Notify::new() });
        lease.renew(self.body.alive_until());
        self.body.leases().push(Arc::clone(&lease));
        lease
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.body.stopped.store(true, Ordering::Relaxed);
        self.pulse.abort();
    }
}

impl Body {
    fn beat_until_stopped(&self) {
        // Without CAP_SYS_NICE it has no precedence.
        let _refused = rustix::process::setpriority_process(None, NICE);
        while !self.stopped.load(Ordering::Relaxed) {
            let until = self.alive_until();
            self.signs.agent_until.set(until);
            let now = boot_ns();
            self.leases().retain(|lease| lease.holds(now, until));
            thread::park_timeout(BEAT);
        }
    }

    fn alive_until(&self) -> u64 {
        let progress = self.pulse.load(Ordering::Relaxed).min(self.signs.responder_pulse.get());
        progress + u64::try_from(LEASE.as_nanos()).unwrap_or(0)
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lease ===

impl Lease {
    /// When the fault ends, whatever the agent does.
    pub(crate) fn set_deadline(&self, boot_ns: u64) {
        self.words.set_deadline(boot_ns);
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.until.store(0, Ordering::Relaxed);
        self.words.set_alive_until(0);
    }

    /// Returns when it ran out before it was renewed: the kernel has given the traffic back.
    pub(crate) async fn lapsed(&self) {
        self.lapsed.notified().await;
    }

    /// Moves its end; whether it goes on. One that ran out is not renewed: requests may have reached the application
    /// meanwhile.
    fn holds(&self, now: u64, until: u64) -> bool {
        match self.until.load(Ordering::Relaxed) {
            0 => false,
            over if now >= over => {
                self.stop();
                self.lapsed.notify_one();
                false
            }
            _ => {
                self.renew(until);
                true
            }
        }
    }

    /// Moves its end, unless the responder has no room: then new connections are the application's for the moment.
    fn renew(&self, until: u64) {
        self.until.store(until, Ordering::Relaxed);
        self.words.set_alive_until(if self.stats.saturated() { 0 } else { until });
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt as _};

    use futures_util::FutureExt as _;
    use tokio::time::{sleep, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A lease and what the kernel would read.
    fn lease(heart: &Heart) -> (Arc<Lease>, File) {
        let page = tempfile::tempfile().unwrap();
        page.set_len(4096).unwrap();
        let words = LeaseWords::map(&page).unwrap();
        (heart.lease(words, Box::leak(Box::default())), page)
    }

    fn alive_until(page: &File) -> u64 {
        let mut word = [0; 8];
        page.read_exact_at(&mut word, 0).unwrap();
        u64::from_ne_bytes(word)
    }

    #[tokio::test]
    async fn one_that_runs_out_ends_alone() {
        let signs = Signs::new(2).unwrap();
        let heart = Heart::start(signs).unwrap();
        // There is no responder here that could stand still.
        signs.responder_pulse.set(u64::MAX / 2);
        let ((late, late_page), (kept, kept_page)) = (lease(&heart), lease(&heart));
        assert!(alive_until(&late_page) > 0);
        let between_two_beats = heart.body.leases();
        late.until.store(1, Ordering::Relaxed);
        drop(between_two_beats);

        timeout(PATIENCE, late.lapsed()).await.unwrap();
        assert_eq!(alive_until(&late_page), 0, "the kernel may go on");
        let before = alive_until(&kept_page);
        let renewed = async {
            while alive_until(&kept_page) <= before {
                sleep(BEAT).await;
            }
        };
        timeout(PATIENCE, renewed).await.unwrap();
        assert_eq!(alive_until(&late_page), 0, "it was renewed after its end");
        assert!(kept.lapsed().now_or_never().is_none());
    }
}
