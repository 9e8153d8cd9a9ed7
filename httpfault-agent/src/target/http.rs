//! One GET of a JSON document from an agent on this host, over TCP or a Unix socket, bounded in time and size.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// How long a source may take. They are on this host: one that does not answer by then is not there.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest document: a host with a few hundred containers.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// GET over TCP.
pub(super) async fn get<T: DeserializeOwned>(base: &str, path_and_query: &str) -> anyhow::Result<T> {
    let uri: Uri =
        format!("{}{path_and_query}", base.trim_end_matches('/')).parse().context("reading the URL")?;
    ensure!(uri.scheme_str() == Some("http"), "{base} is not an http:// URL");
    let authority = uri.authority().context("the URL names no host")?.clone();
    let address = (authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().unwrap_or(80));
    timeout(PATIENCE, async {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("connecting to {authority}"))?;
        request(stream, authority.as_str(), path_and_query).await
    })
    .await
    .context("no answer within 5 s")?
}

/// GET over a Unix socket.
pub(super) async fn get_unix<T: DeserializeOwned>(socket: &Path, path_and_query: &str) -> anyhow::Result<T> {
    timeout(PATIENCE, async {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("connecting to {}", socket.display()))?;
        request(stream, "localhost", path_and_query).await
    })
    .await
    .context("no answer within 5 s")?
}

async fn request<T, S>(stream: S, host: &str, path_and_query: &str) -> anyhow::Result<T>
where
    T: DeserializeOwned,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path_and_query).header(HOST, host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BYTES)
        .collect()
        .await
        .map_err(|why| anyhow::anyhow!(why).context("reading the answer"))?
        .to_bytes();
    connection.abort();
    match status {
        StatusCode::OK => {
            serde_json::from_slice(&body).context("the answer is not the JSON that was expected")
        }
        StatusCode::NOT_FOUND => bail!("it does not exist (404)"),
        other => bail!("the answer was {other}: {}", String::from_utf8_lossy(&body).trim()),
    }
}
