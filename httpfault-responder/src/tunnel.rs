//! Passing bytes between client and application without looking at them.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};

use crate::{
    activity::{Doing, Seat},
    context::Context,
    stream::Buffered,
    upstream::connect,
};

/// Passes everything both ways until both sides have ended, each side's end on its own. `application` is a connection
/// that is already open, if there is one. The client should be one that may pause.
pub(crate) async fn tunnel(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    application: Option<Buffered>,
    context: &Context,
    origin: SocketAddr,
    seat: &Seat,
) {
    seat.set(Doing::Passing);
    let mut application = match application {
        Some(open) => open,
        None => match connect(context, origin).await {
            Ok(fresh) => fresh,
            // Without a listener the client would have been refused; this is the nearest that is left.
            Err(_counted) => return,
        },
    };
    if let Err(error) = copy_bidirectional(&mut client, &mut application).await {
        log::debug!("a passed connection broke off ({origin}): {error}");
    }
}
