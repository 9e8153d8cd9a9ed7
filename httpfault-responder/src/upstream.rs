//! Connections to the application.

mod http;

use std::{io, net::SocketAddr, time::Duration};

use tokio::time::timeout;

pub(crate) use self::http::{ForwardedBody, NoAnswer, UpstreamHttp, wait_for_continue};
use crate::{
    context::Context,
    stats::add_one,
    stream::{Buffered, send_at_once},
};

/// Connects to the application, within the limit of time.
pub(crate) async fn connect(context: &Context, origin: SocketAddr) -> io::Result<Buffered> {
    let limit: Duration = context.limits.connect_time;
    let connected = match timeout(limit, context.upstream.connect(origin)).await {
        Ok(connected) => connected,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    };
    match &connected {
        Ok(stream) => send_at_once(stream),
        Err(error) => {
            add_one(&context.stats.here().upstream_errors);
            log::debug!("could not connect to the application at {origin}: {error}");
        }
    }
    connected.map(Buffered::new)
}

/// Drops a connection on which nothing is under way any more. The application gets a reset instead of an end: the side
/// that ends first keeps the client port for a minute, and a namespace has only 28,000 of them.
pub(crate) fn abandon(application: Buffered) {
    application.reset_on_drop();
}
