//! Passing bytes between client and application without looking at them.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{io::copy_bidirectional, time::timeout};

use crate::{
    life::{Doing, Seat},
    responder::Shared,
    stats::add_one,
    wire::{Wire, send_at_once},
};

/// Connects to the application, within the limit of time.
pub(crate) async fn connect(shared: &Shared, origin: SocketAddr) -> io::Result<Wire> {
    let limit: Duration = shared.limits.connect_time;
    let connected = match timeout(limit, shared.upstream.connect(origin)).await {
        Ok(connected) => connected,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    };
    match &connected {
        Ok(stream) => send_at_once(stream),
        Err(error) => {
            add_one(&shared.stats.upstream_errors);
            log::debug!("could not connect to the application at {origin}: {error}");
        }
    }
    connected.map(Wire::new)
}

/// Passes everything both ways until both sides have ended, each side's end on its own. `application` is a connection
/// that is already open, if there is one.
pub(crate) async fn splice(
    mut client: Wire,
    application: Option<Wire>,
    shared: &Shared,
    origin: SocketAddr,
    seat: &Seat,
) {
    seat.set(Doing::Passing);
    let mut application = match application {
        Some(open) => open,
        None => match connect(shared, origin).await {
            Ok(fresh) => fresh,
            // Without a listener the client would have been refused; this is the nearest that is left.
            Err(_counted) => return,
        },
    };
    if let Err(error) = copy_bidirectional(&mut client, &mut application).await {
        log::debug!("a passed connection broke off ({origin}): {error}");
    }
}
