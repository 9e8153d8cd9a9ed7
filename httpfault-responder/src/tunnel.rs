//! Passing bytes between client and application without looking at them.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;

use crate::{
    activity::{Doing, Seat},
    context::Context,
    stream::Buffered,
    upstream::connect,
};

/// Passes everything both ways until both sides have ended, each side's end on its own. `application` is a connection
/// that is already open, if there is one.
pub(crate) async fn tunnel(
    mut client: Buffered,
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
    client.may_pause();
    if let Err(error) = copy_bidirectional(&mut client, &mut application).await {
        log::debug!("a passed connection broke off ({origin}): {error}");
    }
}
