//! Where an HTTP/1 message ends (RFC 9112 section 6.3). No I/O.

use hyper::{Method, StatusCode, Version};

use crate::decide::Headers;

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The message could be read in two ways, so it must not be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the length of an HTTP/1 message is ambiguous or wrong")]
pub(super) struct Ambiguous;

/// The body of a request.
pub(super) fn of_request(version: Version, headers: &(impl Headers + ?Sized)) -> Result<Framing, Ambiguous> {
    let length = content_length(headers)?;
    match (transfer_coding(headers)?, length) {
        (None, length) => Ok(Framing::Length(length.unwrap_or(0))),
        (Some(Coding::Chunked), None) if version != Version::HTTP_10 => Ok(Framing::Chunked),
        _ => Err(Ambiguous),
    }
}

/// The body of a final response that is allowed to have one.
pub(super) fn of_response(headers: &(impl Headers + ?Sized)) -> Result<Framing, Ambiguous> {
    let length = content_length(headers)?;
    match (transfer_coding(headers)?, length) {
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) | (Some(Coding::Other), None) => Ok(Framing::UntilClose),
        (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
        (Some(_), Some(_)) => Err(Ambiguous),
    }
}

/// Responses that never have a body.
pub(super) fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether the connection goes on after this message.
pub(super) fn keeps_alive(version: Version, headers: &(impl Headers + ?Sized)) -> bool {
    match version {
        Version::HTTP_10 => connection_says(headers, "keep-alive") && !connection_says(headers, "close"),
        _ => !connection_says(headers, "close"),
    }
}

fn connection_says(headers: &(impl Headers + ?Sized), option: &str) -> bool {
    has_word(headers, "connection", option)
}

/// Whether a header that is a list has `word` in it.
pub(super) fn has_word(headers: &(impl Headers + ?Sized), name: &str, word: &str) -> bool {
    let words = headers.values(name).flat_map(|line| line.split(|byte| *byte == b','));
    words.map(<[u8]>::trim_ascii).any(|found| found.eq_ignore_ascii_case(word.as_bytes()))
}

/// Two Content-Length lines are ambiguous even where they agree: recipients differ in what they make of them.
fn content_length(headers: &(impl Headers + ?Sized)) -> Result<Option<u64>, Ambiguous> {
    let mut lines = headers.values("content-length");
    let Some(digits) = lines.next() else { return Ok(None) };
    if lines.next().is_some() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Ambiguous);
    }
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or(Ambiguous).map(Some)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// The last coding is chunked.
    Chunked,
    Other,
}

fn transfer_coding(headers: &(impl Headers + ?Sized)) -> Result<Option<Coding>, Ambiguous> {
    let mut lines = headers.values("transfer-encoding");
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Ambiguous);
    }
    let Ok(line) = str::from_utf8(line) else { return Err(Ambiguous) };
    let codings: Vec<_> = line.split(',').map(str::trim).collect();
    let chunked = codings.iter().filter(|coding| coding.eq_ignore_ascii_case("chunked")).count();
    let last = codings.last().is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    match (chunked, last) {
        (1, true) => Ok(Some(Coding::Chunked)),
        (0, _) => Ok(Some(Coding::Other)),
        _ => Err(Ambiguous),
    }
}

/// Follows the body of one message through the bytes of its connection.
#[derive(Clone, Debug)]
pub(super) struct Body(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Left(u64),
    UntilClose,
    Chunk(Chunk),
    Done,
}

/// RFC 9112 section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the beginning of a trailer line, or of the empty line that ends the message.
    LineStart,
    Trailer,
    TrailerLf,
    EndLf,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Left(length),
            Framing::Chunked => State::Chunk(FIRST),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// How many of `bytes` belong to this message.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Ambiguous> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            used += match &mut self.0 {
                State::Done => break,
                State::UntilClose => rest.len(),
                State::Left(left) => {
                    let count = take(left, rest);
                    if *left == 0 {
                        self.0 = State::Done;
                    }
                    count
                }
                State::Chunk(Chunk::Data { left }) => {
                    let count = take(left, rest);
                    if *left == 0 {
                        self.0 = State::Chunk(Chunk::DataCr);
                    }
                    count
                }
                State::Chunk(chunk) => {
                    self.0 = chunk.next(rest[0])?;
                    1
                }
            };
        }
        Ok(used)
    }

    /// Whether the message is complete. One that ends with the connection never is.
    pub(super) fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    pub(super) fn ends_with_connection(&self) -> bool {
        self.0 == State::UntilClose
    }
}

const FIRST: Chunk = Chunk::Size { size: 0, digits: 0 };

impl Chunk {
    fn next(self, byte: u8) -> Result<State, Ambiguous> {
        let next = match (self, byte) {
            (Self::Size { digits, size }, b'\r') if digits > 0 => Self::SizeLf { size },
            (Self::Size { digits, size }, b';' | b' ' | b'\t') if digits > 0 => Self::Extension { size },
            (Self::Size { digits, size }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Ambiguous)?;
                if digits == 16 {
                    return Err(Ambiguous);
                }
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Extension { size }, b'\r') => Self::SizeLf { size },
            (Self::Extension { .. } | Self::Trailer, b'\n') => return Err(Ambiguous),
            (Self::Extension { .. }, _) => self,
            (Self::SizeLf { size: 0 }, b'\n') => Self::LineStart,
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => FIRST,
            (Self::LineStart, b'\r') => Self::EndLf,
            (Self::LineStart, b'\n') => return Err(Ambiguous),
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::LineStart | Self::Trailer, _) => Self::Trailer,
            (Self::TrailerLf, b'\n') => Self::LineStart,
            (Self::EndLf, b'\n') => return Ok(State::Done),
            _ => return Err(Ambiguous),
        };
        Ok(State::Chunk(next))
    }
}

/// Takes from `left` what `bytes` has of it.
fn take(left: &mut u64, bytes: &[u8]) -> usize {
    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= count as u64;
    count
}

#[cfg(test)]
mod tests;
