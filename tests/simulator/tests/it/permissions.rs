//! Policies: a user can do what its policy says and nothing else.

use httpfault_simulator::{Execution, Finished, Policy, Simulator, User, World};
use serde_json::json;

use crate::support::Client;

const HOST: &str = "i-00000000000000000";

fn client(policy: &str) -> (Simulator, Client) {
    let user = User::new("chaos", "AKIACHAOS00000000000", "secret").policy(Policy::parse(policy).unwrap());
    let stub = Execution::stub(|_| async { Finished::ok("") });
    let world = World::fleet(2, 1).user(user.clone());
    let simulator = Simulator::builder(world).execution(stub).start().unwrap();
    let client = Client::of(&simulator, &user);
    (simulator, client)
}

#[test]
fn list_tasks_needs_the_condition_and_not_the_cluster_as_resource() {
    let on_cluster = r#"{"Statement":{"Effect":"Allow","Action":"ecs:ListTasks",
        "Resource":"arn:aws:ecs:eu-central-1:123456789012:cluster/shop"}}"#;
    let (_simulator, denied) = client(on_cluster);
    let error = denied.ecs("ListTasks", json!({ "cluster": "shop" })).unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    assert!(
        error.message.contains("arn:aws:ecs:eu-central-1:123456789012:container-instance/shop/*"),
        "{error:?}"
    );

    let conditional = r#"{"Statement":{"Effect":"Allow","Action":"ecs:ListTasks","Resource":"*",
        "Condition":{"ArnEquals":{"ecs:cluster":"arn:aws:ecs:eu-central-1:123456789012:cluster/shop"}}}}"#;
    let (_simulator, allowed) = client(conditional);
    allowed.ecs("ListTasks", json!({ "cluster": "shop" })).unwrap();
    assert_eq!(
        allowed.ecs("ListTasks", json!({ "cluster": "other" })).unwrap_err().code,
        "AccessDeniedException"
    );
}

#[test]
fn send_command_can_be_kept_to_tagged_instances() {
    let policy = r#"{"Statement":[
        {"Effect":"Allow","Action":"ssm:SendCommand","Resource":"arn:aws:ssm:*::document/AWS-RunShellScript"},
        {"Effect":"Allow","Action":"ssm:SendCommand","Resource":"arn:aws:ec2:*:*:instance/*",
         "Condition":{"StringEquals":{"ssm:resourceTag/chaos":["allowed"]}}}]}"#;
    let (simulator, client) = client(policy);
    let send = || {
        let parameters = json!({ "commands": ["true"] });
        let request =
            json!({ "DocumentName": "AWS-RunShellScript", "InstanceIds": [HOST], "Parameters": parameters });
        client.ssm("SendCommand", request)
    };
    let error = send().unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    assert!(error.message.contains(HOST), "{error:?}");
    simulator
        .edit(|world| world.managed_mut(HOST).unwrap().tags.insert("chaos".to_owned(), "allowed".to_owned()));
    send().unwrap();
}

#[test]
fn send_command_needs_the_document_and_every_instance() {
    let send = |client: &Client, hosts: &[&str]| {
        let parameters = json!({ "commands": ["true"] });
        let request =
            json!({ "DocumentName": "AWS-RunShellScript", "InstanceIds": hosts, "Parameters": parameters });
        client.ssm("SendCommand", request)
    };
    let instance = format!("arn:aws:ec2:eu-central-1:123456789012:instance/{HOST}");
    let policy = |resources: &[&str]| {
        json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "Send", "Effect": "Allow", "Action": ["ssm:SendCommand"], "Resource": resources },
        ]})
        .to_string()
    };
    let (_simulator, without_document) = client(&policy(&[&instance]));
    let error = send(&without_document, &[HOST]).unwrap_err();
    assert!(
        error.message.contains("on resource: arn:aws:ssm:eu-central-1::document/AWS-RunShellScript"),
        "{error:?}"
    );

    let document = "arn:aws:ssm:*::document/AWS-RunShellScript";
    let (_simulator, client) = client(&policy(&[&instance, document]));
    send(&client, &[HOST]).unwrap();
    let error = send(&client, &[HOST, "i-00000000000000001"]).unwrap_err();
    assert!(error.message.contains("instance/i-00000000000000001"), "{error:?}");
    assert_eq!(
        client.ssm("CancelCommand", json!({ "CommandId": "x" })).unwrap_err().code,
        "AccessDeniedException"
    );
}
