//! A client that shows what is on the wire: one connection, bytes out, responses in, and exactly how it broke.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::socket::{MsgFlags, recv};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(15);
const MAX_HEADERS: usize = 64;

/// Header or trailer fields, names in lower case.
pub type Fields = Vec<(String, String)>;

/// One connection that stays open between requests.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// One response, its body without the framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Of HTTP/1: 0 or 1.
    pub minor_version: u8,
    pub status: u16,
    pub reason: String,
    pub headers: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

/// How a request ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Broken {
    Refused,
    Reset,
    /// The other side closed in order before any byte of the response: the request may be sent again.
    Closed,
    /// The other side closed in the middle of the response.
    Truncated,
    Timeout,
    NotHttp,
    Other(ErrorKind),
}

// === impl Connection ===

impl Connection {
    /// Connects from the namespace of the calling thread.
    pub fn open(to: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect_timeout(&to, CONNECT)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// How long to wait for bytes.
    pub fn patience(&self, time: Duration) -> Result<(), Broken> {
        Ok(self.stream.set_read_timeout(Some(time))?)
    }

    /// Whether the other side has closed in order, and nothing of it is unread: what clients with a pool look at before
    /// they send their next request.
    pub fn is_closed(&self) -> bool {
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        matches!(recv(self.stream.as_raw_fd(), &mut [0], look), Ok(0))
    }

    /// A GET on this connection, which the client would keep.
    pub fn get(&mut self, path: &str) -> Result<Response, Broken> {
        self.ask("GET", path, &[], b"")
    }

    /// Any request with a `Content-Length` where there is a body.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Result<Response, Broken> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: app\r\n");
        headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.send(&[head.as_bytes(), body].concat())?;
        self.response(method)
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// The next response, to a request with that method. Interim responses (1xx but 101) are given as they come.
    pub fn response(&mut self, method: &str) -> Result<Response, Broken> {
        let mut response = self.head()?;
        let bodiless = method == "HEAD" || response.status < 200 || matches!(response.status, 204 | 304);
        if bodiless {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            (response.body, response.trailers) = self.chunks()?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_not_a_number: std::num::ParseIntError| Broken::NotHttp)?;
            response.body = self.exactly(length)?;
        } else {
            response.body = self.rest()?;
        }
        Ok(response)
    }

    /// The next `count` bytes.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        while self.unread.len() < count {
            self.more()?.then_some(()).ok_or(Broken::Truncated)?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// All bytes until the other side closes.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.unread))
    }

    fn head(&mut self) -> Result<Response, Broken> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = httparse::Response::new(&mut headers);
            let parsed = head.parse(&self.unread).map_err(|_malformed| Broken::NotHttp)?;
            if let httparse::Status::Complete(bytes) = parsed {
                let response = Response {
                    minor_version: head.version.unwrap_or_default(),
                    status: head.code.unwrap_or_default(),
                    reason: head.reason.unwrap_or_default().to_owned(),
                    headers: head.headers.iter().map(pair).collect(),
                    body: Vec::new(),
                    trailers: Vec::new(),
                };
                self.unread.drain(..bytes);
                return Ok(response);
            }
            let begun = !self.unread.is_empty();
            if !self.more()? {
                return Err(if begun { Broken::Truncated } else { Broken::Closed });
            }
        }
    }

    fn chunks(&mut self) -> Result<(Vec<u8>, Fields), Broken> {
        let mut body = Vec::new();
        loop {
            let parsed = httparse::parse_chunk_size(&self.unread).map_err(|_invalid| Broken::NotHttp)?;
            let httparse::Status::Complete((line, size)) = parsed else {
                self.more()?.then_some(()).ok_or(Broken::Truncated)?;
                continue;
            };
            self.unread.drain(..line);
            if size == 0 {
                return Ok((body, self.trailers()?));
            }
            let size = usize::try_from(size).map_err(|_too_long| Broken::NotHttp)?;
            body.extend(self.exactly(size)?);
            self.exactly(2)?;
        }
    }

    fn trailers(&mut self) -> Result<Fields, Broken> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let parsed =
                httparse::parse_headers(&self.unread, &mut headers).map_err(|_malformed| Broken::NotHttp)?;
            if let httparse::Status::Complete((bytes, trailers)) = parsed {
                let trailers = trailers.iter().map(pair).collect();
                self.unread.drain(..bytes);
                return Ok(trailers);
            }
            self.more()?.then_some(()).ok_or(Broken::Truncated)?;
        }
    }

    /// Reads what comes next; false at an orderly end.
    fn more(&mut self) -> Result<bool, Broken> {
        let mut piece = [0; 64 * 1024];
        let count = loop {
            match self.stream.read(&mut piece) {
                // A read with a time limit is not restarted by itself.
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.unread.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }
}

fn pair(header: &httparse::Header<'_>) -> (String, String) {
    (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
}

/// One request on a connection of its own.
pub fn get(to: SocketAddr, path: &str) -> Result<Response> {
    let response = Connection::open(to)
        .and_then(|mut connection| connection.ask("GET", path, &["Connection: close"], b""));
    response.with_context(|| format!("GET {path} from {to}"))
}

// === impl Response ===

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The experiment that injected the response, from its marker.
    pub fn injected_by(&self) -> Option<&str> {
        self.header("x-httpfault")
    }

    /// Whether the application made it.
    pub fn is_real(&self) -> bool {
        self.header("x-app") == Some("real") && self.injected_by().is_none()
    }

    /// Whether the connection can be used again.
    pub fn keeps_connection(&self) -> bool {
        let option = self.header("connection").unwrap_or_default().to_ascii_lowercase();
        if self.minor_version == 0 { option.contains("keep-alive") } else { !option.contains("close") }
    }
}

// === impl Broken ===

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if kind == ErrorKind::ConnectionRefused {
            Self::Refused
        } else if matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted) {
            Self::Reset
        } else if kind == ErrorKind::BrokenPipe {
            // A reset that came after an orderly end (tcp_reset() in net/ipv4/tcp_input.c).
            Self::Closed
        } else if matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            Self::Timeout
        } else {
            Self::Other(kind)
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset"),
            Self::Closed => f.write_str("closed before a response"),
            Self::Truncated => f.write_str("closed in the middle of a response"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::Other(kind) => write!(f, "{kind}"),
        }
    }
}

impl std::error::Error for Broken {}
