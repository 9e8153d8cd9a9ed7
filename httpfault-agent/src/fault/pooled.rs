//! What is done about the connections that clients held when the fault started.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use httpfault_common::contract::Counters;
use tokio::task::JoinHandle;

use crate::existing::{Finder, Tally};

/// The existing connections of one target. Draining stops when it is dropped.
pub(super) struct Pooled {
    finder: Arc<Finder>,
    tally: Arc<Tally>,
    drain: Option<JoinHandle<()>>,
}

impl Pooled {
    /// Takes note of those that are open now.
    pub(super) fn find(finder: Finder) -> anyhow::Result<Self> {
        let tally = Tally::default();
        finder.find(&tally)?;
        Ok(Self { finder: Arc::new(finder), tally: Arc::new(tally), drain: None })
    }

    pub(super) fn start_draining(&mut self) {
        let (finder, tally) = (Arc::clone(&self.finder), Arc::clone(&self.tally));
        self.drain = Some(tokio::spawn(async move {
            if let Err(why) = finder.drain(&tally).await {
                // The target went away, which the run notices by itself.
                log::warn!("draining existing connections stopped: {why:#}");
            }
        }));
    }

    pub(super) fn stop_draining(&mut self) {
        if let Some(drain) = self.drain.take() {
            drain.abort();
        }
    }

    /// What is known while the fault is on.
    pub(super) fn count(&self, counters: &mut Counters) {
        counters.existing_found = self.tally.found().len() as u64;
        counters.existing_drained = self.tally.told().len() as u64;
    }

    /// What is known at the end. Connections whose clients were reset are open only for the application, which has not
    /// been told: its ends are closed, so that they take no room until some timeout.
    pub(super) fn settle(&self, reset: &HashSet<SocketAddr>, counters: &mut Counters) -> anyhow::Result<()> {
        self.finder.dismiss(reset)?;
        let open: HashSet<SocketAddr> = self.finder.open()?.difference(reset).copied().collect();
        counters.existing_still_open = self.tally.found().intersection(&open).count() as u64;
        counters.existing_drained = self.tally.told().difference(&open).count() as u64;
        Ok(())
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.stop_draining();
    }
}
