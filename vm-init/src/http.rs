//! The least HTTP that shows who answered, and how a connection ended.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What the application answers.
pub(crate) const REAL: &str = "real";
/// Header of injected responses.
const MARKER: &str = "x-httpfault";
const PATIENCE: Duration = Duration::from_secs(15);

/// One connection that stays open between requests.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether it carries the marker header.
    pub(crate) marked: bool,
    pub(crate) body: String,
}

/// How a request ended without one.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The other side closed in order.
    Closed,
    Reset,
    Other(io::Error),
}

// === impl Connection ===

impl Connection {
    pub(crate) fn open(to: SocketAddr, patience: Duration) -> Result<Self, Broken> {
        let stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// A connection of a patient client.
    pub(crate) fn patient(to: SocketAddr) -> Result<Self, Broken> {
        Self::open(to, PATIENCE)
    }

    pub(crate) fn get(&mut self) -> Result<Answer, Broken> {
        self.stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")?;
        let (mut answer, length) = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            self.more()?;
        };
        while self.unread.len() < length {
            self.more()?;
        }
        let body: Vec<u8> = self.unread.drain(..length).collect();
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }

    /// Waits for the other side to end the connection.
    pub(crate) fn end(&mut self) -> Broken {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(broken) => return broken,
            }
        }
    }

    /// The response so far and the length of its body, once the header is complete.
    fn head(&mut self) -> Result<Option<(Answer, usize)>, Broken> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(bytes) = head.parse(&self.unread).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let value = |name| head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let length = value("content-length").and_then(|header| std::str::from_utf8(header.value).ok());
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let status = head.code.unwrap_or_default();
        let answer = Answer { status, marked: value(MARKER).is_some(), body: String::new() };
        self.unread.drain(..bytes);
        Ok(Some((answer, length)))
    }

    fn more(&mut self) -> Result<(), Broken> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece)? {
            0 => Err(Broken::Closed),
            count => {
                self.unread.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Whether the application alone made it.
    pub(crate) fn is_real(&self) -> bool {
        self.status == 200 && !self.marked && self.body == REAL
    }

    /// Whether the responder made it, with this status.
    pub(crate) fn is_fault(&self, status: u16) -> bool {
        self.status == status && self.marked
    }
}

// === impl Broken ===

impl From<io::Error> for Broken {
    fn from(why: io::Error) -> Self {
        if matches!(why.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) {
            Self::Reset
        } else {
            Self::Other(why)
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed in order"),
            Self::Reset => f.write_str("the connection was reset"),
            Self::Other(why) => write!(f, "the connection broke: {why}"),
        }
    }
}

impl std::error::Error for Broken {}
