//! Settings: all mistakes at once, the reference's spelling, precedence.

use httpfault_simulator::World;
use serde_json::json;

use crate::support::{CLUSTER, SERVICE, Site, bare, finish};

#[test]
fn all_mistakes_are_named_with_value_and_what_is_allowed() {
    let done = finish(
        bare("run")
            .env("STATUS_CODE", "1000")
            .env("TARGET_SERVICE_PORT", "0")
            .env("MODIFY_RESPONSE_BODY", "maybe")
            .env("TASK_REPLICA_AFFECTED_PERC", "0")
            .env("SEQUENCE", "random")
            .env("TOTAL_CHAOS_DURATION", "soon")
            .env("AGENT_DELIVERY", "post")
            .env("PERCENT", "NaN")
            .env("EXISTING_CONNECTIONS", "cut")
            .env("RESPONSE_HEADERS", "no colon")
            .env("PATHS", "api")
            .env("NETWORK_INTERFACE", "a name with spaces")
            .env("EXPERIMENT_ID", "-x")
            .args(["--ramp-time", "-1"]),
    )
    .exits(64);
    for line in [
        "STATUS_CODE \"1000\": allowed is a number from 200 to 599 (one final status)",
        "TARGET_SERVICE_PORT \"0\": allowed is a number from 1 to 65535",
        "MODIFY_RESPONSE_BODY \"maybe\": allowed is true or false",
        "TASK_REPLICA_AFFECTED_PERC \"0\": allowed is a number from 1 to 100 percent",
        "SEQUENCE \"random\": allowed is parallel or serial",
        "TOTAL_CHAOS_DURATION \"soon\": allowed is a number from 1 to 86400 seconds",
        "AGENT_DELIVERY \"post\": allowed is auto or s3 or ecr or url or ssm or preinstalled",
        "PERCENT \"NaN\": allowed is a number from 0 to 100 percent",
        "EXISTING_CONNECTIONS \"cut\": allowed is auto or take or drain or keep or reset",
        "RESPONSE_HEADERS \"no colon\": allowed is 'Name: value'",
        "PATHS \"api\": allowed is a path prefix",
        "NETWORK_INTERFACE \"a name with spaces\": allowed is 'auto' or an interface name",
        "EXPERIMENT_ID \"-x\": allowed is 1 to 64 letters",
        "--ramp-time \"-1\": allowed is a number from 0 to 86400 seconds",
        "REGION: is not set",
        "CLUSTER_NAME: is not set",
        "SERVICE_NAME: is not set",
    ] {
        assert!(done.stderr.contains(line), "no {line:?} in {done}");
    }
}

#[test]
fn look_alikes_are_warned_about() {
    let mut ctl = bare("policy");
    ctl.env("STATUSCODE", "500").env("TARGET_PORT", "81").env("TOXICITY", "50");
    finish(&mut ctl)
        .exits(0)
        .says("STATUSCODE is set and ignored; did you mean STATUS_CODE?")
        .says("TARGET_PORT is set and ignored; did you mean TARGET_SERVICE_PORT?")
        .says("TOXICITY is set and has no meaning here: use PERCENT");
}

#[test]
fn booleans_as_the_reference_writes_them_and_empty_is_unset() {
    let site = Site::new(World::fleet(1, 1));
    for (value, replaced) in
        [("True", true), ("1", true), ("yes", true), ("False", false), ("0", false), ("", true)]
    {
        finish(site.on_service("run").env("MODIFY_RESPONSE_BODY", value).env("TOTAL_CHAOS_DURATION", "3"))
            .exits(0);
        let specs = site.take_specs();
        assert_eq!(specs[0]["fault"]["replacement"].is_object(), replaced, "{value:?}");
    }
}

#[test]
fn flags_win_over_variables() {
    let site = Site::new(World::fleet(1, 1));
    let mut ctl = site.on_service("run");
    ctl.env("STATUS_CODE", "500").env("SERVICE_NAME", "other").env("TOTAL_CHAOS_DURATION", "60");
    finish(ctl.args(["--status-code", "429", "--service-name", SERVICE, "--total-chaos-duration=1"]))
        .exits(0);
    assert_eq!(site.specs()[0]["fault"]["status"], 429);
}

