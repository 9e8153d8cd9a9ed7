//! An application for probes to ask: a server whose answers a test decides, request by request.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::Site;

/// A request as it came, header names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Serves until the test's process ends.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Decide = dyn Fn(&Asked) -> (u16, String) + Send + Sync;

impl Application {
    pub(crate) fn start(decide: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::serve(decide, None)
    }

    /// The same over TLS.
    pub(crate) fn start_tls(
        tls: ServerConfig,
        decide: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(decide, Some(Arc::new(tls)))
    }

    fn serve(
        decide: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (journal, decide): (_, Arc<Decide>) = (Arc::clone(&asked), Arc::new(decide));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (journal, decide, tls) = (Arc::clone(&journal), Arc::clone(&decide), tls.clone());
                // A client that goes away in the middle is no matter here.
                std::thread::spawn(move || match tls {
                    Some(tls) => {
                        let session = ServerConnection::new(tls).unwrap();
                        let _gone = answer(StreamOwned::new(session, stream), &journal, decide.as_ref());
                    }
                    None => {
                        let _gone = answer(stream, &journal, decide.as_ref());
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(stream: impl Read + Write, journal: &Mutex<Vec<Asked>>, decide: &Decide) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let mut first = head.first().map(String::as_str).unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let header = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<_> = head.iter().skip(1).filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let asked = Asked { method: method.to_owned(), target: target.to_owned(), headers, body };
    journal.lock().unwrap().push(asked.clone());
    let (status, text) = decide(&asked);
    let text = if asked.method == "HEAD" { String::new() } else { text };
    let stream = reader.get_mut();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )?;
    stream.flush()
}

/// Whether a fault is on at a host, as clients would notice it.
pub(crate) fn faulted(site: &Site, instance: &str) -> impl Fn() -> bool + Send + Sync + 'static {
    let state = site.on_host(instance, "/run/httpfault");
    move || {
        let on = |entry: &std::fs::DirEntry| entry.path().join("at").exists();
        std::fs::read_dir(&state)
            .is_ok_and(|mut found| found.any(|entry| entry.is_ok_and(|entry| on(&entry))))
    }
}

/// The stream of a client that says nothing.
pub(crate) fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What a client that went away leaves open is closed with it.
pub(crate) fn refusing() -> SocketAddr {
    let (listener, address) = silent();
    drop::<(TcpListener, Option<TcpStream>)>((listener, None));
    address
}
