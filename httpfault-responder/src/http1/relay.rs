//! One spared request and its answer, byte for byte, both ways at once.

use std::{
    future::{Future, pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::Poll,
};

use bytes::{Buf, Bytes, BytesMut};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    framing::{self, Ambiguous, Body, Framing},
    head::{Parsed, RequestHead, ResponseHead, with_close},
};
use crate::stream::{Buffered, READ_SIZE, ReadHalf, WriteHalf};

/// How much of the client's next requests is read while an answer is under way, bytes. Without it the end of the
/// client's stream would not be seen.
const READ_AHEAD: usize = 64 * 1024;
/// Head of a response, bytes. A longer one is passed without being looked at.
const MAX_RESPONSE_HEAD: usize = 256 * 1024;

/// What follows after a relayed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Both connections are at the beginning of the next request.
    Next,
    /// The client was told, or is to be shown, that its connection ends.
    Close,
    /// The same, because the application broke off within its answer.
    BrokeOff,
    /// Whatever else comes is passed without being looked at: the connection was upgraded, or is not understood.
    Tunnel,
}

/// Whether the client is to be told that its connection ends with this answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    Announced,
}

/// What both directions know of each other.
#[derive(Default)]
struct Progress {
    /// The whole request is on its way.
    sent: AtomicBool,
    /// The client has sent more than this request.
    more: AtomicBool,
    /// The application has asked for the body with 100 Continue.
    continued: AtomicBool,
}

/// Why the client's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientEnd {
    /// It sent its end; the answer may still come.
    Ended,
    /// It broke off.
    Gone,
    /// The application reads no more, but may have answered.
    NotRead,
    NotUnderstood,
}

/// Sends `raw`, which is the request's head, then its body from `client`; brings the answer back. An error is the
/// application's, which did not answer.
pub(super) async fn relay(
    client: &mut Buffered,
    application: &mut Buffered,
    head: &RequestHead,
    raw: Bytes,
    closing: Closing,
) -> io::Result<After> {
    let progress = Progress::default();
    let (client_read, client_write, client_buf) = client.split();
    let (application_read, application_write, application_buf) = application.split();
    let mut up = pin!(send(client_read, client_buf, application_write, head, raw, &progress));
    let mut down = pin!(answer(application_read, application_buf, client_write, head, closing, &progress));

    let mut client_end = None;
    let after = loop {
        tokio::select! {
            end = &mut up, if client_end.is_none() => match end {
                ClientEnd::NotUnderstood => return Ok(After::Tunnel),
                ClientEnd::Gone => return Ok(After::Close),
                ClientEnd::Ended | ClientEnd::NotRead => client_end = Some(end),
            },
            after = &mut down => break after?,
        }
    };
    if after != After::Next || progress.sent.load(Relaxed) && client_end.is_none() {
        return Ok(after);
    }
    if client_end.is_some() {
        return Ok(After::Close);
    }
    // The answer came before the end of the request. A client that waited for 100 Continue may leave the body out or
    // not, and only the two of them know.
    if head.expects && !progress.continued.load(Relaxed) {
        return Ok(After::Tunnel);
    }
    match until_sent(up, &progress).await {
        None => Ok(After::Next),
        Some(ClientEnd::NotUnderstood) => Ok(After::Tunnel),
        Some(ClientEnd::Ended | ClientEnd::Gone | ClientEnd::NotRead) => Ok(After::Close),
    }
}

