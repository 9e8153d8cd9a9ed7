//! The control socket of a running fault: `status` and `remove` from other processes of root.
//!
//! One request and one answer a connection, one JSON document a line, bounded. A `stop` is acknowledged at once; then
//! the connection stays open until the agent has removed the fault and exits.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use httpfault_common::contract::FaultStatus;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::codec::{Framed, LinesCodec};

use crate::state;

/// Longest line. A status of 100 targets stays far below.
const MAX_LINE: usize = 256 * 1024;
/// An agent that lives answers at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// A client that connects asks at once; one that does not may not keep a descriptor.
const QUESTION: Duration = Duration::from_millis(500);
/// How long to wait for a free descriptor.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Status,
    Stop,
}

/// The answer to `stop`.
#[derive(Debug, Serialize, Deserialize)]
struct Acknowledged {}

/// What the run loop is asked.
#[derive(Debug)]
pub(crate) enum Order {
    Status(oneshot::Sender<FaultStatus>),
    /// The sender is kept until the process ends, which tells the client.
    Stop(oneshot::Sender<()>),
}

/// Serves the control socket; orders arrive at the returned channel.
pub(crate) fn serve(path: &Path) -> anyhow::Result<mpsc::Receiver<Order>> {
    let listener = UnixListener::bind(path).with_context(|| format!("making {}", path.display()))?;
    state::make_private(path).with_context(|| format!("protecting {}", path.display()))?;
    let (orders, inbox) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, orders.clone()))),
                // A client that went away, or no descriptor is free. The socket itself lives as long as the process.
                Err(_) => tokio::time::sleep(NO_DESCRIPTOR).await,
            }
        }
    });
    Ok(inbox)
}

async fn answer(stream: UnixStream, orders: mpsc::Sender<Order>) -> Option<()> {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE));
    let line = timeout(QUESTION, lines.next()).await.ok()??.ok()?;
    match serde_json::from_str(&line).ok()? {
        Request::Status => {
            let (reply, status) = oneshot::channel();
            orders.send(Order::Status(reply)).await.ok()?;
            let status = serde_json::to_string(&status.await.ok()?).ok()?;
            lines.send(status).await.ok()
        }
        Request::Stop => {
            let (reply, ended) = oneshot::channel();
            orders.send(Order::Stop(reply)).await.ok()?;
            lines.send(serde_json::to_string(&Acknowledged {}).ok()?).await.ok()?;
            ended.await.ok()
        }
    }
}

/// Asks a running fault for its status.
pub(crate) async fn status(socket: &Path) -> anyhow::Result<FaultStatus> {
    timeout(PATIENCE, async {
        let mut lines = request(socket, &Request::Status).await?;
        let Some(line) = lines.next().await else { bail!("the agent closed the connection") };
        Ok(serde_json::from_str(&line?)?)
    })
    .await
    .context("the agent did not answer within 2 s")?
}

/// Asks a running fault to end, and waits until its agent has exited, at most for `patience`. An agent that does not
/// even acknowledge is not waited for.
pub(crate) async fn stop(socket: &Path, patience: Duration) -> anyhow::Result<()> {
    let mut lines = timeout(PATIENCE, async {
        let mut lines = request(socket, &Request::Stop).await?;
        let Some(line) = lines.next().await else { bail!("the agent closed the connection") };
        let Acknowledged {} = serde_json::from_str(&line?)?;
        Ok(lines)
    })
    .await
    .context("the agent did not answer within 2 s")??;
    let ended = async { while lines.next().await.is_some() {} };
    timeout(patience, ended)
        .await
        .with_context(|| format!("the agent did not end within {} s", patience.as_secs()))
}

async fn request(socket: &Path, request: &Request) -> anyhow::Result<Framed<UnixStream, LinesCodec>> {
    let stream =
        UnixStream::connect(socket).await.with_context(|| format!("connecting to {}", socket.display()))?;
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE));
    lines.send(serde_json::to_string(request)?).await?;
    Ok(lines)
}
