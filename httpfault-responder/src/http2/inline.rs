//! Where hyper's streams run.

use std::{
    future::Future,
    task::{Context, Waker},
};

use hyper::rt::Executor;

/// Tries each stream at once, in the connection's own task, and gives it a task only if it has to wait. Injected answers
/// never do: all that a client asked for together is then answered together, with one write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inline;

impl<F> Executor<F> for Inline
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut stream = Box::pin(stream);
        // Whoever waits is asked again by its own task, and wakes that.
        if stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(stream);
        }
    }
}
