use httpfault_common::contract::Replacement;

use super::*;

fn fault(percent: f64, selection: Selection) -> Fault {
    Fault {
        status: 503,
        replacement: Some(Replacement::default()),
        headers: vec![],
        marker: true,
        percent,
        seed: Some(7),
        grpc: Default::default(),
        selection,
    }
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    headers
}

/// Whether `method path` with `lines` is faulted at 100 percent of `selection`.
fn faulted(selection: &Selection, method: &str, path: &str, lines: &[(&'static str, &'static str)]) -> bool {
    let decider = Decider::new(&fault(100.0, selection.clone()), "secret".to_owned());
    let facts = Facts { method, path, headers: &headers(lines) };
    decider.verdict(facts, FaultIs::On) == Verdict::Fault(Action::Answer)
}

fn verdicts(percent: f64, count: usize) -> Vec<Verdict> {
    let decider = Decider::new(&fault(percent, Selection::default()), String::new());
    let none = HeaderMap::new();
    let verdict = || decider.verdict(Facts { method: "GET", path: "/", headers: &none }, FaultIs::On);
    (0..count).map(|_| verdict()).collect()
}

#[test]
fn everything_is_selected_by_default() {
    assert!(faulted(&Selection::default(), "GET", "/", &[]));
}

#[test]
fn paths_are_prefixes_and_alternatives() {
    let selection = Selection { paths: vec!["/api".into(), "/v2".into()], ..Selection::default() };
    for path in ["/api", "/apiary", "/api/x?y=1", "/v2/"] {
        assert!(faulted(&selection, "GET", path, &[]), "{path}");
    }
    for path in ["/", "/ap", "/x/api", "/API", "*"] {
        assert!(!faulted(&selection, "GET", path, &[]), "{path}");
    }
}

#[test]
fn methods_are_alternatives_without_case() {
    let selection = Selection { methods: vec!["get".into(), "POST".into()], ..Selection::default() };
    assert!(faulted(&selection, "GET", "/", &[]));
    assert!(faulted(&selection, "POST", "/", &[]));
    assert!(!faulted(&selection, "PUT", "/", &[]));
}

#[test]
fn every_header_must_match_on_some_line() {
    let selection = Selection {
        headers: vec!["X-Canary: yes".parse().unwrap(), "X-Team: a".parse().unwrap()],
        ..Selection::default()
    };
    assert!(faulted(&selection, "GET", "/", &[("x-team", "b"), ("x-team", "a"), ("x-canary", "yes")]));
    assert!(!faulted(&selection, "GET", "/", &[("x-canary", "yes")]));
    assert!(!faulted(&selection, "GET", "/", &[("x-canary", "yes"), ("x-team", "A")]));
}

#[test]
fn kinds_are_combined() {
    let selection =
        Selection { paths: vec!["/api".into()], methods: vec!["POST".into()], ..Selection::default() };
    assert!(faulted(&selection, "POST", "/api", &[]));
    assert!(!faulted(&selection, "GET", "/api", &[]));
    assert!(!faulted(&selection, "POST", "/", &[]));
}

#[test]
fn exclusions_win() {
    let selection = Selection {
        paths: vec!["/".into()],
        exclude_paths: vec!["/health".into()],
        exclude_user_agents: vec!["elb-healthchecker".into()],
        ..Selection::default()
    };
    assert!(faulted(&selection, "GET", "/x", &[("user-agent", "curl/8")]));
    assert!(!faulted(&selection, "GET", "/healthz", &[]));
    assert!(!faulted(&selection, "GET", "/x", &[("user-agent", "ELB-HealthChecker/2.0")]));
}

#[test]
fn a_probe_is_known_by_its_token_alone() {
    let decider = Decider::new(&fault(0.0, Selection::default()), "secret".to_owned());
    let verdict = |token| {
        let headers = headers(&[("x-httpfault-probe", token)]);
        decider.verdict(Facts { method: "GET", path: "/", headers: &headers }, FaultIs::Over)
    };
    assert_eq!(verdict("secret"), Verdict::Probe);
    assert_eq!(verdict("Secret"), Verdict::Spare);
}

#[test]
fn an_empty_token_knows_no_probe() {
    let decider = Decider::new(&fault(0.0, Selection::default()), String::new());
    let headers = headers(&[("x-httpfault-probe", "")]);
    let facts = Facts { method: "GET", path: "/", headers: &headers };
    assert_eq!(decider.verdict(facts, FaultIs::On), Verdict::Spare);
}

#[test]
fn nothing_is_faulted_when_the_fault_is_over() {
    let decider = Decider::new(&fault(100.0, Selection::default()), String::new());
    let facts = Facts { method: "GET", path: "/", headers: &HeaderMap::new() };
    assert_eq!(decider.verdict(facts, FaultIs::Over), Verdict::Spare);
}

#[test]
fn the_share_is_that_of_requests_and_repeatable() {
    let first = verdicts(30.0, 20_000);
    assert_eq!(first, verdicts(30.0, 20_000));
    let faulted = first.iter().filter(|verdict| **verdict == Verdict::Fault(Action::Answer)).count();
    // Four standard deviations of a binomial distribution are 260.
    assert!((5_740..=6_260).contains(&faulted), "{faulted} of 20000");
    assert!(verdicts(0.0, 1000).iter().all(|verdict| *verdict == Verdict::Spare));
    assert!(verdicts(100.0, 1000).iter().all(|verdict| *verdict == Verdict::Fault(Action::Answer)));
}

#[test]
fn draws_of_neighbours_are_independent() {
    let pairs = (0..10_000).filter(|n| draw(1, *n) < 0.5 && draw(1, n + 1) < 0.5).count();
    assert!((2_300..=2_700).contains(&pairs), "{pairs} of 10000 pairs were both low");
}

#[test]
fn paths_of_all_request_targets() {
    assert_eq!(path_of("/a?b"), "/a?b");
    assert_eq!(path_of("http://host:1/a?b"), "/a?b");
    assert_eq!(path_of("http://host"), "/");
    assert_eq!(path_of("*"), "*");
    assert_eq!(path_of("host:443"), "host:443");
}
