//! No cache between the client and the application keeps a fault.

use httpfault_common::contract::Fault;

use crate::support::{App, Setup, fault, forwarding};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CACHEABLE: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nCDN-Cache-Control: max-age=60\r\n\
    Surrogate-Control: max-age=60\r\nX-Accel-Expires: 60\r\nExpires: Thu, 01 Dec 2094 16:00:00 GMT\r\nAge: 9\r\n\
    Pragma: x\r\nETag: \"1\"\r\nLast-Modified: Thu, 01 Dec 1994 16:00:00 GMT\r\nVary: Accept\r\nContent-Length: 4\r\n\r\nreal";

#[tokio::test]
async fn an_injected_answer_is_not_stored() {
    // 301, 404 and 410 may be stored without being asked to (RFC 9110 section 15.1).
    for status in [200, 204, 301, 404, 410, 503] {
        let reply = Setup::without_app(fault(status)).await.ask(GET).await;
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{status}");
    }
}

#[tokio::test]
async fn a_given_header_says_how_it_is_stored() {
    let given = || vec!["Cache-Control: max-age=5".parse().unwrap()];
    let reply = Setup::without_app(Fault { headers: given(), ..fault(503) }).await.ask(GET).await;
    assert_eq!(reply.header("cache-control"), Some("max-age=5"));
    let app = App::canned(CACHEABLE).await;
    let reply = Setup::new(Fault { headers: given(), ..forwarding(503) }, app.address).await.ask(GET).await;
    assert_eq!(reply.header("cache-control"), Some("max-age=5"));
    assert_eq!(reply.header("cdn-cache-control"), None);
}

#[tokio::test]
async fn what_the_application_said_of_storing_does_not_travel_with_another_status() {
    let app = App::canned(CACHEABLE).await;
    let reply = Setup::new(forwarding(503), app.address).await.ask(GET).await;
    assert_eq!((reply.status(), reply.text()), (503, "real".to_owned()));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    for name in ["cdn-cache-control", "surrogate-control", "x-accel-expires", "expires", "age", "pragma"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.header("vary"), Some("Accept"));
    assert_eq!(reply.header("etag"), Some("\"1\""));
}

#[tokio::test]
async fn a_false_304_refreshes_nothing() {
    let app = App::canned(CACHEABLE).await;
    let reply = Setup::new(forwarding(304), app.address).await.ask(GET).await;
    for name in ["etag", "last-modified", "expires"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_had_the_status_anyway_keeps_what_it_said() {
    let app = App::canned(CACHEABLE).await;
    let reply = Setup::new(forwarding(200), app.address).await.ask(GET).await;
    assert_eq!(reply.header("cache-control"), Some("max-age=3600"));
    assert_eq!(reply.header("age"), Some("9"));
}
