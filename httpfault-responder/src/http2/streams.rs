//! Where hyper's streams run.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use hyper::rt::Executor;

/// The streams of one connection that nobody has looked at yet. All that a client asks for together is read first, then
/// answered, and then written together: hyper writes what it has each time it looks for another request.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<Vec<Stream>>>);

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Streams {
    /// Drives the connection, and between its turns the streams that it has begun.
    pub(super) fn poll<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        cx: &mut Context<'_>,
    ) -> Poll<C::Output> {
        loop {
            let polled = connection.as_mut().poll(cx);
            let begun = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            if begun.is_empty() || polled.is_ready() {
                begun.into_iter().for_each(try_once);
                return polled;
            }
            begun.into_iter().for_each(try_once);
        }
    }
}

/// Injected answers never wait. A stream that does gets a task, which asks again, and which is then woken.
fn try_once(mut stream: Stream) {
    if stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(stream);
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(stream));
    }
}
