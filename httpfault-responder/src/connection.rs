//! One connection: what it speaks, and who serves it.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::{life::Seat, responder::Shared, splice::splice, wire::Wire};

/// Serves an accepted connection to its end.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>, seat: Seat) {
    let Ok(local) = stream.local_addr() else { return };
    let origin = shared.destination.origin(local);
    splice(Wire::new(stream), None, &shared, origin, &seat).await;
}
