//! Under Litmus: what its runner and its exporter read is in the ChaosResult, and the exit code says that it is there.

use std::process::Command;

use httpfault_simulator::World;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    deployed::{known, variables, yaml},
    kubernetes::{Kubernetes, NAMESPACE},
    support::{Site, finish, host, start},
};

const FAULT: &str = "deploy/litmus/faults/httpfault/ecs-http-status/fault.yaml";
const ENGINE: &str = "deploy/litmus/faults/httpfault/ecs-http-status/engine.yaml";
const RESULT: &str = "ecs-http-status-ecs-http-status";

/// A cluster with the engine and the experiment's pod.
fn cluster(site: &Site) -> Kubernetes {
    let kubernetes = Kubernetes::start(site.files.path());
    kubernetes.put("chaosengines", "ecs-http-status", yaml(ENGINE).remove(0));
    let labels = json!({ "name": "ecs-http-status", "job-name": "ecs-http-status-x1" });
    kubernetes.put("pods", "pod-1", json!({ "metadata": { "labels": labels } }));
    kubernetes
}

/// `run` as the runner starts it: the fault's variables, the engine's over them, its own.
fn under_litmus(site: &Site, kubernetes: &Kubernetes) -> Command {
    let mut ctl = site.on_service("run");
    ctl.envs(kubernetes.env());
    ctl.envs([
        ("CHAOSENGINE", "ecs-http-status"),
        ("CHAOS_NAMESPACE", NAMESPACE),
        ("CHAOS_UID", "7f9c8f0e-1111-2222-3333-444455556666"),
        ("CHAOS_SERVICE_ACCOUNT", "httpfault"),
        ("EXPERIMENT_NAME", "ecs-http-status"),
        ("DEFAULT_HEALTH_CHECK", "true"),
        ("TERMINATION_GRACE_PERIOD_SECONDS", "180"),
        ("POD_NAME", "pod-1"),
    ]);
    ctl
}

fn result(kubernetes: &Kubernetes) -> Value {
    kubernetes.object("chaosresults", RESULT).expect("there is a ChaosResult")
}

/// Phase and verdict.
fn outcome(kubernetes: &Kubernetes) -> (String, String) {
    let status = result(kubernetes)["status"]["experimentStatus"].clone();
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    (text("phase"), text("verdict"))
}

fn is(phase: &str, verdict: &str) -> (String, String) {
    (phase.to_owned(), verdict.to_owned())
}

