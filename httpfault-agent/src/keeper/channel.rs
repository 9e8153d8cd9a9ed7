//! Datagrams between the agent and its keeper: one JSON document each, and at most one descriptor (SOCK_SEQPACKET and
//! SCM_RIGHTS, unix(7)). Ordered, bounded, and with an end that both sides notice.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{Interest, unix::AsyncFd};

use crate::sys;

/// Longest datagram. The largest is a target's scope with 1,024 addresses; net.core.wmem_default is above 200 KB.
const LONGEST: usize = 128 * 1024;

/// One end.
#[derive(Debug)]
pub(super) struct Channel(AsyncFd<OwnedFd>);

/// A connected pair of descriptors, to be made before the process is forked.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

impl Channel {
    /// Must be called inside a Tokio runtime.
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self(sys::async_fd(end, Interest::READABLE | Interest::WRITABLE)?))
    }

    pub(super) async fn send(
        &self,
        message: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > LONGEST {
            return Err(io::Error::other(format!("a message of {} bytes is too long", text.len())));
        }
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        self.0
            .async_io(Interest::WRITABLE, |end| {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !descriptors.is_empty() {
                    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
                }
                sendmsg(end, &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL)?;
                Ok(())
            })
            .await
    }

    /// The next message; `None` is the other side's end.
    pub(super) async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut text = vec![0; LONGEST];
        let (length, descriptor) = self.0.async_io(Interest::READABLE, |end| receive(end, &mut text)).await?;
        if length == 0 {
            return Ok(None);
        }
        let message = serde_json::from_slice(text.get(..length).unwrap_or_default())?;
        Ok(Some((message, descriptor)))
    }
}

fn receive(end: &OwnedFd, text: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(end.as_fd(), &mut [IoSliceMut::new(text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::other("a message is longer than is allowed"));
    }
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    Ok((received.bytes, descriptor))
}
