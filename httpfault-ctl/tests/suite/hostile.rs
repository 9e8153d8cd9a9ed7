//! Values that would like to be commands arrive as they are, and run nothing.

use httpfault_simulator::World;

use crate::support::{Site, finish};

#[test]
fn hostile_values_reach_the_agent_unchanged_and_run_nothing() {
    let site = Site::new(World::fleet(1, 1));
    let trap = site.files.path().join("trap");
    let run = format!("touch {}", trap.display());
    let nasty = format!(
        "'\"`{run}`$({run})${{IFS}};{run}\n|{run}&\\{{{{ssm:secret}}}} %s \u{1F525}\u{7f}\nEOF\nPIECE\n"
    );
    let large = format!("{nasty}{}", "é'\"".repeat(3000));
    let inline = nasty.replace(['\n', '\u{7f}'], " ");
    let mut ctl = site.on_service("run");
    ctl.env("TOTAL_CHAOS_DURATION", "3")
        .env("RESPONSE_BODY", &large)
        .env("RESPONSE_HEADERS", format!("X-Nasty: {inline}"))
        .env("PATHS", serde_json::to_string(&[format!("/{nasty}")]).unwrap())
        .env("EXCLUDE_PATHS", serde_json::to_string(&[format!("/{large}")]).unwrap())
        .env("HEADERS", format!("X-Also: {inline}"))
        .env("EXCLUDE_USER_AGENTS", serde_json::to_string(&[&nasty]).unwrap())
        .env("CONTENT_TYPE", "text/plain; charset=\"$(id)\"");
    finish(&mut ctl).exits(0);

    let spec = site.specs().remove(0);
    let fault = &spec["fault"];
    assert_eq!(fault["replacement"]["body"], large.as_str());
    assert_eq!(fault["replacement"]["content_type"], "text/plain; charset=\"$(id)\"");
    assert_eq!(fault["headers"][0], format!("x-nasty: {}", inline.trim()));
    assert_eq!(fault["selection"]["headers"][0], format!("x-also: {}", inline.trim()));
    assert_eq!(fault["selection"]["paths"][0], format!("/{nasty}"));
    assert_eq!(fault["selection"]["exclude_paths"][0], format!("/{large}"));
    assert_eq!(fault["selection"]["exclude_user_agents"][0], nasty.as_str());
    assert!(!trap.exists(), "something was run");
    for command in site.simulator.commands() {
        assert!(!command.script.contains("{{") && !command.script.contains("touch /"), "{}", command.script);
    }
}

#[test]
fn names_that_go_to_aws_are_checked_first() {
    let site = Site::new(World::fleet(1, 1));
    let nasty = "$(touch /tmp/x)'\";\n{{ssm:x}}";
    for name in [
        "CLUSTER_NAME",
        "SERVICE_NAME",
        "TASK_REPLICA_ID",
        "REGION",
        "CONTAINER_NAME",
        "EXPERIMENT_ID",
        "ASSUME_ROLE_ARN",
        "ASSUME_ROLE_EXTERNAL_ID",
        "ASSUME_ROLE_SESSION_NAME",
        "AGENT_URL",
        "AGENT_SHA256",
        "NETWORK_INTERFACE",
        "METHODS",
        "STATUS_CODE",
        "SEED",
        "AGENT_DELIVERY",
        "CONTENT_TYPE",
    ] {
        finish(site.on_service("run").env(name, nasty)).exits(64).says(name);
    }
    assert_eq!(site.simulator.calls().len(), 0);
}

#[test]
fn what_is_too_large_for_one_command_is_refused_before_anything_is_sent() {
    let site = Site::new(World::fleet(1, 1));
    finish(site.on_service("run").env("RESPONSE_BODY", "x".repeat(16 * 1024 + 1)))
        .exits(64)
        .says("at most 16384 bytes");
    finish(site.on_service("run").env("RESPONSE_BODY", "\u{1}".repeat(16 * 1024)))
        .exits(1)
        .says("larger than 49152 bytes");
    assert_eq!(site.simulator.count("SendCommand"), 0);
}
