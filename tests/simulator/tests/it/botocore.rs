//! boto3 and botocore as an independent client: its models, its paginators, its waiter, its credential providers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use crate::support::{python, stdout_of};
use httpfault_simulator::{
    Alarm, AlarmState, Execution, Finished, ManagedInstance, Role, Service, Simulator, StubCall, World,
};

fn role() -> Role {
    Role::new("chaos").external_id("partner").web_identity_token("web-identity-token")
}

/// 120 hosts, 240 tasks, 25 services.
fn large_world() -> World {
    let mut world = World::fleet(120, 2).role(role());
    let shop = world.cluster_mut("shop").unwrap();
    let target_group =
        "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/edge/0123456789abcdef";
    shop.services.push(Service::new("edge").target_group(target_group, "envoy", 8080).tag("team", "edge"));
    shop.tasks.iter_mut().for_each(|task| *task = task.clone().tag("chaos", "allowed"));
    shop.services
        .extend((2..25).map(|number| Service::new(&format!("service-{number}")).capacity_provider("spot")));
    world.alarms.extend((0..60).map(|number| Alarm::new(&format!("alarm-{number}"))));
    world.alarms.push(Alarm::new("all").composite());
    world.set_alarm("alarm-7", AlarmState::Alarm);
    world
}

async fn shell(call: StubCall) -> Finished {
    if call.script.starts_with("sleep") {
        std::future::pending::<()>().await;
    }
    Finished::ok("hello\n")
}

#[test]
fn every_answer_conforms_to_the_service_model() {
    let simulator = Simulator::builder(large_world()).execution(Execution::stub(shell)).start().unwrap();
    let operations = stdout_of(&mut python("conformance.py", simulator.env()));
    // CancelCommand's output has no members, but botocore has a shape for it: 8 of ECS, 6 of SSM, 3 of STS, 1
    // of CloudWatch.
    assert_eq!(operations.trim(), "18");
}

#[test]
fn errors_become_botocore_exceptions() {
    let world = World::fleet(1, 1).role(role()).managed(ManagedInstance::windows("i-000000000000000ff"));
    let simulator = Simulator::builder(world).execution(Execution::stub(shell)).start().unwrap();
    let calls = stdout_of(&mut python("errors.py", simulator.env()));
    assert_eq!(calls.trim(), "35");
}

#[test]
fn credentials_come_from_where_pods_and_instances_find_them() {
    let simulator =
        Simulator::builder(World::new().role(role())).execution(Execution::stub(shell)).start().unwrap();
    let whoami = |env| stdout_of(&mut python("whoami.py", env)).trim().to_owned();
    let assumed = "arn:aws:sts::123456789012:assumed-role/chaos/";
    assert_eq!(whoami(simulator.env_container_credentials("chaos")), format!("{assumed}eks-pod"));
    assert_eq!(whoami(simulator.env_instance_profile()), format!("{assumed}i-00000000000000000"));

    let token = tempfile::NamedTempFile::new().unwrap();
    token.as_file().write_all(b"web-identity-token").unwrap();
    let mut irsa = simulator.env_without_keys();
    irsa.push(("AWS_WEB_IDENTITY_TOKEN_FILE".to_owned(), token.path().to_str().unwrap().to_owned()));
    irsa.push(("AWS_ROLE_ARN".to_owned(), simulator.world().role_arn("chaos")));
    irsa.push(("AWS_ROLE_SESSION_NAME".to_owned(), "pod-7".to_owned()));
    assert_eq!(whoami(irsa), format!("{assumed}pod-7"));
}

#[test]
fn expired_sessions_are_refused_in_both_protocols() {
    let simulator =
        Simulator::builder(World::new().role(role())).execution(Execution::stub(shell)).start().unwrap();
    let mut script = python("expired.py", simulator.env());
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "assumed");
    assert_eq!(simulator.expire_sessions(), 1);
    script.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(lines.collect::<Vec<_>>(), ["ExpiredTokenException", "ExpiredToken"]);
    assert!(script.wait().unwrap().success());
}
