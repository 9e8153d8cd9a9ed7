//! What the SSM agent of an instance has in hand: five commands that run, five that wait, and its message loop.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::ssm::Messages;

/// Commands that run at once on an instance (Mds.CommandWorkersLimit).
const WORKERS: usize = 5;
/// Commands that the agent takes on top (CommandWorkerBufferLimit).
const BUFFER: usize = 5;

#[derive(Debug)]
pub(crate) struct Queue {
    /// Accepted commands: running or waiting for a worker.
    pub(crate) inbox: Arc<Semaphore>,
    /// Free workers.
    pub(crate) workers: Arc<Semaphore>,
    /// When the next message may be taken. Who holds the lock is the message that is being taken.
    turn: Mutex<Option<Instant>>,
}

/// Workers that others keep busy. They are free again when this is dropped.
#[derive(Debug)]
pub struct Occupied {
    _inbox: OwnedSemaphorePermit,
    _workers: OwnedSemaphorePermit,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            inbox: Arc::new(Semaphore::new(WORKERS + BUFFER)),
            workers: Arc::new(Semaphore::new(WORKERS)),
            turn: Mutex::default(),
        }
    }
}

impl Queue {
    /// Waits until this message is the next, in order of arrival. Nothing else is taken while the turn is held, nor for
    /// a pause after it came.
    pub(crate) async fn turn(&self, pace: Messages) -> MutexGuard<'_, Option<Instant>> {
        self.turn_after(async {}, pace).await
    }

    /// The same for a message that is still to come, which keeps its place: what is sent after it comes after it, however
    /// busy the machine is.
    pub(crate) async fn turn_after(
        &self,
        arrival: impl Future<Output = ()>,
        pace: Messages,
    ) -> MutexGuard<'_, Option<Instant>> {
        let mut turn = self.turn.lock().await;
        arrival.await;
        if let Some(next) = *turn {
            tokio::time::sleep_until(next).await;
        }
        let pause = pace.least + (pace.most.saturating_sub(pace.least)).mul_f64(fastrand::f64());
        *turn = Some(Instant::now() + pause);
        turn
    }

    /// A place among the accepted commands. Without a pace the message waits for itself alone.
    pub(crate) async fn accept(&self, pace: Option<Messages>) -> Option<OwnedSemaphorePermit> {
        let Some(pace) = pace else { return Arc::clone(&self.inbox).acquire_owned().await.ok() };
        let _turn = self.turn(pace).await;
        loop {
            if let Ok(place) = Arc::clone(&self.inbox).try_acquire_owned() {
                return Some(place);
            }
            tokio::time::sleep(pace.again).await;
        }
    }

    /// Keeps workers busy from now on; `None` if there are not so many free ones.
    pub(crate) fn occupy(&self, workers: u32) -> Option<Occupied> {
        let _inbox = Arc::clone(&self.inbox).try_acquire_many_owned(workers).ok()?;
        let _workers = Arc::clone(&self.workers).try_acquire_many_owned(workers).ok()?;
        Some(Occupied { _inbox, _workers })
    }
}
