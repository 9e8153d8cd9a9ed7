//! Datagrams between the agent's processes: one JSON document each, and a few descriptors (SOCK_SEQPACKET and
//! SCM_RIGHTS, unix(7)). Ordered, bounded, and with an end that both sides notice.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg,
        sendmsg, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{Interest, unix::AsyncFd};

use crate::sys;

/// Longest datagram. The largest is a target's scope with 1,024 addresses; net.core.wmem_default is above 200 KB.
const LONGEST: usize = 128 * 1024;
/// Most descriptors of one: listening sockets of two families, and a map.
const MOST: usize = 3;

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(AsyncFd<OwnedFd>);

/// A message, and the descriptors that came with it.
pub(crate) type Received<T> = (T, Vec<OwnedFd>);

/// A connected pair of descriptors, to be made before the process is forked.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// The next message at an end that no runtime has, yet; `None` is the other side's end.
pub(crate) fn wait_for<T: DeserializeOwned>(end: &OwnedFd) -> io::Result<Option<Received<T>>> {
    loop {
        poll(&mut [PollFd::new(end, PollFlags::IN)], None)?;
        match receive(end) {
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            received => return parse(received?),
        }
    }
}

/// Sends without waiting, at an end that no runtime has.
pub(crate) fn send_now(end: &OwnedFd, message: &impl Serialize) -> io::Result<()> {
    send(end, &serde_json::to_vec(message)?, &[])
}

impl Channel {
    /// Must be called inside a Tokio runtime.
    pub(crate) fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self(sys::async_fd(end, Interest::READABLE | Interest::WRITABLE)?))
    }

    pub(crate) async fn send(&self, message: &impl Serialize, descriptors: &[OwnedFd]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > LONGEST {
            return Err(io::Error::other(format!("a message of {} bytes is too long", text.len())));
        }
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
        self.0.async_io(Interest::WRITABLE, |end| send(end, &text, &descriptors)).await
    }

    /// The next message; `None` is the other side's end.
    pub(crate) async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<Received<T>>> {
        parse(self.0.async_io(Interest::READABLE, receive).await?)
    }
}

fn send(end: &OwnedFd, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("a message has too many descriptors"));
    }
    sendmsg(end, &[IoSlice::new(text)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(end: &OwnedFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    // Room for this message alone: each process waits for one all the time.
    let (_, length) = recv(end, &mut [0_u8; 0], RecvFlags::PEEK | RecvFlags::TRUNC)?;
    if length > LONGEST {
        return Err(io::Error::other(format!("a message of {length} bytes is longer than is allowed")));
    }
    let mut text = vec![0; length];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(end.as_fd(), &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.flags.contains(ReturnFlags::TRUNC) || received.bytes < length {
        return Err(io::Error::other("a message is not as long as it said"));
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((text, descriptors))
}

/// No message is empty, so an empty one is the end.
fn parse<T: DeserializeOwned>(
    (text, descriptors): (Vec<u8>, Vec<OwnedFd>),
) -> io::Result<Option<Received<T>>> {
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&text)?, descriptors)))
}
