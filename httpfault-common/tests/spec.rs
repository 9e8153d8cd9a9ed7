//! What a run may be asked to do: the edges of each limit, and that all mistakes are told at once.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which end with them")]

use httpfault_common::contract::{
    ExistingConnections, ExperimentId, Fault, GrpcError, HeaderLine, Replacement, RunSpec, Selection,
    SpecError, TargetSelector, limit,
};

fn spec() -> RunSpec {
    RunSpec {
        experiment_id: "checkout-1".parse().unwrap(),
        targets: vec![TargetSelector::Pid { pid: 1 }],
        port: 80,
        proxy_port: 20000,
        interface: "auto".to_owned(),
        duration_secs: 60,
        existing_connections: ExistingConnections::Auto,
        reset_at_once: false,
        fault: Fault {
            status: 503,
            replacement: Some(Replacement::default()),
            headers: Vec::new(),
            marker: true,
            percent: 100.0,
            seed: None,
            selection: Selection::default(),
            grpc: GrpcError::default(),
        },
    }
}

fn header(line: &str) -> HeaderLine {
    line.parse().unwrap()
}

/// Fields that are wrong after a change.
fn wrong(change: impl FnOnce(&mut RunSpec)) -> Vec<&'static str> {
    let mut spec = spec();
    change(&mut spec);
    match spec.check() {
        Ok(()) => Vec::new(),
        Err(mistakes) => mistakes.0.iter().map(|mistake| mistake.field).collect(),
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_is_at_the_edge_is_allowed() {
    assert_eq!(wrong(|_| {}), NOTHING);
    for status in [200, 599] {
        assert_eq!(wrong(|spec| spec.fault.status = status), NOTHING);
    }
    for port in [1, u16::MAX] {
        assert_eq!(wrong(|spec| spec.port = port), NOTHING);
    }
    for duration in [limit::MIN_DURATION_SECS, limit::MAX_DURATION_SECS] {
        assert_eq!(wrong(|spec| spec.duration_secs = duration), NOTHING);
    }
    for percent in [0.0, 0.1, 100.0] {
        assert_eq!(wrong(|spec| spec.fault.percent = percent), NOTHING);
    }
    assert_eq!(wrong(|spec| spec.interface = "a".repeat(15)), NOTHING);
    assert_eq!(
        wrong(|spec| spec.targets = vec![TargetSelector::Pid { pid: 1 }; limit::MAX_TARGETS]),
        NOTHING
    );
    let body = Some("x".repeat(limit::MAX_BODY_BYTES));
    assert_eq!(
        wrong(|spec| spec.fault.replacement = Some(Replacement { body, content_type: None })),
        NOTHING
    );
    let name = "x-much";
    let much = header(&format!("{name}: {}", "v".repeat(limit::MAX_HEADER_BYTES - name.len())));
    assert_eq!(wrong(|spec| spec.fault.headers = vec![much]), NOTHING);
}

#[test]
fn what_is_beyond_is_refused_by_name() {
    for status in [0, 100, 199, 600, u16::MAX] {
        assert_eq!(wrong(|spec| spec.fault.status = status), ["status-code"], "{status}");
    }
    assert_eq!(wrong(|spec| spec.targets.clear()), ["task-id"]);
    let many = vec![TargetSelector::Pid { pid: 1 }; limit::MAX_TARGETS + 1];
    assert_eq!(wrong(|spec| spec.targets = many), ["task-id"]);
    assert_eq!(wrong(|spec| spec.port = 0), ["port"]);
    assert_eq!(wrong(|spec| spec.proxy_port = 0), ["proxy-port"]);
    assert_eq!(wrong(|spec| spec.proxy_port = spec.port), ["proxy-port"]);
    for interface in ["", "sixteen-bytes-xx", "eth 0", "../eth0", "eth\u{7f}"] {
        assert_eq!(wrong(|spec| spec.interface = interface.to_owned()), ["interface"], "{interface:?}");
    }
    for duration in [0, limit::MAX_DURATION_SECS + 1] {
        assert_eq!(wrong(|spec| spec.duration_secs = duration), ["duration"], "{duration}");
    }
    for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
        assert_eq!(wrong(|spec| spec.fault.percent = percent), ["percent"], "{percent}");
    }
    let body = Some("x".repeat(limit::MAX_BODY_BYTES + 1));
    let long = Replacement { body, content_type: Some("json".to_owned()) };
    assert_eq!(wrong(|spec| spec.fault.replacement = Some(long)), ["response-body", "content-type"]);
    let much = header(&format!("x-much: {}", "v".repeat(limit::MAX_HEADER_BYTES)));
    assert_eq!(wrong(|spec| spec.fault.headers = vec![much]), ["response-header"]);
    let message = Some("x".repeat(limit::MAX_GRPC_MESSAGE_BYTES + 1));
    assert_eq!(wrong(|spec| spec.fault.grpc.message = message), ["grpc-message"]);
    assert_eq!(wrong(|spec| spec.fault.selection.paths = vec!["api".to_owned()]), ["path"]);
    assert_eq!(wrong(|spec| spec.fault.selection.exclude_paths = vec![String::new()]), ["exclude-path"]);
    assert_eq!(wrong(|spec| spec.fault.selection.methods = vec!["GET /".to_owned()]), ["method"]);
    let nobody = vec![String::new()];
    assert_eq!(wrong(|spec| spec.fault.selection.exclude_user_agents = nobody), ["exclude-user-agent"]);
}