#[test]
fn a_run_is_announced_and_passes() {
    let site = Site::new(World::fleet(2, 1));
    site.install();
    let kubernetes = cluster(&site);
    let run = start(&mut under_litmus(&site, &kubernetes));
    site.await_on(2);
    assert_eq!(outcome(&kubernetes), is("Running", "Awaited"));
    let ended =
        run.ended().exits(0).says("the verdict is in the ChaosResult ecs-http-status-ecs-http-status");
    assert_eq!(ended.json()["exit"], 0, "{ended}");
    assert!(!ended.stderr.contains("did you mean"), "{ended}");

    let result = result(&kubernetes);
    assert_eq!(outcome(&kubernetes), is("Completed", "Pass"));
    assert_eq!(result["spec"], json!({ "engine": "ecs-http-status", "experiment": "ecs-http-status" }));
    let labels = &result["metadata"]["labels"];
    assert_eq!(labels["chaosUID"], "7f9c8f0e-1111-2222-3333-444455556666");
    assert_eq!(labels["job-name"], "ecs-http-status-x1");
    let history = &result["status"]["history"];
    assert_eq!((&history["passedRuns"], &history["failedRuns"]), (&json!(1), &json!(0)));
    let targets = history["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 2);
    assert!(
        targets.iter().all(|one| one["kind"] == "ecs-task" && one["chaosStatus"] == "reverted"),
        "{result}"
    );
    assert_eq!(result["status"]["experimentStatus"]["probeSuccessPercentage"], "100");
    site.assert_clean();
}

/// What others wrote into the object stays, and a write in between is no failure.
#[test]
fn a_second_run_counts_on_and_a_fault_without_traffic_fails() {
    let site = Site::new(World::fleet(1, 1));
    site.install();
    site.mode(&host(0), "quiet");
    let kubernetes = cluster(&site);
    let old = json!({
        "apiVersion": "litmuschaos.io/v1alpha1", "kind": "ChaosResult",
        "metadata": { "name": RESULT, "namespace": NAMESPACE, "resourceVersion": "7", "annotations": { "kept": "yes" } },
        "spec": { "engine": "ecs-http-status", "experiment": "ecs-http-status" },
        "status": { "history": { "passedRuns": 3, "failedRuns": 1, "stoppedRuns": 0 } },
    });
    kubernetes.put("chaosresults", RESULT, old);
    kubernetes.conflicts(2);
    finish(&mut under_litmus(&site, &kubernetes)).exits(0);
    let result = result(&kubernetes);
    assert_eq!(outcome(&kubernetes), is("Completed", "Fail"), "{result}");
    let history = &result["status"]["history"];
    assert_eq!((&history["passedRuns"], &history["failedRuns"]), (&json!(3), &json!(2)));
    assert_eq!(result["metadata"]["annotations"]["kept"], "yes");
    let error = &result["status"]["experimentStatus"]["errorOutput"];
    assert_eq!(error["errorCode"], "HTTPFAULT_2");
    assert!(error["reason"].as_str().unwrap().contains("no request was faulted"), "{error}");
    assert!(kubernetes.calls().iter().any(|call| call.ends_with(" 409")), "{:?}", kubernetes.calls());
}

/// An abort deletes the pod: SIGTERM, and its grace.
#[test]
fn an_abort_is_a_stopped_result() {
    let site = Site::new(World::fleet(1, 1));
    site.install();
    let kubernetes = cluster(&site);
    let run = start(under_litmus(&site, &kubernetes).env("TOTAL_CHAOS_DURATION", "300"));
    site.await_on(1);
    run.signal(Signal::SIGTERM);
    let ended = run.ended().exits(0);
    assert_eq!(outcome(&kubernetes), is("Stopped", "Stopped"), "{ended}");
    assert_eq!(result(&kubernetes)["status"]["history"]["stoppedRuns"], 1);
    site.assert_clean();
}

#[test]
fn whatever_ends_it_early_is_in_the_result() {
    let site = Site::new(World::fleet(1, 1));
    let kubernetes = cluster(&site);
    let why = || {
        let error = result(&kubernetes)["status"]["experimentStatus"]["errorOutput"]["reason"].clone();
        error.as_str().unwrap_or_default().to_owned()
    };
    finish(under_litmus(&site, &kubernetes).env("STATUS_CODE", "99")).exits(0).says("STATUS_CODE");
    assert_eq!(outcome(&kubernetes), is("Error", "Error"));
    assert!(why().contains("STATUS_CODE"), "{}", why());
    finish(under_litmus(&site, &kubernetes).env("SERVICE_NAME", "nobody")).exits(0);
    assert!(why().contains("nobody"), "{}", why());
    // Nothing was asked of a host.
    assert_eq!(site.simulator.count("SendCommand"), 0);
}

/// An httpProbe of the engine, asked of the stand-in: it answers 401 to whoever has no token.
fn http_probe(kubernetes: &Kubernetes, name: &str, mode: &str, code: &str) -> Value {
    json!({
        "name": name, "type": "httpProbe", "mode": mode,
        "httpProbe/inputs": {
            "url": kubernetes.url(), "insecureSkipVerify": true,
            "method": { "get": { "criteria": "==", "responseCode": code } },
        },
        "runProperties": { "probeTimeout": "5s", "interval": "100ms", "attempt": 1, "stopOnFailure": false },
    })
}

fn with_probes(kubernetes: &Kubernetes, probes: Value) {
    let mut engine = yaml(ENGINE).remove(0);
    engine["spec"]["experiments"][0]["spec"]["probe"] = probes;
    kubernetes.put("chaosengines", "ecs-http-status", engine);
}

#[test]
fn http_probes_of_the_engine_are_run_and_judged() {
    let site = Site::new(World::fleet(1, 1));
    site.install();
    let kubernetes = cluster(&site);
    with_probes(&kubernetes, json!([http_probe(&kubernetes, "refused", "Continuous", "401")]));
    finish(&mut under_litmus(&site, &kubernetes)).exits(0);
    assert_eq!(outcome(&kubernetes), is("Completed", "Pass"));
    let statuses = result(&kubernetes)["status"]["probeStatuses"].clone();
    assert_eq!(statuses[0]["status"]["verdict"], "Passed", "{statuses}");

    // One that is asked for while the fault is on only, and does not hold then.
    let probes = json!([
        http_probe(&kubernetes, "refused", "Edge", "401"),
        http_probe(&kubernetes, "answers", "OnChaos", "200"),
    ]);
    with_probes(&kubernetes, probes);
    finish(&mut under_litmus(&site, &kubernetes)).exits(0);
    assert_eq!(outcome(&kubernetes), is("Completed_With_Probe_Failure", "Fail"));
    let status = result(&kubernetes)["status"].clone();
    assert_eq!(status["experimentStatus"]["probeSuccessPercentage"], "50");
    let verdicts = status["probeStatuses"].as_array().unwrap().iter().map(|one| {
        (
            one["name"].as_str().unwrap(),
            one["mode"].as_str().unwrap(),
            one["status"]["verdict"].as_str().unwrap(),
        )
    });
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [("refused", "Edge", "Passed"), ("answers", "OnChaos", "Failed")]
    );

    // One that does not hold before the fault: nothing is put on.
    let sent = site.simulator.count("SendCommand");
    with_probes(&kubernetes, json!([http_probe(&kubernetes, "answers", "SOT", "200")]));
    finish(&mut under_litmus(&site, &kubernetes)).exits(0);
    assert_eq!(outcome(&kubernetes), is("Error", "Error"));
    assert_eq!(site.simulator.count("SendCommand"), sent);
    site.assert_clean();
}

