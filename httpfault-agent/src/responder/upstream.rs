//! The target's namespace, as the responder needs it: the way to the real application, and who its clients are.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use httpfault_responder::{Connecting, Upstream};
use socket2::Domain;

use crate::{
    datapath::Sent,
    netns::{Netns, SocketMaker},
    probe,
    sockets::Lookup,
};

/// What takes the right to enter a namespace, made before it is given up.
pub(super) struct Inside {
    sockets: SocketMaker,
    lookup: Lookup,
}

impl Inside {
    /// `confine` is called by the thread that stays in the namespace.
    pub(super) fn enter(
        netns: Netns,
        confine: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let lookup = Lookup::new(&netns)?;
        Ok(Self { sockets: netns.socket_maker(confine)?, lookup })
    }
}

/// Connects from inside the target's namespace. The responder is in no cgroup of the target, so it is not redirected, and
/// its address is the namespace's own, so it is not steered: it reaches the application.
pub(super) struct InNamespace {
    sockets: Arc<SocketMaker>,
    sent: Sent,
    lookup: Mutex<Lookup>,
}

impl InNamespace {
    pub(super) fn new(Inside { sockets, lookup }: Inside, sent: Sent) -> Self {
        Self { sockets: Arc::new(sockets), sent, lookup: Mutex::new(lookup) }
    }
}

impl Upstream for InNamespace {
    fn connect(&self, address: SocketAddr) -> Connecting {
        let sockets = Arc::clone(&self.sockets);
        Box::pin(async move {
            let socket = sockets.socket(Domain::for_address(address)).await?;
            probe::connect(socket, address).await
        })
    }

    /// The kernel programs wrote down the cookie of each client that they sent here, before it connected.
    fn was_sent_here(&self, client: SocketAddr, local: SocketAddr) -> bool {
        let lookup = self.lookup.lock().unwrap_or_else(PoisonError::into_inner);
        lookup.cookie(client, local).is_ok_and(|cookie| self.sent.contains(cookie))
    }
}
