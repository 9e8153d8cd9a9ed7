//! Every request is faulted: hyper has the connection to itself.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::BytesMut;
use hyper::{
    Request,
    body::{Body as _, Incoming},
    service::service_fn,
};

use super::{
    builder,
    framing::keeps_alive,
    hyper_io::{End, HyperIo},
};
use crate::{
    activity::{Seat, Track},
    answer::{Answerer, answer},
    context::Context,
    stream::Buffered,
};

/// Serves until the client is done, or gives the connection back when the fault is over.
pub(super) async fn serve(
    mut client: Buffered,
    context: &Arc<Context>,
    origin: SocketAddr,
    seat: &Seat,
) -> Option<Buffered> {
    let track = Track::new(seat);
    let answerer = Arc::new(Answerer::new(context, origin, &track, None));
    // The client said that it sends nothing more.
    let last = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        if !keeps_alive(request.version(), request.headers()) && request.body().is_end_stream() {
            last.store(true, Relaxed);
        }
        answer(Arc::clone(&answerer), request)
    });
    let io = HyperIo::all(&mut client, track);
    let driven = io.drive(&builder(context), service, context, |_| context.life.left()).await;
    match driven.end {
        End::Stopped => {}
        // Nothing can arrive that a reset would have to answer (RFC 9112 section 9.6).
        End::Closed if last.load(Relaxed) && driven.unread.is_empty() && client.is_quiet() => return None,
        End::Closed | End::Broken => {
            client.linger(context.limits.linger_time).await;
            return None;
        }
    }
    let mut unread = BytesMut::from(driven.unread);
    unread.extend_from_slice(&client.buf);
    client.buf = unread;
    Some(client)
}