/// Litmus' operator does not run them: a probe that is not run would look as if it had held.
#[test]
fn probes_that_are_not_run_are_refused_by_name() {
    let site = Site::new(World::fleet(1, 1));
    let kubernetes = cluster(&site);
    let mut of_file = http_probe(&kubernetes, "posts", "Edge", "200");
    of_file["httpProbe/inputs"]["method"] =
        json!({ "post": { "bodyPath": "/x", "criteria": "==", "responseCode": "200" } });
    let mut slow = http_probe(&kubernetes, "slow", "Edge", "200");
    slow["runProperties"]["probeTimeout"] = "soon".into();
    slow["httpProbe/inputs"]["method"]["get"]["criteria"] = "~".into();
    with_probes(
        &kubernetes,
        json!([
            { "name": "shop-answers", "type": "cmdProbe", "mode": "Continuous" },
            { "name": "p99", "type": "promProbe", "mode": "EOT" },
            http_probe(&kubernetes, "when", "Later", "200"), of_file, slow,
        ]),
    );
    finish(&mut under_litmus(&site, &kubernetes))
        .exits(0)
        .says("shop-answers: cmdProbe is not run")
        .says("p99: promProbe is not run")
        .says("when: mode \"Later\"")
        .says("posts: bodyPath is not known here")
        .says("slow: status \"~ 200\"")
        .says("timeout \"soon\"");
    assert_eq!(outcome(&kubernetes), is("Error", "Error"));
    assert_eq!(site.simulator.calls().len(), 0, "AWS was asked");
}

