//! A cluster that changes while it is looked at.

use httpfault_simulator::{
    Arch, Cluster, Container, ContainerInstance, Execution, Finished, LaunchType, NetworkMode, Service,
    Simulator, Task, TaskStatus, World,
};
use serde_json::{Value, json};

use crate::support::{Client, HOST};

fn simulator() -> (Simulator, Client) {
    let web = Container::new("web").port(80, 32768);
    let awsvpc =
        Task::on(HOST).id("b").service("web").network_mode(NetworkMode::Awsvpc).container(web.clone());
    let starting = Container::new("web").port(80, 0).without_runtime_id();
    let cluster = Cluster::new("shop")
        .container_instance(
            ContainerInstance::new(HOST).arch(Arch::Arm64).disconnected().bottlerocket("aws-ecs-2"),
        )
        .service(Service::new("web").desired_count(4))
        .service(Service::new("pay").launch_type(LaunchType::Fargate))
        .task(Task::on(HOST).id("a").service("web").container(web.clone()))
        .task(awsvpc)
        .task(Task::on(HOST).id("c").service("web").container(starting).last_status(TaskStatus::Pending))
        .task(Task::fargate().id("d").service("pay").container(web));
    let stub = Execution::stub(|_| async { Finished::ok("") });
    let world = World::new().cluster(cluster).cluster(Cluster::new("old").inactive());
    let simulator = Simulator::builder(world).execution(stub).start().unwrap();
    let client = Client::new(&simulator);
    (simulator, client)
}

fn list(client: &Client, mut request: Value) -> Vec<String> {
    request["cluster"] = json!("shop");
    let answer = client.ecs("ListTasks", request).unwrap();
    let arns = answer["taskArns"].as_array().unwrap().iter();
    arns.map(|arn| arn.as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
}

fn task(client: &Client, id: &str) -> Value {
    client.ecs("DescribeTasks", json!({ "cluster": "shop", "tasks": [id] })).unwrap()["tasks"][0].clone()
}

#[test]
fn lists_are_filtered() {
    let (_simulator, client) = simulator();
    assert_eq!(list(&client, json!({})), ["a", "b", "c", "d"], "wanted to run, whether they do or not");
    assert_eq!(list(&client, json!({ "serviceName": "web" })), ["a", "b", "c"]);
    assert_eq!(list(&client, json!({ "launchType": "FARGATE" })), ["d"]);
    assert_eq!(list(&client, json!({ "family": "pay" })), ["d"]);
    assert_eq!(list(&client, json!({ "desiredStatus": "STOPPED" })), [""; 0]);
    let error = client.ecs("ListTasks", json!({ "cluster": "old" })).unwrap_err();
    assert_eq!(error.code, "ClusterNotFoundException", "an INACTIVE cluster can only be described");
}

#[test]
fn tasks_look_as_their_launch_type_and_network_mode_make_them() {
    let (_simulator, client) = simulator();
    let bridge = task(&client, "a");
    assert_eq!(bridge["containers"][0]["networkBindings"][0]["hostPort"], 32768);
    assert!(bridge["containerInstanceArn"].as_str().unwrap().contains(":container-instance/shop/"));
    let awsvpc = task(&client, "b");
    assert_eq!(awsvpc["containers"][0]["networkBindings"], json!([]));
    assert_eq!(awsvpc["attachments"][0]["type"], "ElasticNetworkInterface");
    let pending = task(&client, "c");
    assert_eq!(
        (&pending["lastStatus"], &pending["containers"][0]["runtimeId"]),
        (&json!("PENDING"), &Value::Null)
    );
    let fargate = task(&client, "d");
    assert_eq!((&fargate["launchType"], &fargate["containerInstanceArn"]), (&json!("FARGATE"), &Value::Null));
}

#[test]
fn instances_carry_their_attributes() {
    let (_simulator, client) = simulator();
    let arn = task(&client, "a")["containerInstanceArn"].clone();
    let request = json!({ "cluster": "shop", "containerInstances": [arn, "absent"] });
    let answer = client.ecs("DescribeContainerInstances", request).unwrap();
    let instance = &answer["containerInstances"][0];
    assert_eq!((&instance["ec2InstanceId"], &instance["agentConnected"]), (&json!(HOST), &json!(false)));
    let attributes = instance["attributes"].as_array().unwrap();
    assert!(attributes.contains(&json!({ "name": "ecs.cpu-architecture", "value": "arm64" })));
    assert!(attributes.contains(&json!({ "name": "bottlerocket.variant", "value": "aws-ecs-2" })));
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
}

#[test]
fn a_task_stops_and_another_takes_its_place() {
    let (simulator, client) = simulator();
    let before = task(&client, "a")["containers"][0]["runtimeId"].clone();
    let new = simulator.edit(|world| world.replace_task("a")).unwrap();
    assert_eq!(list(&client, json!({ "serviceName": "web" })), ["b", "c", new.as_str()]);
    assert_eq!(list(&client, json!({ "desiredStatus": "STOPPED" })), ["a"]);
    let old = task(&client, "a");
    assert_eq!((&old["lastStatus"], &old["containers"][0]["exitCode"]), (&json!("STOPPED"), &json!(137)));
    assert_ne!(task(&client, &new)["containers"][0]["runtimeId"], before);

    let services = client.ecs("DescribeServices", json!({ "cluster": "shop", "services": ["web"] })).unwrap();
    let count = |name: &str| services["services"][0][name].as_i64().unwrap();
    assert_eq!((count("desiredCount"), count("runningCount"), count("pendingCount")), (4, 2, 1));
    assert!(!simulator.edit(|world| world.stop_task("absent", "no reason")));
}
