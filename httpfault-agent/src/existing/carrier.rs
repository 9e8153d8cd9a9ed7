//! The bytes of a taken connection between its client and the responder: requests arrive as notes of the kernel and go
//! to the responder over a stream, answers come back over it and go out on the application's own connection.

use std::{cell::Cell, io, rc::Rc};

use rustix::net::{SendFlags, send};
use socket2::Socket;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest, unix::AsyncFd},
    net::{UnixStream, unix::OwnedReadHalf},
    sync::mpsc,
    task::JoinHandle,
};

use super::Told;
use crate::sys;

/// Answers are short; long ones come in several pieces.
const PIECE: usize = 16 * 1024;

/// Dropping it lets go of the stream, and the responder of its part.
pub(super) struct Carrier {
    requests: Option<mpsc::UnboundedSender<Vec<u8>>>,
    state: Rc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// Bytes that the responder has not been given yet.
    queued: Cell<usize>,
    /// A request, or a part of one, came in after the last byte of an answer went out.
    awaiting: Cell<bool>,
    /// The responder's last byte is out.
    ended: Cell<bool>,
}

impl Carrier {
    /// Carries until the responder ends its side, of which `told` is told.
    pub(super) fn start(
        cookie: u64,
        socket: &Socket,
        responder: UnixStream,
        told: mpsc::UnboundedSender<Told>,
    ) -> io::Result<Self> {
        let client = sys::async_fd(socket.try_clone()?.into(), Interest::WRITABLE)?;
        let (requests, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        let state = Rc::new(State::default());
        let carried = Rc::clone(&state);
        let task = tokio::task::spawn_local(async move {
            let (answers, mut to) = responder.into_split();
            let requests = async {
                while let Some(bytes) = queue.recv().await {
                    // A responder that is gone is noticed where its answers are read.
                    let _gone = to.write_all(&bytes).await;
                    carried.queued.set(carried.queued.get().saturating_sub(bytes.len()));
                }
                drop(to);
                std::future::pending().await
            };
            tokio::select! {
                // A client that is gone is noticed where its connection is looked at.
                _ended = carry_answers(answers, &client, &carried) => {}
                () = requests => {}
            }
            carried.ended.set(true);
            // A target that has settled needs no news.
            let _settled = told.send(Told::AnswersOut(cookie));
        });
        Ok(Self { requests: Some(requests), state, task })
    }

    /// Takes bytes of a request.
    pub(super) fn carry(&self, bytes: Vec<u8>) {
        self.state.queued.set(self.state.queued.get() + bytes.len());
        self.state.awaiting.set(true);
        if let Some(requests) = &self.requests {
            // The end of the task is told.
            let _ended = requests.send(bytes);
        }
    }

    /// The client sends nothing more.
    pub(super) fn finish(&mut self) {
        self.requests = None;
    }

    /// Bytes that wait for the responder.
    pub(super) fn queued(&self) -> usize {
        self.state.queued.get()
    }

    /// Whether a request came in after the last byte of an answer went out.
    pub(super) fn is_awaiting(&self) -> bool {
        self.state.awaiting.get()
    }

    /// Whether every request seems to be answered.
    pub(super) fn is_at_rest(&self) -> bool {
        self.queued() == 0 && !self.is_awaiting()
    }

    /// Whether the responder's last byte is out.
    pub(super) fn is_out(&self) -> bool {
        self.state.ended.get()
    }

    /// Returns when the responder's last byte is out.
    pub(super) async fn ended(&mut self) {
        // A task that panicked carries nothing any more either.
        let _panicked = (&mut self.task).await;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry_answers(
    mut answers: OwnedReadHalf,
    client: &AsyncFd<std::os::fd::OwnedFd>,
    state: &State,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = answers.read(&mut piece).await?;
        let mut left = piece.get(..length).unwrap_or_default();
        if left.is_empty() {
            return Ok(());
        }
        // Before it is out: the client's next request may come before this goes on.
        state.awaiting.set(false);
        while !left.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = client.async_io(Interest::WRITABLE, |client| Ok(send(client, left, flags)?)).await?;
            left = left.get(sent..).unwrap_or_default();
        }
    }
}
