//! One gRPC call of each kind, by clients that many use.

use std::net::SocketAddr;

use anyhow::Result;

use crate::{
    command::output,
    netns::Namespace,
    servers::{Program, node_modules, source},
};

/// A client of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// grpcio.
    Python,
    /// @grpc/grpc-js.
    Node,
}

impl Caller {
    pub const ALL: [Self; 2] = [Self::Python, Self::Node];

    /// The calls with the status of each, a line each: `unary UNAVAILABLE details`.
    pub fn call(self, namespace: &Namespace, to: SocketAddr) -> Result<String> {
        let program = match self {
            Self::Python => Program::python("clients/python/grpc_calls.py", &[&to.to_string()])?,
            Self::Node => {
                let node = Program::new("node").env("NODE_PATH", node_modules()?.join("node_modules"));
                node.arg(source("clients/js/grpc_calls.js")).args(&[&to.to_string()])
            }
        };
        output(&mut program.as_client(namespace))
    }
}
