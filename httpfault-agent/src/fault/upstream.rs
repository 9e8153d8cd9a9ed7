//! The way to the real application: sockets made inside the target's namespace.

use std::net::SocketAddr;

use httpfault_responder::{Connecting, Upstream};
use socket2::Domain;

use crate::{netns::SocketMaker, probe};

/// Connects from inside the target's namespace. The agent is in no cgroup of the target, so it is not redirected, and
/// its address is the namespace's own, so it is not steered: it reaches the application.
pub(super) struct InNamespace {
    sockets: SocketMaker,
}

impl InNamespace {
    pub(super) fn new(sockets: SocketMaker) -> Self {
        Self { sockets }
    }
}

impl Upstream for InNamespace {
    fn connect(&self, address: SocketAddr) -> Connecting {
        let sockets = self.sockets.clone();
        Box::pin(async move {
            let socket = sockets.socket(Domain::for_address(address)).await?;
            probe::connect(socket, address).await
        })
    }
}
