//! SIGINT and SIGTERM: the first one aborts, the second is acknowledged, the third leaves at once.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Counts the signals that asked this program to end.
#[derive(Clone, Debug)]
pub(crate) struct Abort {
    count: watch::Receiver<u32>,
}

impl Abort {
    /// From here on the signals no longer kill the program.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, count) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { count })
    }

    /// Completes when so many signals have come.
    pub(crate) async fn signals(&self, number: u32) {
        let mut count = self.count.clone();
        // The sender lives as long as the program: waiting ends only by the number.
        if count.wait_for(|count| *count >= number).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