#[test]
fn everything_that_the_agent_offers_reaches_it() {
    let site = Site::new(World::fleet(1, 1));
    let mut ctl = site.on_service("run");
    ctl.env("TOTAL_CHAOS_DURATION", "3")
        .env("EXPERIMENT_ID", "exp.7")
        .env("TARGET_SERVICE_PORT", "80")
        .env("PROXY_PORT", "20001")
        .env("NETWORK_INTERFACE", "eth0")
        .env("EXISTING_CONNECTIONS", "reset")
        .env("RESET_AT_ONCE", "true")
        .env("RESPONSE_BODY", "gone")
        .env("CONTENT_TYPE", "application/json")
        .env("RESPONSE_HEADERS", "Retry-After: 3\nVary: a, b")
        .env("MARKER", "false")
        .env("PERCENT", "12.5")
        .env("SEED", "9")
        .env("PATHS", "/a,/b")
        .env("METHODS", "GET,POST")
        .env("HEADERS", "X-Canary: yes")
        .env("EXCLUDE_PATHS", "[\"/with,comma\"]")
        .env("EXCLUDE_USER_AGENTS", "ELB-HealthChecker\nkube-probe")
        .env("GRPC_STATUS", "DATA_LOSS")
        .env("GRPC_MESSAGE", "no more");
    finish(&mut ctl).exits(0);
    let spec = site.specs().remove(0);
    let fault = &spec["fault"];
    assert_eq!(spec["experiment_id"], "exp.7");
    assert_eq!((&spec["proxy_port"], &spec["interface"]), (&json!(20001), &json!("eth0")));
    assert_eq!((&spec["existing_connections"], &spec["reset_at_once"]), (&json!("reset"), &json!(true)));
    assert_eq!(fault["replacement"], json!({"body": "gone", "content_type": "application/json"}));
    assert_eq!(fault["headers"], json!(["retry-after: 3", "vary: a, b"]));
    assert_eq!(
        (&fault["marker"], &fault["percent"], &fault["seed"]),
        (&json!(false), &json!(12.5), &json!(9))
    );
    let selection = json!({
        "paths": ["/a", "/b"], "methods": ["GET", "POST"], "headers": ["x-canary: yes"],
        "exclude_paths": ["/with,comma"], "exclude_user_agents": ["ELB-HealthChecker", "kube-probe"],
    });
    assert_eq!(fault["selection"], selection);
    assert_eq!(fault["grpc"], json!({"status": 15, "message": "no more"}));
}

#[test]
fn a_status_that_needs_a_header_is_a_warning_without_it() {
    let site = Site::new(World::fleet(1, 1));
    for (status, told) in [
        ("302", "RESPONSE_HEADERS 'Location: "),
        ("401", "RESPONSE_HEADERS 'WWW-Authenticate: "),
        ("405", "RESPONSE_HEADERS 'Allow: "),
    ] {
        finish(site.on_service("plan").env("STATUS_CODE", status)).exits(0).says(told);
    }
    let mut given = site.on_service("plan");
    let plan = finish(given.env("STATUS_CODE", "302").env("RESPONSE_HEADERS", "location: /a")).exits(0);
    assert_eq!(plan.json()["warnings"], json!([]));
}

#[test]
fn task_ids_win_over_the_service_with_a_warning() {
    let site = Site::new(World::fleet(1, 3));
    let task = site.simulator.world().clusters[0].tasks[1].id.clone();
    let arn = site.simulator.world().task_arn(CLUSTER, &task);
    let plan = finish(site.on_service("plan").env("TASK_REPLICA_ID", format!("{task}, {arn}"))).exits(0);
    let plan = plan.says("TASK_REPLICA_ID is set: exactly these tasks are taken").json();
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(plan["tasks"][0]["task"], task.as_str());
}

#[test]
fn install_dependency_is_the_older_name() {
    let site = Site::new(World::fleet(1, 1));
    finish(site.on_service("run").env("INSTALL_DEPENDENCY", "False"))
        .exits(1)
        .says("INSTALL_DEPENDENCIES=false");
}
