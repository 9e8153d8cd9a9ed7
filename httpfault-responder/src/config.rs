//! What the driver of the responder decides.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use httpfault_common::contract::{ExperimentId, Fault};
use tokio::net::TcpStream;

use crate::stats::Stats;

/// One fault at one target.
pub struct Config {
    /// How selected requests are answered.
    pub fault: Fault,
    /// Goes into the marker header and the chaos body.
    pub experiment_id: ExperimentId,
    /// Where the application is.
    pub destination: Destination,
    /// Opens connections to the application.
    pub upstream: Arc<dyn Upstream>,
    /// Value of `x-httpfault-probe` by which the driver's own probe is known. An empty token knows none.
    pub probe_token: String,
    /// Bounds of everything that a client controls.
    pub limits: Limits,
    /// Where is counted. It may lie in memory that the driver shares with another process.
    pub stats: &'static Stats,
}

/// A connection to the application being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The application's network namespace, as the driver sees it from outside.
pub trait Upstream: Send + Sync {
    /// Connects to `address` as the target itself would.
    fn connect(&self, address: SocketAddr) -> Connecting;

    /// Whether the client that is connected from `client` to the responder's own address `local` was sent there by the
    /// driver. Others are refused: any process of the namespace could connect there.
    fn was_sent_here(&self, client: SocketAddr, local: SocketAddr) -> bool {
        let _whoever = (client, local);
        true
    }
}

/// Where connections were going before they were steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The application's port.
    pub port: u16,
    /// The responder's own port on loopback.
    pub proxy_port: u16,
    /// Where in-task IPv4 clients were connecting to; `None` is 127.0.0.1 and `port`.
    pub loopback4: Option<SocketAddr>,
    /// Where in-task IPv6 clients were connecting to; `None` is `::1` and `port`.
    pub loopback6: Option<SocketAddr>,
}

impl Destination {
    /// The original destination of an accepted connection.
    ///
    /// `sk_lookup` rewrites nothing, so the local address is the destination. Only in-task clients, whose `connect` was
    /// redirected, arrive at the responder's own port on loopback; theirs is the application's loopback address. An
    /// IPv4-mapped IPv6 address counts as the IPv4 address that it carries.
    pub fn origin(&self, local: SocketAddr) -> SocketAddr {
        let ip = local.ip().to_canonical();
        if !(ip.is_loopback() && local.port() == self.proxy_port) {
            return match ip {
                IpAddr::V4(_) => SocketAddr::new(ip, local.port()),
                // Keeps the scope id of a link-local address.
                IpAddr::V6(_) => local,
            };
        }
        let known = match ip {
            IpAddr::V4(_) => self.loopback4,
            IpAddr::V6(_) => self.loopback6,
        };
        known.unwrap_or(SocketAddr::new(ip, self.port))
    }
}

/// Bounds of everything that a client controls.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at the same time. Further ones wait in the accept queue.
    pub max_connections: usize,
    /// Request head, bytes. Answered with 431 where every request is faulted, passed to the application otherwise.
    pub head_bytes: usize,
    /// Time for one request head, from its first byte.
    pub head_time: Duration,
    /// How long a connection may be idle. An Application Load Balancer reuses connections for 60 s by default and
    /// expects the target to keep them for longer.
    pub idle_time: Duration,
    /// After this silence of an accepted client, which the kernel has given a second before, the application is asked
    /// whether it wants to speak first.
    pub silence: Duration,
    /// Time for one connection to the application.
    pub connect_time: Duration,
    /// Request body of a faulted request that is read and thrown away, bytes.
    pub discard_bytes: u64,
    /// Time for that.
    pub discard_time: Duration,
    /// How long a closed connection is still read, so that the client gets the last response and not a reset.
    pub linger_time: Duration,
    /// Concurrent HTTP/2 streams of a connection.
    pub http2_streams: u32,
    /// After the grace of [`finish`](crate::Responder::finish): time for responses that are under way.
    pub last_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            head_bytes: 64 * 1024,
            head_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(600),
            silence: Duration::from_millis(200),
            connect_time: Duration::from_secs(10),
            discard_bytes: 64 * 1024 * 1024,
            discard_time: Duration::from_secs(60),
            linger_time: Duration::from_secs(2),
            http2_streams: 256,
            last_time: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> Destination {
        Destination {
            port: 80,
            proxy_port: 20000,
            loopback4: Some("127.0.0.1:80".parse().unwrap()),
            loopback6: None,
        }
    }

    #[track_caller]
    fn origin_is(local: &str, origin: &str) {
        assert_eq!(destination().origin(local.parse().unwrap()), origin.parse().unwrap());
    }

    #[test]
    fn steered_connections_keep_their_address() {
        origin_is("10.0.1.7:80", "10.0.1.7:80");
        origin_is("[fd00::7]:80", "[fd00::7]:80");
        origin_is("127.0.0.1:80", "127.0.0.1:80");
    }

    #[test]
    fn in_task_clients_were_going_to_loopback() {
        origin_is("127.0.0.1:20000", "127.0.0.1:80");
        origin_is("[::1]:20000", "[::1]:80");
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        origin_is("[::ffff:10.0.1.7]:80", "10.0.1.7:80");
        origin_is("[::ffff:127.0.0.1]:20000", "127.0.0.1:80");
    }

    #[test]
    fn the_proxy_port_on_another_address_is_a_destination() {
        origin_is("10.0.1.7:20000", "10.0.1.7:20000");
    }
}
