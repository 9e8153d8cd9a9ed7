//! Two thousand tasks on four hundred hosts, with a stub in the place of the shell.

use std::time::{Duration, Instant};

use httpfault_simulator::{Execution, Finished, Simulator, Status, World};
use serde_json::json;

use crate::support::{Client, PATIENCE, send_with};

#[test]
fn four_hundred_hosts_answer_within_seconds() {
    let stub = Execution::stub(|call| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Finished::ok(call.instance_id)
    });
    let started = Instant::now();
    let simulator = Simulator::builder(World::fleet(400, 5)).execution(stub).start().unwrap();
    let client = Client::new(&simulator);
    let hosts: Vec<String> = (0..400).map(|number| format!("i-{number:017}")).collect();
    for batch in hosts.chunks(50) {
        send_with(&client, json!({ "InstanceIds": batch, "Parameters": { "commands": ["true"] } }));
    }
    let ended = simulator.wait_for_commands(PATIENCE, |commands| {
        commands.iter().all(|command| command.status == Status::Success).then_some(())
    });
    assert!(ended.is_some());
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let mut tasks = 0;
    let mut token = json!(null);
    loop {
        let page = client.ecs("ListTasks", json!({ "cluster": "shop", "nextToken": token })).unwrap();
        tasks += page["taskArns"].as_array().unwrap().len();
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!((tasks, simulator.count("ListTasks")), (2000, 20));
}
