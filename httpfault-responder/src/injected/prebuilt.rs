//! Injected responses as the bytes of HTTP/1, one for each shape of request; only the date changes.

use bytes::Bytes;
use hyper::{
    Method, Response, StatusCode,
    ext::ReasonPhrase,
    header::{CONTENT_LENGTH, DATE},
};

use super::date;

/// What the bytes of an injected response depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) is_json: bool,
    pub(crate) is_head: bool,
    pub(crate) is_http10: bool,
    pub(crate) keeps_alive: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Prebuilt {
    answers: Vec<Answer>,
}

struct Answer {
    bytes: Vec<u8>,
    /// Where the date is; `None` if the fault brings its own.
    date: Option<usize>,
}

impl Shape {
    /// Of a request that could not be read.
    pub(crate) const UNREAD: Self =
        Self { is_json: false, is_head: false, is_http10: false, keeps_alive: false };

    pub(super) fn method(self) -> Method {
        if self.is_head { Method::HEAD } else { Method::GET }
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits| Self {
            is_json: bits & 1 != 0,
            is_head: bits & 2 != 0,
            is_http10: bits & 4 != 0,
            keeps_alive: bits & 8 != 0,
        })
    }

    fn number(self) -> usize {
        usize::from(self.is_json)
            | usize::from(self.is_head) << 1
            | usize::from(self.is_http10) << 2
            | usize::from(self.keeps_alive) << 3
    }
}

impl Prebuilt {
    pub(super) fn new(response: impl Fn(Shape) -> Response<Bytes>) -> Self {
        Self { answers: Shape::all().map(|shape| Answer::new(shape, &response(shape))).collect() }
    }

    pub(super) fn write(&self, shape: Shape, out: &mut Vec<u8>) {
        let Answer { bytes, date } = &self.answers[shape.number()];
        let begin = out.len();
        out.extend_from_slice(bytes);
        if let Some(at) = date {
            date::write(&mut out[begin + at..][..date::LENGTH]);
        }
    }
}

impl Answer {
    fn new(shape: Shape, response: &Response<Bytes>) -> Self {
        let (status, headers, body) = (response.status(), response.headers(), response.body());
        let version = if shape.is_http10 { "HTTP/1.0" } else { "HTTP/1.1" };
        let given = response.extensions().get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
        let reason = given.or(status.canonical_reason().map(str::as_bytes)).unwrap_or_default();
        let mut bytes = format!("{version} {} ", status.as_u16()).into_bytes();
        bytes.extend_from_slice(reason);
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let has_no_length = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if !has_no_length && !headers.contains_key(CONTENT_LENGTH) {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        match (shape.is_http10, shape.keeps_alive) {
            (true, true) => bytes.extend_from_slice(b"connection: keep-alive\r\n"),
            (false, false) => bytes.extend_from_slice(b"connection: close\r\n"),
            // What the version means without a word.
            (true, false) | (false, true) => {}
        }
        let date = (!headers.contains_key(DATE)).then(|| {
            bytes.extend_from_slice(b"date: ");
            let at = bytes.len();
            bytes.extend_from_slice(&[b' '; date::LENGTH]);
            bytes.extend_from_slice(b"\r\n");
            at
        });
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Self { bytes, date }
    }
}
