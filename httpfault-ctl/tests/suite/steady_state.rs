//! The steady state: each mode, each criterion, each way to fail, and what the exit code says of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use httpfault_simulator::World;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};

use crate::{
    application::{Application, faulted, refusing, silent},
    support::{Finished, Site, finish, host},
};

/// One service on one host, and an application that answers as the service would, beside other paths:
/// `/` has the fault, `/resilient` never shows it, `/breaks` never recovers from it, `/recovers` fails once more after it.
fn shop() -> (Site, Application) {
    let site = Site::new(World::fleet(1, 1));
    site.exact(&host(0));
    let on = faulted(&site, &host(0));
    let seen = Arc::new(AtomicBool::new(false));
    let after = AtomicU32::new(0);
    let application = Application::start(move |asked| {
        let now = on();
        seen.fetch_or(now, Ordering::SeqCst);
        let broke = seen.load(Ordering::SeqCst);
        let fails = match asked.target.as_str() {
            "/resilient" => false,
            "/breaks" => broke,
            "/recovers" => now || (broke && after.fetch_add(1, Ordering::SeqCst) == 0),
            _ => now,
        };
        if fails { (503, "fault".to_owned()) } else { (200, "all is well".to_owned()) }
    });
    (site, application)
}

fn probes(site: &Site, probes: &Value) -> String {
    let path = site.files.path().join("probes.json");
    std::fs::write(&path, probes.to_string()).unwrap();
    path.display().to_string()
}

fn run_with(site: &Site, file: &Value) -> Finished {
    let mut ctl = site.on_service("run");
    finish(ctl.env("PROBES_FILE", probes(site, file)).env("TOTAL_CHAOS_DURATION", "10").env("RAMP_TIME", "1"))
}

