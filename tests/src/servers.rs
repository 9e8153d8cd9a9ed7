//! Real HTTP servers, as targets: what people run in containers, each with the routes of `tests/servers/python/routes.py`.
//! Every answer carries `x-app: real`.

mod files;
mod install;
mod nginx;
mod program;

use std::fmt;

use anyhow::Result;

pub use files::files;

pub(crate) use install::{java_classes, node_modules, source};
pub(crate) use nginx::certificate;
pub(crate) use program::Program;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    Nginx,
    /// HTTP/2 without TLS.
    NginxH2,
    NginxTls,
    /// `http.server` with a thread for each connection.
    PythonThreads,
    /// A connection for each request.
    GunicornSync,
    GunicornThreads,
    Uvicorn,
    /// HTTP/1 and HTTP/2 on one port.
    Hypercorn,
    Node,
    Java,
    Go,
    /// grpcio.
    Grpc,
}

/// What a client has to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// With prior knowledge.
    Http2,
    Grpc,
    /// HTTP/1 inside.
    Tls,
}

impl Server {
    pub const ALL: [Self; 12] = [
        Self::Nginx,
        Self::NginxH2,
        Self::NginxTls,
        Self::PythonThreads,
        Self::GunicornSync,
        Self::GunicornThreads,
        Self::Uvicorn,
        Self::Hypercorn,
        Self::Node,
        Self::Java,
        Self::Go,
        Self::Grpc,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxH2 => "nginx h2c",
            Self::NginxTls => "nginx TLS",
            Self::PythonThreads => "python http.server",
            Self::GunicornSync => "gunicorn sync",
            Self::GunicornThreads => "gunicorn gthread",
            Self::Uvicorn => "uvicorn",
            Self::Hypercorn => "hypercorn",
            Self::Node => "Node http",
            Self::Java => "Java HttpServer",
            Self::Go => "Go net/http",
            Self::Grpc => "grpcio",
        }
    }

    pub fn speaks(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Http1 => !matches!(self, Self::NginxH2 | Self::NginxTls | Self::Grpc),
            Protocol::Http2 => matches!(self, Self::NginxH2 | Self::Hypercorn),
            Protocol::Grpc => self == Self::Grpc,
            Protocol::Tls => self == Self::NginxTls,
        }
    }

    /// Whether a connection serves more than one request.
    pub fn keeps_connections(self) -> bool {
        self != Self::GunicornSync
    }

    pub fn has_websocket(self) -> bool {
        matches!(self, Self::Nginx | Self::Uvicorn | Self::Hypercorn | Self::Node | Self::Go)
    }

    /// Installs and builds what it needs, unless that was done before.
    pub(crate) fn program(self, port: u16) -> Result<Program> {
        let (all, port_word) = (format!("[::]:{port}"), port.to_string());
        match self {
            Self::Nginx => nginx::program(port, nginx::Listen::Plain),
            Self::NginxH2 => nginx::program(port, nginx::Listen::Http2),
            Self::NginxTls => nginx::program(port, nginx::Listen::Tls),
            Self::PythonThreads => Program::python("servers/python/threads.py", &[&port_word]),
            Self::GunicornSync => {
                Program::python_module("gunicorn", &[&GUNICORN[..], &["--bind", &all]].concat())
            }
            Self::GunicornThreads => {
                let threads = ["--worker-class", "gthread", "--threads", "256", "--keep-alive", "600"];
                let args = [&GUNICORN[..], &["--bind", &all], &threads].concat();
                Program::python_module("gunicorn", &args)
            }
            Self::Uvicorn => Program::python("servers/python/uvicorn_server.py", &[&port_word]),
            Self::Hypercorn => {
                let args = ["asgi:app", "--bind", &all, "--keep-alive", "600", "--log-level", "error"];
                Program::python_module("hypercorn", &args)
            }
            Self::Node => Ok(Program::new("node").arg(source("servers/js/server.js")).args(&[&port_word])),
            Self::Java => {
                let nodelay = "-Dsun.net.httpserver.nodelay=true";
                let idle = "-Dsun.net.httpserver.idleInterval=600";
                let program = Program::new("java").args(&["-Xmx128m", nodelay, idle, "-cp"]);
                Ok(program.arg(java_classes()?).args(&["Server", &port_word]))
            }
            Self::Go => Ok(Program::new(install::go_server()?).args(&[&port_word])),
            Self::Grpc => Program::python("servers/python/grpc_server.py", &[&port_word]),
        }
    }
}

const GUNICORN: [&str; 4] = ["wsgi:app", "--log-level", "error", "--no-control-socket"];

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
