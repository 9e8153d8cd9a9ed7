//! HTTP through the real agent, with the clients that people use: curl, nghttp, h2load, openssl.

use std::{fs::File, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use httpfault_common::contract::Outcome;
use httpfault_tests::{
    agent::experiment,
    command::{output, said},
    docker::{Instance, Plan},
    site::{Site, TARGET_V4},
    wire::Response,
};

fn url(path: &str) -> String {
    format!("http://{TARGET_V4}{path}")
}

/// curl on the client machine: response head and body on standard output; not being answered is an error.
fn curl(site: &Site, args: &[&str]) -> Result<String> {
    output(site.client.command("curl").args(["-sS", "-i", "--max-time", "30"]).args(args))
}

/// The status lines in curl's output, interim responses included.
fn status_lines(output: &str) -> Vec<&str> {
    output.lines().filter(|line| line.starts_with("HTTP/")).map(str::trim).collect()
}

fn has_header(output: &str, header: &str) -> bool {
    output.lines().any(|line| line.trim().eq_ignore_ascii_case(header))
}

#[test]
fn statuses_with_their_headers() -> Result<()> {
    let site = Site::take("statuses")?;
    let cases: [(&str, &[&str]); 9] = [
        ("200", &[]),
        ("204", &[]),
        ("304", &[]),
        ("302", &["Location: https://example.com/elsewhere"]),
        ("401", &["WWW-Authenticate: Basic realm=\"chaos\""]),
        ("404", &[]),
        ("429", &["Retry-After: 7"]),
        ("503", &["Retry-After: 120", "X-One: 1"]),
        ("599", &[]),
    ];
    for (code, headers) in cases {
        let id = experiment("status");
        let mut more = vec!["--status-code", code];
        headers.iter().for_each(|header| more.extend(["--response-header", header]));
        let agent = site.inject(&id, &more)?;
        let get = curl(&site, &[&url("/")])?;
        let head = curl(&site, &["--head", &url("/")])?;
        let post = curl(&site, &["--data", "some=form", &url("/")])?;
        let old = curl(&site, &["--http1.0", &url("/")])?;
        for (method, answer) in [("GET", &get), ("HEAD", &head), ("POST", &post), ("GET in HTTP/1.0", &old)] {
            let line = status_lines(answer).pop().unwrap_or_default();
            assert_eq!(line.split(' ').nth(1), Some(code), "{method}: {answer}");
            assert!(has_header(answer, &format!("x-httpfault: {id}")), "{method}: {answer}");
            assert!(
                headers.iter().all(|header| has_header(answer, header)),
                "{method} with {headers:?}: {answer}"
            );
            let (_, body) = answer.split_once("\r\n\r\n").context("a head ends with an empty line")?;
            let bodiless = method == "HEAD" || ["204", "304"].contains(&code);
            assert_eq!(body.is_empty(), bodiless, "{method}: {answer}");
        }
        let counters = agent.terminate()?.target()?.counters;
        assert_eq!((counters.faulted, counters.requests_http10), (4, 1), "{counters:?}");
    }
    Ok(())
}

#[test]
fn body_and_its_type() -> Result<()> {
    let site = Site::take("body")?;
    let agent = site.inject(&experiment("body"), &[])?;
    let plain = curl(&site, &[&url("/")])?;
    assert!(
        plain.to_ascii_lowercase().contains("content-type: text/plain") && plain.contains("503"),
        "{plain}"
    );
    let json = curl(&site, &["-H", "Accept: application/json", &url("/")])?;
    assert!(json.to_ascii_lowercase().contains("content-type: application/json"), "{json}");
    let (_, body) = json.split_once("\r\n\r\n").context("a body")?;
    serde_json::from_str::<serde_json::Value>(body).with_context(|| format!("not JSON: {body}"))?;
    agent.terminate()?;

    let own = ["--response-body", "<p>chaos</p>", "--content-type", "text/html", "--no-marker"];
    let agent = site.inject(&experiment("body"), &own)?;
    let html = curl(&site, &[&url("/")])?;
    assert!(html.ends_with("\r\n\r\n<p>chaos</p>") && has_header(&html, "content-type: text/html"), "{html}");
    assert!(!html.contains("x-httpfault"), "{html}");
    drop(agent);
    Ok(())
}

#[test]
fn forwarding_replaces_the_status_alone() -> Result<()> {
    let site = Site::take("forward")?;
    let paths = ["/", "/chunked/5", "/gzip", "/bytes/300000", "/status/404", "/status/500", "/slow/300"];
    let before: Vec<Response> = paths.iter().map(|path| site.get(site.v4(), path)).collect::<Result<_>>()?;
    let id = experiment("forward");
    let agent = site.inject(&id, &["--modify-response-body", "false", "--status-code", "418"])?;
    for (path, real) in paths.iter().zip(before) {
        let response = site.get(site.v4(), path)?;
        assert_eq!(
            (response.status, response.injected_by()),
            (418, Some(id.as_str())),
            "{path}: {response:?}"
        );
        assert_eq!(response.header("x-app"), Some("real"), "{path}: {:?}", response.headers);
        assert_eq!(response.header("content-encoding"), real.header("content-encoding"), "{path}");
        assert!(response.body == real.body, "{path}: the body changed");
    }
    // curl unpacks: a wrong length or coding would be an error.
    let unpacked = curl(&site, &["--compressed", &url("/gzip")])?;
    assert!(unpacked.ends_with(&"real\n".repeat(1000)), "{} bytes", unpacked.len());
    let head = curl(&site, &["--head", &url("/bytes/5000")])?;
    assert!(has_header(&head, "content-length: 5000") && head.contains("418"), "{head}");
    let trailers =
        site.open(site.v4())?.ask("GET", "/chunked/3", &["TE: trailers", "Connection: TE"], b"")?;
    assert_eq!(trailers.trailers, [("x-chunks".to_owned(), "3".to_owned())], "{trailers:?}");
    let counters = agent.terminate()?.target()?.counters;
    assert_eq!((counters.forwarded, counters.upstream_errors), (counters.faulted, 0), "{counters:?}");
    Ok(())
}

#[test]
fn uploads_are_read_so_that_the_client_reads_the_status() -> Result<()> {
    const SIZE: u64 = 50 * 1024 * 1024;
    let site = Site::take("upload")?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("upload");
    File::create(&file)?.set_len(SIZE)?;
    let upload = |expect: &str| {
        let data = format!("@{}", file.display());
        curl(&site, &["-H", expect, "--data-binary", &data, &url("/upload")])
    };
    for (mode, code, body) in [("true", "503", ""), ("false", "503", "received 52428800\n")] {
        let agent = site.inject(&experiment("upload"), &["--modify-response-body", mode])?;
        // Without and with a wait for `100 Continue` (which curl gives up after a second).
        for expect in ["Expect:", "Expect: 100-continue"] {
            let answer = upload(expect)?;
            let last = status_lines(&answer).pop().unwrap_or_default();
            assert!(last.contains(code) && answer.ends_with(body), "{mode}, {expect}: {answer}");
        }
        let chunked =
            curl(&site, &["-H", "Transfer-Encoding: chunked", "-T", path(&file)?, &url("/upload")])?;
        assert!(chunked.contains(code) && chunked.ends_with(body), "{mode}, chunked: {chunked}");
        drop(agent);
    }
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

#[test]
fn expect_100_continue_is_answered_before_the_body_is_sent() -> Result<()> {
    let site = Site::take("expect")?;
    for mode in ["true", "false"] {
        let agent = site.inject(&experiment("expect"), &["--modify-response-body", mode])?;
        let mut connection = site.open(site.v4())?;
        connection.send(
            b"POST /upload HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        )?;
        let first = connection.response("POST")?;
        // A server may ask for the body or refuse it at once (RFC 9110 section 10.1.1).
        if first.status == 100 {
            connection.send(b"hello")?;
            assert_eq!(connection.response("POST")?.status, 503, "mode {mode}");
        } else {
            assert_eq!(first.status, 503, "mode {mode}: {first:?}");
        }
        drop(agent);
    }
    Ok(())
}

#[test]
fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let site = Site::take("pipeline")?;
    let pipeline = b"GET /slow/200 HTTP/1.1\r\nHost: app\r\n\r\n\
        POST /upload HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nhello\
        HEAD /bytes/9 HTTP/1.1\r\nHost: app\r\n\r\n\
        GET /bytes/9 HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";
    for (mode, bodies) in [("true", None), ("false", Some(["real\n", "received 5\n", "", "bbbbbbbbb"]))] {
        let agent = site.inject(&experiment("pipeline"), &["--modify-response-body", mode])?;
        let mut connection = site.open(site.v4())?;
        connection.send(pipeline)?;
        for (index, method) in ["GET", "POST", "HEAD", "GET"].into_iter().enumerate() {
            let response =
                connection.response(method).with_context(|| format!("response {index}, mode {mode}"))?;
            assert_eq!(response.status, 503, "response {index}: {response:?}");
            if let Some(bodies) = bodies {
                assert_eq!(response.text(), bodies[index], "response {index}");
            }
        }
        assert!(connection.rest()?.is_empty(), "nothing follows the last response");
        drop(agent);
    }
    Ok(())
}

#[test]
fn websocket_handshake() -> Result<()> {
    let site = Site::take("websocket")?;
    let shake = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let agent = site.inject(&experiment("websocket"), &[])?;
    let refused = site.open(site.v4())?.ask("GET", "/ws", &shake, b"")?;
    assert_eq!(refused.status, 503, "{refused:?}");
    agent.terminate()?;

    let agent = site.inject(&experiment("websocket"), &["--percent", "0"])?;
    let mut socket = site.open(site.v4())?;
    let accepted = socket.ask("GET", "/ws", &shake, b"")?;
    assert_eq!(accepted.status, 101, "{accepted:?}");
    // RFC 6455 section 1.3 has this pair of key and answer.
    assert_eq!(accepted.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    socket.send(b"\x81\x05hello")?;
    assert_eq!(socket.exactly(7)?, b"\x81\x05hello");
    drop(socket);
    let counters = agent.terminate()?.target()?.counters;
    assert_eq!((counters.faulted, counters.spared), (0, 1), "{counters:?}");
    Ok(())
}

/// h2load on the client machine: `requests` over few connections with many streams. Returns its summary.
fn h2load(site: &Site, requests: u32, path: &str) -> Result<String> {
    let count = requests.to_string();
    output(site.client.command("h2load").args(["-n", &count, "-c", "4", "-m", "50", &url(path)]))
}

#[test]
fn http2_with_many_streams() -> Result<()> {
    let site = Site::take("http2")?;
    let id = experiment("http2");
    let agent = site.inject(&id, &[])?;
    let summary = h2load(&site, 4000, "/")?;
    assert!(summary.contains("status codes: 0 2xx, 0 3xx, 0 4xx, 4000 5xx"), "{summary}");
    assert!(summary.contains("4000 done") && summary.contains("0 errored, 0 timeout"), "{summary}");
    let one = output(site.client.command("nghttp").args(["-v", &url("/")]))?;
    assert!(one.contains(":status: 503") && one.contains(&format!("x-httpfault: {id}")), "{one}");
    let counters = agent.terminate()?.target()?.counters;
    assert_eq!((counters.requests_http2, counters.faulted), (4001, 4001), "{counters:?}");

    let agent =
        site.inject(&experiment("http2"), &["--modify-response-body", "false", "--status-code", "500"])?;
    let body = output(site.client.command("nghttp").arg(url("/bytes/200000")))?;
    assert_eq!(body.len(), 200_000);
    let summary = h2load(&site, 1000, "/chunked/3")?;
    assert!(summary.contains("0 4xx, 1000 5xx") && summary.contains("0 errored"), "{summary}");
    agent.terminate()?;

    // Not selected, each for itself, or all of them.
    for more in [["--path", "/nowhere"], ["--percent", "0"]] {
        let agent = site.inject(&experiment("http2"), &more)?;
        let summary = h2load(&site, 1000, "/")?;
        assert!(summary.contains("status codes: 1000 2xx"), "{more:?}: {summary}");
        let counters = agent.terminate()?.target()?.counters;
        assert_eq!((counters.spared, counters.faulted), (1000, 0), "{more:?}: {counters:?}");
    }
    Ok(())
}

/// Clients see GOAWAY and finish: h2load would count an error for every stream that is cut.
#[test]
fn http2_survives_the_end_of_the_fault() -> Result<()> {
    let site = Site::take("goaway")?;
    let agent = site.inject(&experiment("goaway"), &["--modify-response-body", "false"])?;
    let mut slow = site.client.command("nghttp");
    slow.args(["-v", &url("/slow/1500")]);
    let client = std::thread::spawn(move || said(&mut slow));
    httpfault_tests::wait::until("the request to reach the application", Duration::from_secs(5), || {
        Ok(site.served()? == 1)
    })?;
    let ended = agent.terminate()?;
    let seen = client.join().map_err(|panic| anyhow::anyhow!("{panic:?}"))??;
    assert!(seen.stdout.contains(":status: 503"), "{seen:?}\n{ended:?}");
    assert!(seen.stdout.contains("GOAWAY"), "{seen:?}");
    Ok(())
}

#[test]
fn tls_passes_untouched() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").publish(8443, 8443).serve(&instance, 8443)?;
    let agent = instance.inject(["--container", "web"], &experiment("tls"), &["--port", "8443"])?;
    let to = Instance::published(8443);
    for version in ["--http1.1", "--http2"] {
        let mut curl = instance.outside.command("curl");
        let answer = output(curl.args(["-sS", "-k", "-i", version, &format!("https://{to}/")]))?;
        assert!(answer.contains("200") && answer.ends_with("real\n"), "{version}: {answer}");
        assert!(!answer.contains("x-httpfault"), "{version}: {answer}");
    }
    let mut openssl = instance.outside.command("openssl");
    let session =
        output(openssl.args(["s_client", "-connect", &to.to_string(), "-servername", "localhost", "-brief"]));
    assert!(session.is_ok(), "{session:?}");
    let report = agent.terminate()?.target()?;
    assert_eq!((report.counters.tls, report.counters.faulted), (3, 0), "{report:?}");
    assert_eq!(report.outcome, Outcome::NoTraffic);
    Ok(())
}

#[test]
fn bytes_that_are_no_http_pass_untouched() -> Result<()> {
    let site = Site::take("nothttp")?;
    let speak = || {
        let mut connection = site.open(site.v4())?;
        connection.send(b"\x00\x01\x02 not HTTP at all\r\n\r\n")?;
        Ok::<_, anyhow::Error>(without_date(&connection.rest()?))
    };
    let direct = speak()?;
    let agent = site.inject(&experiment("nothttp"), &[])?;
    assert_eq!(speak()?, direct);
    let counters = agent.terminate()?.target()?.counters;
    assert_eq!((counters.not_http, counters.faulted), (1, 0), "{counters:?}");
    Ok(())
}

/// All the bytes of an answer but the value of its `date`, which is the clock's.
fn without_date(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split("\r\n").filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\r\n")
}

#[test]
fn spared_requests_pass_byte_for_byte() -> Result<()> {
    let site = Site::take("spared")?;
    let requests: [&[u8]; 5] = [
        b"GET /echo?a=%2F&b HTTP/1.1\r\nHost: app\r\nX-Twice: 1\r\nX-Twice: 2\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: app\r\nContent-Length: 9\r\nConnection: close\r\n\r\nsome body",
        b"POST /echo HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nsome\r\n0\r\n\r\n",
        b"GET /chunked/4 HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n",
        b"GET /echo HTTP/1.0\r\n\r\n",
    ];
    let speak = |request: &[u8]| {
        let mut connection = site.open(site.v4())?;
        connection.send(request)?;
        Ok::<_, anyhow::Error>(without_date(&connection.rest()?))
    };
    let direct = requests.iter().map(|request| speak(request)).collect::<Result<Vec<_>>>()?;
    for more in
        [&["--percent", "0"], &["--path", "/nowhere"], &["--method", "PATCH"], &["--exclude-path", "/"]]
    {
        let agent = site.inject(&experiment("spared"), more)?;
        for (request, direct) in requests.iter().zip(&direct) {
            assert_eq!(&speak(request)?, direct, "{more:?}");
        }
        let counters = agent.terminate()?.target()?.counters;
        assert_eq!((counters.spared, counters.faulted), (5, 0), "{more:?}: {counters:?}");
    }
    Ok(())
}

#[test]
fn selection_and_percent() -> Result<()> {
    let site = Site::take("selection")?;
    let more = [
        "--path",
        "/api",
        "--method",
        "GET",
        "--header",
        "X-Chaos: yes",
        "--exclude-path",
        "/api/health",
        "--exclude-user-agent",
        "elb-healthchecker",
    ];
    let agent = site.inject(&experiment("selection"), &more)?;
    let status = |method: &str, path: &str, headers: &[&str]| {
        Ok::<_, anyhow::Error>(site.open(site.v4())?.ask(method, path, headers, b"")?.status)
    };
    let chaos = "X-Chaos: yes";
    assert_eq!(status("GET", "/api/x", &[chaos])?, 503);
    assert_eq!(status("GET", "/other", &[chaos])?, 200);
    assert_eq!(status("DELETE", "/api/x", &[chaos])?, 200);
    assert_eq!(status("GET", "/api/x", &[])?, 200);
    assert_eq!(status("GET", "/api/health/x", &[chaos])?, 200);
    assert_eq!(status("GET", "/api/x", &[chaos, "User-Agent: ELB-HealthChecker/2.0"])?, 200);
    let counters = agent.terminate()?.target()?.counters;
    assert_eq!((counters.faulted, counters.spared), (1, 5), "{counters:?}");

    // Decided for each request, also on one connection; the same seed decides the same way.
    let pattern = || {
        let agent = site.inject(&experiment("percent"), &["--percent", "30", "--seed", "42"])?;
        let mut connection = site.open(site.v4())?;
        let answers = (0..200).map(|_| Ok(connection.get("/")?.status)).collect::<Result<Vec<_>>>()?;
        drop(agent.terminate()?);
        Ok::<_, anyhow::Error>(answers)
    };
    let first = pattern()?;
    let faults = first.iter().filter(|&&status| status == 503).count();
    assert!((40..=80).contains(&faults), "30 % of 200 requests, {faults} were faulted");
    assert_eq!(pattern()?, first);
    Ok(())
}

/// The tools that this suite runs say so themselves when they are missing.
#[test]
fn clients_are_installed() -> Result<()> {
    for tool in ["curl", "nghttp", "h2load", "openssl"] {
        let next = format!("install {tool} (Debian: curl, nghttp2-client, openssl)");
        said(Command::new(tool).arg("--version")).context(next)?;
    }
    Ok(())
}
