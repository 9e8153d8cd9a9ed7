//! HTTP/1.0 and HTTP/1.1.

mod direct;
mod framing;
mod gate;
mod head;
mod hyper_io;
mod one;
mod relay;
mod track;

use std::{net::SocketAddr, sync::Arc};

use hyper::server::conn::http1::Builder;

pub(crate) use track::{Busy, Track};

use self::gate::Gate;
use crate::{adopted::Asked, life::Seat, responder::Shared, wire::Wire};

/// Serves one client to its end.
pub(crate) async fn serve(
    client: Wire,
    application: Option<Wire>,
    shared: Arc<Shared>,
    origin: SocketAddr,
    seat: Seat,
) {
    let mut client = client;
    if shared.decider.faults_all() && !shared.life.left() {
        match direct::serve(client, &shared, origin, &seat).await {
            // The fault is over and the connection goes on.
            Some(open) => client = open,
            None => return,
        }
    }
    Gate::new(client, application, shared, origin, seat).run(Asked::by_nobody()).await;
}

/// The same for a connection that may be asked back. Only the gate knows whether it is between two requests.
pub(crate) async fn serve_adopted(
    client: Wire,
    shared: Arc<Shared>,
    origin: SocketAddr,
    seat: Seat,
    asked: Asked,
) {
    Gate::unnoticed(client, shared, origin, seat).run(asked).await;
}

/// hyper as both ways of answering use it. Its own timer for heads also runs while a connection is idle, so ours is
/// used instead.
fn builder(shared: &Shared) -> Builder {
    let mut builder = Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(shared.limits.head_bytes)
        .max_buf_size(shared.limits.head_bytes.max(8192))
        // A client that has sent its request and ended its side still gets its response.
        .half_close(true)
        .preserve_header_case(shared.replacements.calls_application);
    builder
}
