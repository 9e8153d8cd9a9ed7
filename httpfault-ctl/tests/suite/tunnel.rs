//! A proxy as companies have it: it takes CONNECT and nothing else. Behind it stands a server with a certificate for
//! AWS's names, which is the simulator.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;

use crate::tls;

pub(crate) struct Tunnel {
    address: SocketAddr,
    /// The authority to trust.
    pub(crate) ca: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// A proxy whose every connection ends at `simulator`.
    pub(crate) fn to(simulator: &str, names: &[&str], files: &Path) -> Self {
        let simulator: SocketAddr = simulator.trim_start_matches("http://").parse().unwrap();
        let (tls, pem) = tls::acceptor(names);
        let ca = files.join("ca.pem");
        std::fs::write(&ca, pem).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let seen = Arc::clone(&asked);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, tls, simulator, seen) => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), ca, asked, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked of the proxy, first lines of requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _already_failed = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    simulator: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, seen) = (tls.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            // A client that goes away is no news.
            let _gone = connect(stream, &tls, simulator, &seen).await;
        });
    }
}

async fn connect(
    stream: TcpStream,
    tls: &TlsAcceptor,
    simulator: SocketAddr,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let mut line = first.clone();
    while !line.trim().is_empty() {
        line.clear();
        stream.read_line(&mut line).await?;
    }
    seen.lock().unwrap().push(first.trim().to_owned());
    if !first.starts_with("CONNECT ") {
        return stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n").await;
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    pass(tls.accept(stream).await?, simulator).await
}

async fn pass(mut client: impl AsyncRead + AsyncWrite + Unpin, simulator: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(simulator).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