fn probe<'a>(report: &'a Value, name: &str) -> &'a Value {
    let probes = report["probes"].as_array().unwrap();
    probes.iter().find(|probe| probe["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn what_holds_and_what_fails_as_it_has_to_is_passed() {
    let (site, application) = shop();
    let done = run_with(
        &site,
        &json!([
            {"name": "hold", "url": application.url("/resilient"), "interval": "100ms"},
            {"name": "fail", "url": application.url("/"), "interval": "100ms", "during": "fail"},
            {"name": "either", "url": application.url("/"), "interval": "100ms", "during": "either"},
            {"name": "recovers", "url": application.url("/recovers"), "interval": "100ms", "during": "either"},
        ]),
    );
    let done =
        done.exits(0).says("probe hold holds before the fault").says("probe fail: passed; held before");
    let report = done.json();
    for name in ["hold", "fail", "either", "recovers"] {
        let probe = probe(&report, name);
        assert_eq!((&probe["verdict"], &probe["reason"]), (&json!("passed"), &Value::Null), "{probe}");
        let samples = probe["samples"].as_array().unwrap();
        let of = |phase: &str| samples.iter().filter(|sample| sample["phase"] == phase).count() as u64;
        for phase in ["before", "during", "after"] {
            assert!(of(phase) > 0, "{phase}: {probe}");
            assert_eq!(probe[phase]["samples"], of(phase), "{probe}");
        }
        let times: Vec<u64> = samples.iter().map(|sample| sample["at_ms"].as_u64().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
    assert_eq!(probe(&report, "hold")["during"]["failed"], 0);
    let fail = probe(&report, "fail");
    assert_eq!(fail["during"]["failed"], fail["during"]["samples"]);
    let during =
        fail["samples"].as_array().unwrap().iter().find(|sample| sample["phase"] == "during").unwrap();
    assert_eq!(
        (&during["status"], &during["held"], &during["error"]),
        (&json!(503), &json!(false), &Value::Null)
    );
    assert_eq!(
        (&fail["mode"], &fail["method"], &fail["interval_ms"]),
        (&json!("fail"), &json!("GET"), &json!(100))
    );
    assert_eq!(fail["expects"], "status between 200,299");
}

#[test]
fn two_when_the_fault_worked_and_the_hypothesis_did_not_hold() {
    let (site, application) = shop();
    let done = run_with(
        &site,
        &json!([
            {"name": "hold", "url": application.url("/"), "interval": "100ms"},
            {"name": "fail", "url": application.url("/resilient"), "interval": "100ms", "during": "fail"},
            {"name": "breaks", "url": application.url("/breaks"), "interval": "100ms", "during": "either"},
            {"name": "tolerant", "url": application.url("/"), "interval": "100ms", "tolerated_failures": 100_000},
        ]),
    );
    let done = done.exits(2).says("the fault was on and off, but the steady state did not hold");
    let report = done.json();
    assert_eq!(
        (&report["tasks"][0]["outcome"], &report["tasks"][0]["verified_off"]),
        (&json!("faulted"), &json!(true))
    );
    for (name, reason) in [
        ("hold", "sample(s) failed while the fault was on, 0 may"),
        ("fail", "sample(s) held while the fault was on, 0 may: it is not seen from here"),
        ("breaks", "sample(s) failed after the fault (status 503)"),
    ] {
        let probe = probe(&report, name);
        assert_eq!(probe["verdict"], "failed", "{probe}");
        assert!(probe["reason"].as_str().unwrap().contains(reason), "{probe}");
    }
    assert_eq!(probe(&report, "tolerant")["verdict"], "passed");
    site.assert_clean();
}

/// The application does not answer while the fault is on: no sample belongs to that time as a whole.
#[test]
fn two_when_no_sample_fell_into_the_fault() {
    let site = Site::new(World::fleet(1, 1));
    site.exact(&host(0));
    let on = faulted(&site, &host(0));
    let application = Application::start(move |_| {
        while on() {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        (200, String::new())
    });
    let mut ctl = site.on_service("run");
    ctl.env("PROBE_URL", application.url("/")).env("PROBE_TIMEOUT", "1m").env("PROBE_INTERVAL", "100ms");
    let report = finish(&mut ctl).exits(2).json();
    let probe = probe(&report, "probe");
    assert_eq!(
        (&probe["verdict"], &probe["during"]["samples"]),
        (&json!("not_judged"), &json!(0)),
        "{probe}"
    );
    assert!(probe["reason"].as_str().unwrap().contains("no sample fell into the time"), "{probe}");
}

#[test]
fn nothing_is_put_on_where_it_does_not_hold_before() {
    let site = Site::new(World::fleet(1, 1));
    let application = Application::start(|_| (500, "sorry".to_owned()));
    let (_silent, silent) = silent();
    let secret = format!("http://user:hunter2@{}/health?token=hunter2", application.address);
    for (url, why) in [
        (secret, "probe: status 500".to_owned()),
        (format!("http://{silent}/?token=hunter2"), "probe: no answer within 200 ms".to_owned()),
        (format!("http://{}/?token=hunter2", refusing()), "Connection refused".to_owned()),
    ] {
        let mut ctl = site.on_service("run");
        let done = finish(ctl.env("PROBE_URL", url).env("PROBE_TIMEOUT", "200ms")).exits(1).says(&why);
        let done = done.says("the steady state does not hold before the fault, so nothing was put on");
        assert_eq!(done.json()["probes"][0]["verdict"], "failed", "{done}");
        assert!(!done.to_string().contains("hunter2"), "{done}");
    }
    assert_eq!(site.simulator.count("SendCommand"), 0);
    // One of two may be wrong: the second one holds.
    let times = AtomicU32::new(0);
    let flaky = Application::start(move |_| {
        if times.fetch_add(1, Ordering::SeqCst) == 0 { (500, String::new()) } else { (200, String::new()) }
    });
    let mut ctl = site.on_service("run");
    ctl.env("PROBE_URL", flaky.url("/")).env("PROBE_TOLERATED_FAILURES", "1").env("PROBE_INTERVAL", "100ms");
    let report = finish(ctl.env("PROBE_DURING", "either")).exits(0).json();
    assert_eq!(report["probes"][0]["before"]["failed"], 1);
}

/// It held when the run began, and no longer when the fault was due.
#[test]
fn what_fails_while_the_agent_is_brought_counts_too() {
    let site = Site::new(World::fleet(1, 1));
    let times = AtomicU32::new(0);
    let application = Application::start(move |_| {
        if times.fetch_add(1, Ordering::SeqCst) == 1 { (500, String::new()) } else { (200, String::new()) }
    });
    let mut ctl = site.on_service("run");
    ctl.env("PROBE_URL", application.url("/")).env("PROBE_INTERVAL", "100ms").env("RAMP_TIME", "2");
    finish(&mut ctl).exits(1).says("the steady state does not hold before the fault").says("status 500");
    assert!(site.commands("inject").is_empty());
}

#[test]
fn method_headers_bodies_and_criteria_are_those_of_the_file() {
    let site = Site::new(World::fleet(1, 1));
    let application = Application::start(|asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", "/orders?dry=1") => (201, "{\"order\": 7}".to_owned()),
        ("HEAD", "/") => (204, String::new()),
        _ => (404, "nothing here".to_owned()),
    });
    let url = format!("http://shop:p%40ss@{}/orders?dry=1", application.address);
    let file = json!([
        {"name": "order", "url": url, "method": "post", "request_body": "{}", "content_type": "application/json",
         "headers": ["X-Dry: yes"], "status": "== 201", "body": "\"order\"", "timeout": "10s", "interval": "200ms",
         "during": "either"},
        {"name": "head", "url": application.url("/"), "method": "HEAD", "status": "oneOf 200,204", "during": "either"},
        {"name": "gone", "url": application.url("/gone"), "status": ">= 400", "during": "either", "body": "nothing"},
    ]);
    let plan = finish(site.on_service("plan").env("PROBES_FILE", probes(&site, &file))).exits(0);
    let address = application.address;
    assert_eq!(
        plan.json()["probes"][0],
        format!(
            "probe order: POST http://{address}/orders, status == 201, body contains \"\\\"order\\\"\"; may fail while \
             the fault is on"
        )
    );
    assert_eq!(application.asked().len(), 0, "plan asks nothing");
    let done = run_with(&site, &file).exits(0);
    assert!(!done.to_string().contains("dry=1") && !done.to_string().contains("p%40ss"), "{done}");
    let asked = application.asked();
    let order = asked.iter().find(|asked| asked.method == "POST").unwrap();
    let header =
        |name: &str| order.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!((order.target.as_str(), order.body.as_str()), ("/orders?dry=1", "{}"));
    assert_eq!((header("x-dry"), header("content-type")), (Some("yes"), Some("application/json")));
    // shop:p@ss
    assert_eq!(header("authorization"), Some("Basic c2hvcDpwQHNz"));
    assert!(header("user-agent").unwrap().starts_with("httpfault-ctl/"));
    // A body without the text is not what it has to be, whatever its status.
    let mut ctl = site.on_service("run");
    ctl.env("PROBE_URL", application.url("/gone")).env("PROBE_STATUS", "404").env("PROBE_BODY", "everything");
    finish(&mut ctl).exits(1).says("the body does not contain what PROBE_BODY asks for");
}

#[test]
fn certificates_are_verified_unless_told_not_to() {
    let site = Site::new(World::fleet(1, 1));
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let application = Application::start_tls(tls, |_| (200, String::new()));
    let url = format!("https://localhost:{}/", application.address.port());
    let run = |more: &[(&str, &str)]| {
        let mut ctl = site.on_service("run");
        finish(ctl.env("PROBE_URL", &url).env("PROBE_INTERVAL", "100ms").envs(more.iter().copied()))
    };
    run(&[]).exits(1).says("invalid peer certificate");
    assert_eq!(site.simulator.count("SendCommand"), 0);
    run(&[("PROBE_INSECURE_SKIP_VERIFY", "true"), ("PROBE_DURING", "either")]).exits(0);
    let roots = site.files.path().join("roots.pem");
    std::fs::write(&roots, own.cert.pem()).unwrap();
    run(&[("SSL_CERT_FILE", roots.to_str().unwrap()), ("PROBE_DURING", "either")]).exits(0);
}

#[test]
fn what_is_wrong_with_probes_is_named_all_at_once() {
    let site = Site::new(World::fleet(1, 1));
    let done = finish(
        site.on_service("run")
            .env("PROBE_URL", "ftp://user:hunter2@host/?hunter2")
            .env("PROBE_METHOD", "PUT")
            .env("PROBE_HEADERS", "Authorization hunter2")
            .env("PROBE_STATUS", "about 200")
            .env("PROBE_TIMEOUT", "soon")
            .env("PROBE_INTERVAL", "0")
            .env("PROBE_TOLERATED_FAILURES", "-1")
            .env("PROBE_DURING", "maybe")
            .env("PROBE_STOP_AFTER", "0")
            .env("PROBE_INSECURE_SKIP_VERIFY", "perhaps")
            .env("PROBE_REQUEST_BODY", "{}"),
    )
    .exits(64);
    for line in [
        "11 setting(s) are wrong",
        "PROBE_URL \"(not shown)\": allowed is an http:// or https:// URL (it has another scheme, or none)",
        "PROBE_METHOD \"PUT\": allowed is GET or HEAD or POST",
        "PROBE_HEADERS \"(not shown)\": allowed is 'Name: value'",
        "PROBE_STATUS \"about 200\": allowed is == != > < >= or <=",
        "PROBE_TIMEOUT \"soon\": allowed is a time such as 500ms, 2s or 1m",
        "PROBE_INTERVAL \"0\": allowed is a time",
        "PROBE_TOLERATED_FAILURES \"-1\": allowed is a number",
        "PROBE_DURING \"maybe\": allowed is hold or fail or either",
        "PROBE_STOP_AFTER \"0\": allowed is a number from 1",
        "PROBE_INSECURE_SKIP_VERIFY \"perhaps\": allowed is true or false",
        "PROBE_REQUEST_BODY: is for POST",
    ] {
        assert!(done.stderr.contains(line), "no {line:?} in {done}");
    }
    assert!(!done.to_string().contains("hunter2"), "{done}");
    finish(site.on_service("run").env("PROBE_STATUS", "200"))
        .exits(64)
        .says("PROBE_STATUS: is set without PROBE_URL");

    for (file, why) in [
        (json!([{"name": "a", "uri": "http://a/"}]), "unknown field `uri`"),
        (json!({"name": "a"}), "a JSON array of probes"),
        (json!([{"url": "http://a/"}]), "name of probe 1 in "),
        (
            json!([{"name": "a", "url": "http://a/"}, {"name": "a", "url": "http://b/"}]),
            "a name of its own for each probe",
        ),
        (
            json!([{"name": "a", "url": "http://a/", "method": "HEAD", "body": "x"}]),
            "answers to HEAD have no body",
        ),
        (
            json!([{"name": "a", "url": "http://a/", "during": "fail", "stop_after": 1}]),
            "can't stop the run by failing",
        ),
    ] {
        finish(site.on_service("run").env("PROBES_FILE", probes(&site, &file))).exits(64).says(why);
    }
    finish(site.on_service("run").env("PROBES_FILE", "/nowhere.json")).exits(64).says("No such file");
    assert_eq!(site.simulator.calls().len(), 0);
}
