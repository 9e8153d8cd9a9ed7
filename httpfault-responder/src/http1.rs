//! HTTP/1.0 and HTTP/1.1.

mod direct;
mod framing;
mod gate;
mod head;
mod hyper_io;
mod one;
mod relay;

use std::{net::SocketAddr, sync::Arc};

use hyper::server::conn::http1::Builder;

use self::gate::Gate;
use crate::{activity::Seat, adopted::Asked, context::Context, stream::Buffered};

/// Serves one client to its end.
pub(crate) async fn serve(
    client: Buffered,
    application: Option<Buffered>,
    context: Arc<Context>,
    origin: SocketAddr,
    seat: Seat,
) {
    let mut client = client;
    if context.decider.faults_all() && !context.life.left() {
        match direct::serve(client, &context, origin, &seat).await {
            // The fault is over and the connection goes on.
            Some(open) => client = open,
            None => return,
        }
    }
    Gate::new(client, application, context, origin, seat).run(Asked::by_nobody()).await;
}

/// The same for a connection that may be asked back. Only the gate knows whether it is between two requests.
pub(crate) async fn serve_adopted(
    client: Buffered,
    context: Arc<Context>,
    origin: SocketAddr,
    seat: Seat,
    asked: Asked,
) {
    Gate::unnoticed(client, context, origin, seat).run(asked).await;
}

/// hyper as both ways of answering use it. Its own timer for heads also runs while a connection is idle, so ours is
/// used instead.
fn builder(context: &Context) -> Builder {
    let mut builder = Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(context.limits.head_bytes)
        .max_buf_size(context.limits.head_bytes.max(8192))
        // A client that has sent its request and ended its side still gets its response.
        .half_close(true)
        .preserve_header_case(context.decider.calls_application());
    builder
}
