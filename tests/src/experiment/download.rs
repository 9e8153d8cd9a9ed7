//! A server of one file on the instance's loopback, for hosts that download the agent.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;

use crate::{netns::Namespace, server::Server};

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Download(Server);

impl Download {
    pub fn serve(namespace: &Namespace, file: &Path) -> Result<Self> {
        let data = Bytes::from(fs::read(file).with_context(|| format!("reading {}", file.display()))?);
        Server::start(namespace, 0, move |_request| Response::new(Full::new(data.clone()))).map(Self)
    }

    /// With the place of the architecture, as AGENT_URL has it.
    pub fn url(&self) -> String {
        format!("http://{}/httpfault-agent-{{arch}}", self.0.address)
    }
}