#[test]
fn without_a_result_the_exit_code_is_the_runs_own() {
    let site = Site::new(World::fleet(1, 1));
    let kubernetes = cluster(&site);
    kubernetes.take_right("chaosresults", "create");
    let ended = finish(&mut under_litmus(&site, &kubernetes)).exits(1);
    ended.says("cannot create it").says("deploy/litmus/rbac.yaml");
    finish(under_litmus(&site, &kubernetes).env("KUBERNETES_TOKEN_DIR", "/nonexistent"))
        .exits(1)
        .says("/nonexistent/ca.crt");
    // An authority that did not sign the server's certificate.
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(kubernetes.directory.join("ca.crt"), other.cert.pem()).unwrap();
    finish(&mut under_litmus(&site, &kubernetes)).exits(1).says("certificate");
    assert_eq!(site.simulator.calls().len(), 0, "AWS was asked");
}

/// Outside Litmus, and where it is switched off, no pod needs a right in the cluster, and none is used.
#[test]
fn kubernetes_is_not_asked_outside_litmus() {
    let site = Site::new(World::fleet(1, 1));
    site.install();
    let kubernetes = cluster(&site);
    finish(site.on_service("run").envs(kubernetes.env())).exits(0);
    let mut off = under_litmus(&site, &kubernetes);
    finish(off.env("LITMUS_RESULT", "false")).exits(0);
    assert_eq!(kubernetes.calls(), Vec::<String>::new());

    for file in ["job", "serviceaccount", "kustomization"] {
        for object in yaml(&format!("deploy/kubernetes/base/{file}.yaml")) {
            assert!(!object["kind"].as_str().unwrap().contains("Role"), "{object}");
            let pod = &object["spec"]["template"]["spec"];
            if object["kind"] == "Job" {
                assert_eq!(pod["automountServiceAccountToken"], false);
                assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
            }
        }
    }
}

#[test]
fn the_chaos_hub_tree_is_whole_and_its_variables_are_known() {
    let fault = yaml(FAULT).remove(0);
    let definition = &fault["spec"]["definition"];
    assert_eq!(definition["command"], json!(["/usr/local/bin/httpfault-ctl"]));
    assert_eq!(definition["args"], json!(["run"]));
    let known = known();
    let engine = yaml(ENGINE).remove(0);
    let experiment = &engine["spec"]["experiments"][0];
    assert_eq!(experiment["name"], fault["metadata"]["name"]);
    for list in [&definition["env"], &experiment["spec"]["components"]["env"]] {
        for (name, _) in variables(list) {
            assert!(known.contains(&name), "{name}");
        }
    }
    // The experiment asks for what the role gives it.
    let roles = yaml("deploy/litmus/rbac.yaml");
    let role =
        roles.iter().find(|one| one["kind"] == "Role" && one["metadata"]["name"] == "httpfault").unwrap();
    assert_eq!(role["rules"], definition["permissions"]);
    assert_eq!(engine["spec"]["chaosServiceAccount"], roles[0]["metadata"]["name"]);

    let tree = "deploy/litmus/faults/httpfault";
    assert_eq!(yaml(&format!("{tree}/experiments.yaml")), std::slice::from_ref(&fault));
    let package = &yaml(&format!("{tree}/httpfault.package.yaml"))[0];
    let chart = &yaml(&format!("{tree}/httpfault.chartserviceversion.yaml"))[0];
    let name = fault["metadata"]["name"].as_str().unwrap();
    let file = package["faults"][0]["CSV"].as_str().unwrap();
    let version = &yaml(&format!("{tree}/{name}/{file}"))[0];
    assert_eq!(
        (&package["packageName"], &chart["metadata"]["name"]),
        (&json!("httpfault"), &json!("httpfault"))
    );
    assert_eq!(
        (&chart["spec"]["faults"][0]["name"], &version["metadata"]["name"]),
        (&json!(name), &json!(name))
    );
}
