//! What the ECS container agent offers on an instance: its introspection API and its metadata files.

use std::{
    convert::Infallible,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{docker::Container, netns::Namespace};

/// Region, account and cluster of [`task_arn`].
const CLUSTER: &str = "shop";

pub fn task_arn(id: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:task/{CLUSTER}/{id}")
}

/// One task as `/v1/tasks` lists it (amazon-ecs-agent, handlers/v1/response.go).
pub fn listed(id: &str, containers: &[&Container<'_>]) -> Value {
    let containers = containers.iter().map(|container| {
        json!({ "DockerId": container.id, "DockerName": format!("ecs-shop-1-{}-0a1b", container.name),
                "Name": container.name })
    });
    json!({ "Arn": task_arn(id), "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Family": "shop",
            "Version": "1", "Containers": containers.collect::<Vec<_>>() })
}

/// Writes the metadata files of a task below `data`, as the ECS agent does below /var/lib/ecs/data.
pub fn write_metadata(data: &Path, task: &str, containers: &[&Container<'_>]) -> Result<()> {
    for container in containers {
        let directory = data.join("metadata").join(CLUSTER).join(task).join(&container.name);
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let metadata = json!({
            "Cluster": CLUSTER, "TaskARN": task_arn(task), "ContainerID": container.id,
            "ContainerName": container.name, "DockerContainerName": format!("/{}", container.name),
            "MetadataFileStatus": "READY",
        });
        fs::write(directory.join("ecs-container-metadata.json"), metadata.to_string())?;
    }
    Ok(())
}

/// The introspection API on a free port of the instance's loopback.
#[derive(Debug)]
pub struct Introspection {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Introspection {
    pub fn start(namespace: &Namespace, tasks: Vec<Value>) -> Result<Self> {
        Self::at(namespace, 0, tasks)
    }

    /// On a port of the caller's choice; the ECS agent's own is 51678.
    pub fn at(namespace: &Namespace, port: u16, tasks: Vec<Value>) -> Result<Self> {
        let listener = namespace.run(|| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?))?;
        let address = listener.local_addr().context("asking for the port")?;
        listener.set_nonblocking(true).context("preparing the listener")?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    ended = serve(listener, Arc::new(tasks)) => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Introspection {
    fn drop(&mut self) {
        // The server ends when its side of the channel does.
        drop(self.stop.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the introspection API failed: {error:#}");
        }
    }
}

async fn serve(listener: TcpListener, tasks: Arc<Vec<Value>>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("using the listener")?;
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        let tasks = Arc::clone(&tasks);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, &tasks);
                async move { Ok::<_, Infallible>(response) }
            });
            let ended = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(ended);
        });
    }
}

fn answer(request: &Request<Incoming>, tasks: &[Value]) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    let body = match (request.uri().path(), query.split_once('=')) {
        ("/v1/metadata", _) => Some(json!({ "Cluster": CLUSTER, "Version": "Amazon ECS Agent - v1.96.0" })),
        ("/v1/tasks", None) => Some(json!({ "Tasks": tasks })),
        ("/v1/tasks", Some(("taskarn", arn))) => tasks.iter().find(|task| task["Arn"] == arn).cloned(),
        _ => None,
    };
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::from(body.unwrap_or_else(|| json!({})).to_string()));
    *response.status_mut() = status;
    response
}
