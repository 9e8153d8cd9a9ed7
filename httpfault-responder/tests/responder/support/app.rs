//! An application that records what it gets, byte for byte, and answers what it is told to.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

type Handling = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    seen: Seen,
    _task: AbortOnDropHandle<()>,
}

/// Bytes received, by connection.
type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

pub(crate) struct AppConnection {
    pub(crate) stream: TcpStream,
    buf: BytesMut,
    seen: Seen,
    number: usize,
}

impl App {
    pub(crate) async fn new<F, H>(handle: F) -> Self
    where
        F: Fn(AppConnection) -> H + Send + Sync + 'static,
        H: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let all_seen = Arc::clone(&seen);
        let handle = move |connection| Box::pin(handle(connection)) as Handling;
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let seen = Arc::clone(&all_seen);
                let number = seen.lock().unwrap().len();
                seen.lock().unwrap().push(Vec::new());
                tokio::spawn(handle(AppConnection { stream, buf: BytesMut::new(), seen, number }));
            }
        });
        Self { address, seen, _task: AbortOnDropHandle::new(task) }
    }

    /// Answers every request (without body, or with Content-Length) with `response`.
    pub(crate) async fn canned(response: &'static str) -> Self {
        Self::new(move |mut connection: AppConnection| async move {
            while let Some(head) = connection.head().await {
                let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                connection.exactly(length).await;
                connection.send(response).await;
                if response.contains("onnection: close") {
                    return;
                }
            }
        })
        .await
    }

    /// Sends everything back.
    pub(crate) async fn echo() -> Self {
        Self::new(async |mut connection: AppConnection| {
            let mut bytes = vec![0; 4096];
            while let Ok(count @ 1..) = connection.stream.read(&mut bytes).await {
                connection.record(&bytes[..count]);
                if connection.stream.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// What all connections received, one after the other.
    pub(crate) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().concat()).into_owned()
    }
}

impl AppConnection {
    fn record(&self, bytes: &[u8]) {
        self.seen.lock().unwrap()[self.number].extend(bytes);
    }

    async fn fill(&mut self) -> bool {
        let before = self.buf.len();
        let more = matches!(self.stream.read_buf(&mut self.buf).await, Ok(1..));
        self.record(&self.buf[before..]);
        more
    }

    /// The next request's head; `None` at the end of the stream.
    pub(crate) async fn head(&mut self) -> Option<String> {
        self.through("\r\n\r\n").await
    }

    /// Everything up to and with `end`.
    pub(crate) async fn through(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self.buf.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let bytes = self.buf.split_to(at + end.len());
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buf.len() < count && self.fill().await {}
        let count = count.min(self.buf.len());
        self.buf.split_to(count).to_vec()
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The client may be gone; what it should have seen is checked at its side.
        let _gone = self.stream.write_all(bytes.as_ref()).await;
    }
}

pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .next()
}
