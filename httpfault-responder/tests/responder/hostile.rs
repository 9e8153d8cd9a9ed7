//! A client that sends anything to a responder in front of an application that answers anything.

use std::{
    net::SocketAddr,
    panic,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use httpfault_common::contract::Fault;
use httpfault_responder::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    fuzz::{CORPUS, Random, bytes, cut},
    support::{App, AppConnection, Client, Setup, fault, forwarding, in_time, none, some},
};

/// Short enough for many connections a second.
fn hasty() -> Limits {
    let soon = Duration::from_millis(20);
    Limits {
        head_time: soon,
        silence: Duration::from_millis(5),
        discard_time: soon,
        linger_time: soon,
        idle_time: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// Reads something, says something, for each connection something else; then it closes.
async fn babbling_app() -> App {
    let turn = Arc::new(AtomicUsize::new(0));
    App::new(move |mut connection: AppConnection| {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut read = [0; 512];
            let _any = connection.stream.read(&mut read).await;
            let answers = [
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nanything",
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                "HTTP/1.1 100 Continue\r\n\r\n",
                "HTTP/0.9 nothing",
                "\u{0}\u{1}",
                "",
            ];
            connection.send(answers[turn % answers.len()]).await;
            connection.send(CORPUS[turn % CORPUS.len()]).await;
        }
    })
    .await
}

/// Sends the pieces and reads to the end; a reset is an end too.
async fn converse(to: SocketAddr, pieces: &[&[u8]]) {
    let Client { mut stream, .. } = Client::connect(to).await;
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    let _reset = stream.shutdown().await;
    let mut rest = Vec::new();
    let _reset = in_time("the end of the connection", stream.read_to_end(&mut rest)).await;
}

/// Panics of tasks, which the runtime catches.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            usual(what);
        }));
    });
}

/// Every connection ends, nothing panics, and the responder ends too.
fn survives(fault: Fault) {
    count_panics();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (setup, _app) = runtime.block_on(async {
        let app = babbling_app().await;
        (Setup::with_limits(fault, app.address, hasty()).await, app)
    });
    let to = setup.address;
    let check = |bytes: &[u8], cuts: &[u16]| {
        runtime.block_on(converse(to, &cut(bytes, cuts)));
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "after {:?}", String::from_utf8_lossy(bytes));
    };
    for (at, message) in (1..).zip(CORPUS) {
        check(message.as_bytes(), &[at]);
    }
    bolero::check!().with_type::<Random>().for_each(|random| check(&bytes(random), &random.1));
    runtime.block_on(in_time("everything to end", setup.responder.finish(Duration::from_secs(5))));
}

#[test]
fn where_everything_is_faulted() {
    survives(fault(503));
}

#[test]
fn where_the_application_is_asked() {
    survives(forwarding(503));
}

#[test]
fn where_some_is_faulted() {
    survives(some(503));
}

#[test]
fn where_nothing_is_faulted() {
    survives(none());
}
