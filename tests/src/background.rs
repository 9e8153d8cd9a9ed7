//! Asynchronous work beside a test, on a thread of its own, until it is dropped.

use std::thread::{self, JoinHandle};

use anyhow::Result;
use tokio::sync::oneshot;

#[derive(Debug)]
pub struct Background {
    what: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Background {
    /// `what` names the work where it fails.
    pub fn start<W>(what: impl Into<String>, work: W) -> Self
    where
        W: AsyncFnOnce() -> Result<()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    ended = work() => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        Self { what: what.into(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It ends when its side of the channel does.
        drop(self.stop.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("{} failed: {error:#}", self.what);
        }
    }
}
