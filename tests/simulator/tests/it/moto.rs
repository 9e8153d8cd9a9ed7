//! The moto helper that the controller's tests use.

use httpfault_simulator::moto::Moto;
use httpfault_simulator::python::Python;

#[test]
fn a_cluster_in_moto_keeps_its_tasks_running() {
    let moto = Moto::start().unwrap();
    let cluster = moto.create_cluster("shop", 2, 3).unwrap();
    assert_eq!((cluster.instance_ids.len(), cluster.container_instance_arns.len()), (2, 2));
    assert_eq!(cluster.task_arns.len(), 6);

    let look_twice = r#"
import boto3
ecs = boto3.client("ecs")
arns = ecs.list_tasks(cluster="shop")["taskArns"]
for _ in range(2):
    print(*sorted({task["lastStatus"] for task in ecs.describe_tasks(cluster="shop", tasks=arns)["tasks"]}))
"#;
    let python = Python::with_packages().unwrap();
    let output = python.command().args(["-c", look_twice]).envs(moto.env()).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines, "RUNNING\nRUNNING\n", "{}", String::from_utf8_lossy(&output.stderr));
}
