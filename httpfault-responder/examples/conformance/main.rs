//! Prints what clients see of each corner of HTTP, as a table: faulted, with the application's answer (forwarded), and
//! spared. `cargo xtask conformance` writes it to docs/http.md.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program that shows what it saw"
)]

mod application;
mod http1;
mod http2;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use httpfault_common::contract::{Fault, GrpcError, Replacement, Selection};
use httpfault_responder::{Config, Connecting, Destination, Limits, Responder, Upstream, start};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// What the fault does to requests.
#[derive(Clone, Copy)]
enum Mode {
    Faulted,
    Forwarded,
    Spared,
}

const MODES: [Mode; 3] = [Mode::Faulted, Mode::Forwarded, Mode::Spared];

struct Direct;

impl Upstream for Direct {
    fn connect(&self, address: SocketAddr) -> Connecting {
        Box::pin(TcpStream::connect(address))
    }
}

impl Mode {
    fn fault(self) -> Fault {
        let fault = Fault {
            status: 503,
            replacement: Some(Replacement::default()),
            headers: vec![],
            marker: true,
            percent: 100.0,
            seed: Some(1),
            selection: Selection::default(),
            grpc: GrpcError::default(),
        };
        match self {
            Self::Faulted => fault,
            Self::Forwarded => Fault { replacement: None, ..fault },
            // Some are selected, but none of these.
            Self::Spared => {
                let selection = Selection { paths: vec!["/selected".into()], ..Selection::default() };
                Fault { selection, ..fault }
            }
        }
    }

    /// A responder in front of the application.
    async fn start(self, application: SocketAddr) -> (SocketAddr, Responder) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            fault: self.fault(),
            experiment_id: "conformance".parse().unwrap(),
            destination: Destination {
                port: application.port(),
                proxy_port: address.port(),
                loopback4: Some(application),
                loopback6: None,
            },
            upstream: Arc::new(Direct),
            probe_token: String::new(),
            limits: Limits { head_time: Duration::from_millis(300), ..Limits::default() },
            stats: Box::leak(Box::default()),
        };
        (address, start(vec![listener], config).unwrap())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let application = application::start().await;
    println!("| HTTP/1 | faulted | with the application's answer | spared |\n| --- | --- | --- | --- |");
    for (name, request) in http1::rows() {
        let request = request.as_str();
        row(name, |mode| async move {
            let (address, _responder) = mode.start(application).await;
            http1::see(address, request).await
        })
        .await;
    }
    println!("\n| HTTP/2 | faulted | with the application's answer | spared |\n| --- | --- | --- | --- |");
    for (name, ask) in http2::rows() {
        row(name, |mode| async move {
            let (address, _responder) = mode.start(application).await;
            http2::see(address, ask).await
        })
        .await;
    }
}

async fn row<F: Future<Output = String>>(name: &str, see: impl Fn(Mode) -> F) {
    let mut cells = vec![name.to_owned()];
    for mode in MODES {
        let seen = timeout(Duration::from_secs(20), see(mode)).await;
        cells.push(seen.unwrap_or_else(|_| panic!("{name} took too long")));
    }
    println!("| {} |", cells.join(" | "));
}

/// An answer in a few words.
fn words(status: &str, is_fault: bool, may_be_stored: bool) -> String {
    let who = match (is_fault, status) {
        (true, _) => "fault",
        (false, "100" | "101") => "",
        (false, _) => "application",
    };
    let stored = if is_fault && may_be_stored { ", may be stored" } else { "" };
    format!("{status} {who}{stored}").trim_end().to_owned()
}
