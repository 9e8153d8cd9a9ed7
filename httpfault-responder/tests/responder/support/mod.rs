//! A responder, a client and an application that speak bytes.

mod app;
mod client;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use httpfault_common::contract::{Counters, Fault, GrpcError, Replacement, Selection};
use httpfault_responder::{Config, Connecting, Destination, Limits, Responder, Upstream, start};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

pub(crate) use app::{App, AppConnection};
pub(crate) use client::{Client, Reply};

/// Longer than anything here takes, so that a hang is a failure and not a stuck run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TOKEN: &str = "probe-me";

/// A fault of every request with this status.
pub(crate) fn fault(status: u16) -> Fault {
    Fault {
        status,
        replacement: Some(Replacement::default()),
        headers: vec![],
        marker: true,
        percent: 100.0,
        seed: Some(1),
        grpc: GrpcError::default(),
        selection: Selection::default(),
    }
}

/// The same, with the application called and its status replaced.
pub(crate) fn forwarding(status: u16) -> Fault {
    Fault { replacement: None, ..fault(status) }
}

/// Faults only paths that begin with `/fault`.
pub(crate) fn some(status: u16) -> Fault {
    let selection = Selection { paths: vec!["/fault".into()], ..Selection::default() };
    Fault { selection, ..fault(status) }
}

pub(crate) fn none() -> Fault {
    Fault { percent: 0.0, ..fault(503) }
}

struct Direct;

impl Upstream for Direct {
    fn connect(&self, address: SocketAddr) -> Connecting {
        Box::pin(TcpStream::connect(address))
    }
}

/// A running responder in front of an application.
pub(crate) struct Setup {
    pub(crate) address: SocketAddr,
    /// Where the application is.
    pub(crate) app: SocketAddr,
    pub(crate) responder: Responder,
}

impl Setup {
    pub(crate) async fn new(fault: Fault, app: SocketAddr) -> Self {
        Self::with_limits(fault, app, Limits::default()).await
    }

    pub(crate) async fn with_limits(fault: Fault, app: SocketAddr, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // The client is an in-task client: it arrives at the responder's own port.
        let destination = Destination {
            port: app.port(),
            proxy_port: address.port(),
            loopback4: Some(app),
            loopback6: None,
        };
        let config = Config {
            fault,
            experiment_id: "exp-1".parse().unwrap(),
            destination,
            upstream: Arc::new(Direct),
            probe_token: TOKEN.to_owned(),
            limits,
            stats: Box::leak(Box::default()),
        };
        Self { address, app, responder: start(vec![listener], config).unwrap() }
    }

    /// In front of a port where nobody listens.
    pub(crate) async fn without_app(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        Self::new(fault, nobody).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        self.responder.stats().fill(&mut counters);
        counters
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Reply {
        let mut client = self.client().await;
        client.send(request).await;
        client.reply(method_of(request)).await
    }
}

pub(crate) fn method_of(request: &str) -> &str {
    request.split(' ').next().unwrap()
}

/// Polls until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("did not come true: {what}"));
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("took too long: {what}"))
}