async fn until_sent<F: Future<Output = ClientEnd>>(
    mut up: Pin<&mut F>,
    progress: &Progress,
) -> Option<ClientEnd> {
    poll_fn(|cx| match up.as_mut().poll(cx) {
        Poll::Ready(end) => Poll::Ready(Some(end)),
        Poll::Pending if progress.sent.load(Relaxed) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// The client's direction. Goes on after the request, to notice the client's end and to read ahead.
async fn send(
    mut client: ReadHalf<'_>,
    buf: &mut BytesMut,
    mut application: WriteHalf<'_>,
    head: &RequestHead,
    mut raw: Bytes,
    progress: &Progress,
) -> ClientEnd {
    if application.write_all_buf(&mut raw).await.is_err() {
        return ClientEnd::NotRead;
    }
    let mut body = Body::new(head.framing);
    loop {
        let Ok(count) = body.feed(buf) else { return ClientEnd::NotUnderstood };
        if application.write_all_buf(&mut buf.take(count)).await.is_err() {
            return ClientEnd::NotRead;
        }
        if body.is_done() {
            break;
        }
        match read_more(&mut client, buf).await {
            Ok(0) => {
                let _gone = application.shutdown().await;
                return ClientEnd::Ended;
            }
            Ok(_) => {}
            Err(_) => return ClientEnd::Gone,
        }
    }
    progress.sent.store(true, Relaxed);
    loop {
        progress.more.store(!buf.is_empty(), Relaxed);
        if buf.len() >= READ_AHEAD {
            return pending().await;
        }
        match read_more(&mut client, buf).await {
            Ok(0) if buf.is_empty() => {
                let _gone = application.shutdown().await;
                return ClientEnd::Ended;
            }
            // The requests before the end are served first; the end is read again after them.
            Ok(0) => return pending().await,
            Ok(_) => {}
            Err(_) => return ClientEnd::Gone,
        }
    }
}

/// The application's direction: interim responses, the final head, its body.
async fn answer(
    mut application: ReadHalf<'_>,
    buf: &mut BytesMut,
    mut client: WriteHalf<'_>,
    request: &RequestHead,
    closing: Closing,
    progress: &Progress,
) -> io::Result<After> {
    let head = loop {
        match ResponseHead::parse(buf) {
            Parsed::Complete(head) if is_interim(head.status) => {
                if head.status == StatusCode::CONTINUE {
                    progress.continued.store(true, Relaxed);
                }
                if client.write_all_buf(&mut buf.take(head.len)).await.is_err() {
                    return Ok(After::Close);
                }
            }
            Parsed::Complete(head) => break head,
            Parsed::Partial if buf.len() < MAX_RESPONSE_HEAD => {
                match read_more(&mut application, buf).await {
                    Ok(0) if buf.is_empty() => {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    // Half a head: the client gets just that, as it would have without us.
                    Ok(0) => return Ok(After::Tunnel),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
            Parsed::Partial | Parsed::NotUnderstood => return Ok(After::Tunnel),
        }
    };
    let tunnels = request.method == Method::CONNECT && head.status.is_success();
    if head.status == StatusCode::SWITCHING_PROTOCOLS || tunnels {
        return Ok(After::Tunnel);
    }
    let Ok(framing) = framing_of(request, &head) else { return Ok(After::Tunnel) };
    let mut body = Body::new(framing);
    let keeps = head.keeps_alive && request.keeps_alive && !body.ends_with_connection();
    // A client that has already sent its next request gets that answered too.
    let announces = keeps && closing == Closing::Announced && !progress.more.load(Relaxed);
    if announces {
        announce_close(buf, head.len);
    }
    // What of the body is here goes with the head: each write is a segment, and wakes the client.
    let mut unsent = if announces { ResponseHead::parse(buf).len().unwrap_or(head.len) } else { head.len };
    loop {
        let Ok(count) = body.feed(&buf[unsent..]) else { return Ok(After::Tunnel) };
        if client.write_all_buf(&mut buf.take(unsent + count)).await.is_err() {
            return Ok(After::Close);
        }
        unsent = 0;
        if body.is_done() {
            break;
        }
        match read_more(&mut application, buf).await {
            Ok(1..) => {}
            Ok(0) if body.ends_with_connection() => return Ok(After::Close),
            // The client sees the same: an end that is too early.
            Ok(0) | Err(_) => return Ok(After::BrokeOff),
        }
    }
    Ok(if keeps && !announces { After::Next } else { After::Close })
}

impl Parsed<ResponseHead> {
    fn len(&self) -> Option<usize> {
        match self {
            Self::Complete(head) => Some(head.len),
            Self::Partial | Self::NotUnderstood => None,
        }
    }
}

/// Edits the head at the front of `buf` in place, so that nothing is lost if the relay is dropped.
fn announce_close(buf: &mut BytesMut, head_len: usize) {
    let mut edited = BytesMut::from(with_close(&buf[..head_len]).as_slice());
    edited.extend_from_slice(&buf[head_len..]);
    *buf = edited;
}

fn framing_of(request: &RequestHead, head: &ResponseHead) -> Result<Framing, Ambiguous> {
    if framing::has_no_body(&request.method, head.status) { Ok(Framing::Length(0)) } else { head.framing }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

async fn read_more(from: &mut ReadHalf<'_>, buf: &mut BytesMut) -> io::Result<usize> {
    buf.reserve(READ_SIZE);
    from.read_buf(buf).await
}
