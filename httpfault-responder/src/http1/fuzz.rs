//! Fuzz targets of the parsers of HTTP/1: whatever the bytes, and wherever they are cut.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt as _, runtime};

use super::{
    framing::{Body, Framing},
    head::{Parsed, RequestHead, ResponseHead, with_close, without_h2c},
};
use crate::{
    decide::Verdict,
    fuzz::{CORPUS, Random, bytes, cut},
};

/// A request as somebody understood it.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    method: String,
    /// `None` where one of the two does not keep it as it was sent.
    path: Option<String>,
    body: Vec<u8>,
}

fn parse(bytes: &[u8]) -> (Parsed<RequestHead>, String) {
    let mut path = String::new();
    let head = RequestHead::parse(bytes, |facts| {
        path = facts.path.to_owned();
        Verdict::Spare
    });
    (head, path)
}

#[test]
fn a_request_head_means_the_same_however_much_follows() {
    let check = |bytes: &[u8]| {
        let whole = parse(bytes).0;
        for end in 0..bytes.len() {
            match (parse(&bytes[..end]).0, &whole) {
                (Parsed::Partial, _) => {}
                (Parsed::Complete(early), Parsed::Complete(late)) => {
                    let meaning = |head: &RequestHead| (head.len, head.framing, head.keeps_alive);
                    assert_eq!(meaning(&early), meaning(late));
                }
                (Parsed::NotUnderstood, Parsed::NotUnderstood) => {}
                (early, late) => panic!("{early:?} of {end} bytes, then {late:?}"),
            }
        }
        if let Parsed::Complete(head) = whole {
            assert!(head.len <= bytes.len());
            // Without the offer of HTTP/2 it is the same request.
            let edited = without_h2c(&bytes[..head.len]);
            let Parsed::Complete(again) = parse(&edited).0 else { panic!("{edited:?} is no head") };
            assert!(!again.offers_h2c && again.len == edited.len());
            assert_eq!((again.method, again.framing), (head.method, head.framing));
        }
    };
    CORPUS.iter().for_each(|message| check(message.as_bytes()));
    bolero::check!().with_type::<Random>().for_each(|random| check(&bytes(random)));
}

#[test]
fn a_response_head_means_the_same_however_much_follows_and_can_be_told_to_close() {
    let check = |bytes: &[u8]| {
        let Parsed::Complete(head) = ResponseHead::parse(bytes) else { return };
        assert!(head.len <= bytes.len());
        let Parsed::Complete(alone) = ResponseHead::parse(&bytes[..head.len]) else { panic!("not complete") };
        assert_eq!((alone.len, alone.status, alone.framing), (head.len, head.status, head.framing));
        let closing = with_close(&bytes[..head.len]);
        let Parsed::Complete(closing) = ResponseHead::parse(&closing) else {
            panic!("{closing:?} is no head")
        };
        assert_eq!((closing.status, closing.keeps_alive), (head.status, false));
        assert_eq!(closing.framing, head.framing);
    };
    CORPUS.iter().for_each(|message| check(message.as_bytes()));
    bolero::check!().with_type::<Random>().for_each(|random| {
        check(&bytes(random));
        check(&[b"HTTP/1.1 200 OK\r\n", bytes(random).as_slice()].concat());
    });
}

#[test]
fn a_body_ends_at_the_same_byte_wherever_it_is_cut() {
    let fed = |framing, pieces: &[&[u8]]| {
        let mut body = Body::new(framing);
        let mut used = 0;
        for piece in pieces {
            let count = body.feed(piece).ok()?;
            used += count;
            if count < piece.len() {
                break;
            }
        }
        Some((used, body.is_done()))
    };
    let check = |bytes: &[u8], cuts: &[u16]| {
        for framing in [Framing::Chunked, Framing::Length(7), Framing::UntilClose] {
            assert_eq!(fed(framing, &[bytes]), fed(framing, &cut(bytes, cuts)), "{framing:?}");
        }
    };
    for message in CORPUS {
        let body = message.split_once("\r\n\r\n").map_or("", |(_, body)| body).as_bytes();
        (0..body.len()).for_each(|at| check(body, &[u16::try_from(at).unwrap()]));
    }
    bolero::check!().with_type::<Random>().for_each(|random| check(&bytes(random), &random.1));
}

/// What we make of the requests of a connection, as far as there is one way to read them.
fn ours(mut bytes: &[u8]) -> Vec<Understood> {
    let mut understood = Vec::new();
    while let (Parsed::Complete(head), path) = parse(bytes) {
        bytes = &bytes[head.len..];
        let mut body = Body::new(head.framing);
        let Ok(used) = body.feed(bytes) else { break };
        if !body.is_done() {
            break;
        }
        let kept = head.has_uri && path.starts_with('/') && !path.contains('#');
        understood.push(Understood {
            method: head.method.to_string(),
            path: kept.then_some(path),
            body: plain(head.framing, &bytes[..used]),
        });
        bytes = &bytes[used..];
        if !head.keeps_alive || head.method == hyper::Method::CONNECT {
            break;
        }
    }
    understood
}

/// A body without its chunks' framing, which is known to be right.
fn plain(framing: Framing, mut raw: &[u8]) -> Vec<u8> {
    if framing != Framing::Chunked {
        return raw.to_vec();
    }
    let mut body = Vec::new();
    loop {
        let end = raw.iter().position(|byte| *byte == b'\n').unwrap();
        let line = str::from_utf8(&raw[..end]).unwrap_or("0");
        let digits = line.split([';', ' ', '\t', '\r']).next().unwrap();
        let size = usize::from_str_radix(digits, 16).unwrap();
        if size == 0 {
            return body;
        }
        raw = &raw[end + 1..];
        body.extend_from_slice(&raw[..size]);
        raw = &raw[size + 2..];
    }
}

/// What hyper makes of them.
async fn hypers(pieces: &[&[u8]]) -> Vec<Understood> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                seen.borrow_mut().push(Understood {
                    method: head.method.to_string(),
                    path: head.uri.path_and_query().map(ToString::to_string),
                    body: body.to_bytes().to_vec(),
                });
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let serving = async {
        // What it does not take is not compared.
        let _refused = http1::Builder::new().serve_connection(TokioIo::new(server), service).await;
    };
    let sending = async {
        for piece in pieces {
            if client.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _closed = client.shutdown().await;
        // The answers have to go somewhere.
        let _read = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
    };
    tokio::join!(serving, sending);
    seen.take()
}

/// If the two read a request in different ways, a client could hide one request inside another.
#[test]
fn hyper_reads_the_same_requests() {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let check = |bytes: &[u8], cuts: &[u16]| {
        let hypers = runtime.block_on(hypers(&cut(bytes, cuts)));
        for (ours, mut hypers) in ours(bytes).into_iter().zip(hypers) {
            if ours.path.is_none() {
                hypers.path = None;
            }
            assert_eq!(ours, hypers, "of {:?}", String::from_utf8_lossy(bytes));
        }
    };
    for message in CORPUS {
        (0..message.len()).for_each(|at| check(message.as_bytes(), &[u16::try_from(at).unwrap()]));
    }
    bolero::check!().with_type::<Random>().for_each(|random| {
        check(&bytes(random), &random.1);
        check(&[b"POST / HTTP/1.1\r\n", bytes(random).as_slice()].concat(), &random.1);
    });
}
