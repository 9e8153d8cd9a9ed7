//! The front answers as hyper does: the same bytes in, however they are cut, the same meaning out.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use httpfault_common::contract::{Fault, Replacement, Selection};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use super::{Begun, Front};
use crate::{
    adopted::Asked,
    config::{Config, Connecting, Destination, Limits, Upstream},
    context::Context,
    stream::Buffered,
};

struct Nobody;

impl Upstream for Nobody {
    fn connect(&self, _address: SocketAddr) -> Connecting {
        Box::pin(async { Err::<TcpStream, _>(std::io::ErrorKind::ConnectionRefused.into()) })
    }
}

fn context(status: u16) -> Arc<Context> {
    let fault = Fault {
        status,
        replacement: Some(Replacement::default()),
        headers: vec!["X-One: 1".parse().unwrap()],
        marker: true,
        percent: 100.0,
        seed: Some(1),
        grpc: Default::default(),
        selection: Selection::default(),
    };
    Arc::new(Context::new(Config {
        fault,
        experiment_id: "exp-1".parse().unwrap(),
        destination: Destination { port: 80, proxy_port: 20000, loopback4: None, loopback6: None },
        upstream: Arc::new(Nobody),
        probe_token: String::new(),
        limits: Limits::default(),
        stats: Box::leak(Box::default()),
    }))
}

/// Everything that comes back when `bytes` are sent in these pieces.
async fn talk(mut client: UnixStream, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let (mut read, mut write) = client.split();
    let sending = async {
        let mut begin = 0;
        for end in ends {
            // The connection may have ended by then, as it should.
            let _ended = write.write_all(&bytes[begin..end]).await;
            tokio::task::yield_now().await;
            begin = end;
        }
        let _ended = write.shutdown().await;
    };
    let mut answers = Vec::new();
    let reading = async { while let Ok(1..) = read.read_buf(&mut answers).await {} };
    tokio::join!(sending, reading);
    answers
}

async fn by_the_front(context: &Arc<Context>, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let seat = context.life.take_seat();
    let origin = "127.0.0.1:80".parse().unwrap();
    let client = Buffered::adopted(theirs);
    let front = Front::new(client, Begun::default(), None, Arc::clone(context), origin, seat);
    tokio::join!(talk(ours, bytes, cuts), front.run(Asked::by_nobody())).0
}

async fn by_hyper(context: &Arc<Context>, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let service = service_fn(async |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let _whole = body.collect().await;
        let response: Response<Bytes> = context.injected.response(&parts.method, &parts.headers);
        Ok::<_, Infallible>(response.map(Full::new))
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true);
    let served = async {
        let _refused = builder.serve_connection(TokioIo::new(theirs), service).await;
    };
    tokio::join!(talk(ours, bytes, cuts), served).0
}

/// Status line, sorted headers without the date, and body of every answer.
fn meaning(mut bytes: &[u8], methods: &[&str]) -> Vec<(String, Vec<String>, String)> {
    let mut answers = Vec::new();
    let mut methods = methods.iter();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        bytes = &bytes[end + 4..];
        let mut lines = head.lines();
        let status = lines.next().unwrap().to_owned();
        let mut headers: Vec<String> = lines.map(str::to_owned).collect();
        headers.retain(|line| !line.starts_with("date: "));
        headers.sort();
        let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
        let length = match methods.next() {
            Some(&"HEAD") => 0,
            _ => length.map_or(0, |length| length.parse().unwrap()),
        };
        let (body, rest) = bytes.split_at(length);
        bytes = rest;
        answers.push((status, headers, String::from_utf8(body.to_vec()).unwrap()));
    }
    answers
}

/// A request that both read in the same way, as (method, bytes).
fn request() -> impl Strategy<Value = (&'static str, String)> {
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "OPTIONS", "PURGE"]);
    let version = prop::sample::select(vec!["1.1", "1.1", "1.1", "1.0"]);
    let connection = prop::sample::select(vec![
        "",
        "",
        "",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "connection: TE, Close\r\n",
    ]);
    let accept = prop::sample::select(vec![
        "",
        "Accept: */*\r\n",
        "accept: application/json\r\n",
        "Accept: text/html\r\n",
    ]);
    let target = prop::sample::select(vec!["/", "/a?b=c", "http://a.test/x", "/%7e~"]);
    let body = prop_oneof![
        3 => Just(("", String::new())),
        1 => "[a-z ]{0,60}".prop_map(|body| ("length", body)),
        1 => "[a-z ]{1,60}".prop_map(|body| ("chunks", body)),
    ];
    (method, version, connection, accept, target, body).prop_map(
        |(method, version, connection, accept, target, (framing, body))| {
            let (framing, body) = match framing {
                "length" => (format!("Content-Length: {}\r\n", body.len()), body),
                "chunks" if version == "1.1" => {
                    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                    ("Transfer-Encoding: chunked\r\n".to_owned(), chunks)
                }
                _ => Default::default(),
            };
            (
                method,
                format!(
                    "{method} {target} HTTP/{version}\r\nHost: a\r\n{connection}{accept}{framing}\r\n{body}"
                ),
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_front_answers_as_hyper_does(
        requests in prop::collection::vec(request(), 1..6),
        status in prop::sample::select(vec![200, 204, 205, 304, 404, 503, 599]),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let bytes = requests.iter().map(|(_, bytes)| bytes.as_str()).collect::<String>();
        let methods: Vec<&str> = requests.iter().map(|(method, _)| *method).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (front, hyper) = runtime.block_on(async {
            let context = context(status);
            let front = by_the_front(&context, bytes.as_bytes(), &cuts).await;
            (front, by_hyper(&context, bytes.as_bytes(), &cuts).await)
        });
        prop_assert_eq!(meaning(&front, &methods), meaning(&hyper, &methods), "{}", bytes);
    }
}