/// A header that frames the message would make clients misread the connection (RFC 9112 section 6).
#[test]
fn headers_that_frame_a_message_are_refused() {
    for name in
        ["Connection", "Content-Length", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"]
    {
        let line = header(&format!("{name}: 1"));
        assert_eq!(wrong(|spec| spec.fault.headers = vec![line]), ["response-header"], "{name}");
    }
    assert_eq!(wrong(|spec| spec.fault.headers = vec![header("Retry-After: 1")]), NOTHING);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let fields = wrong(|spec| {
        spec.targets.clear();
        spec.fault.status = 100;
        spec.port = 0;
        spec.duration_secs = 0;
        spec.fault.percent = 101.0;
    });
    assert_eq!(fields, ["task-id", "status-code", "port", "duration", "percent"]);
}

/// It becomes a file name and a header value.
#[test]
fn an_experiment_id_is_a_plain_word() {
    for id in ["a", "0", "checkout-503", "A.b_c-1", &"x".repeat(64)] {
        assert_eq!(id.parse::<ExperimentId>().unwrap().as_str(), id);
    }
    for id in ["", ".", "..", ".hidden", "-rf", "a/b", "a b", "a\n", "\u{e4}", "a\0", &"x".repeat(65)] {
        assert!(id.parse::<ExperimentId>().is_err(), "{id:?}");
    }
}

#[test]
fn what_was_encoded_is_read_again() {
    let mut spec = spec();
    spec.fault.headers = vec![header("Location: https://example.com/?a=b:c")];
    spec.fault.selection.paths = vec!["/\u{e4}'\"$(reboot)".to_owned()];
    let text = spec.encode().unwrap();
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)), "{text}");
    assert_eq!(RunSpec::decode(&format!(" {text}\n")).unwrap(), spec);
}

#[test]
fn what_is_no_spec_is_refused() {
    assert!(matches!(RunSpec::decode("not base64!"), Err(SpecError::Base64(_))));
    // {"port":80}: a field is missing.
    assert!(matches!(RunSpec::decode("eyJwb3J0Ijo4MH0="), Err(SpecError::Json(_))));
    let long = "A".repeat(limit::MAX_SPEC_BYTES + 4);
    assert!(matches!(RunSpec::decode(&long), Err(SpecError::TooLong { .. })));
    let mut large = spec();
    large.fault.selection.paths = vec![format!("/{}", "x".repeat(limit::MAX_SPEC_BYTES))];
    assert!(matches!(large.encode(), Err(SpecError::TooLong { .. })));
}
