//! Five workers and five places to wait: AWS.md section A8. And MaxConcurrency and MaxErrors.

use httpfault_simulator::{Execution, Finished, ManagedInstance, Simulator, Status, World};
use serde_json::json;

use crate::support::{Client, HOST, PATIENCE, ended, eventually, one_host, send, send_with};

#[test]
fn of_twelve_commands_five_run_and_five_only_say_so() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let wait = "while [ ! -e /run/httpfault/go ]; do sleep 0.05; done";
    let sent: Vec<String> = (0..12).map(|_| send(&client, wait)).collect();
    let counts = || {
        let invocations: Vec<_> =
            simulator.commands().into_iter().map(|one| one.invocations[0].clone()).collect();
        let with = |status| invocations.iter().filter(|one| one.status == status).count();
        (
            with(Status::InProgress),
            with(Status::Pending),
            invocations.iter().filter(|one| one.started).count(),
        )
    };
    eventually("ten are taken and five of them started", || counts() == (10, 2, 5));
    eventually("five scripts run", || {
        let commands = simulator.commands();
        commands.iter().filter(|one| !one.invocations[0].process_groups.is_empty()).count() == 5
    });

    // The cancel pool is another one: both a queued and a running command are cancelled while all slots are taken.
    let started = |started: bool| {
        let commands = simulator.commands();
        commands.iter().find(|one| one.invocations[0].started == started).unwrap().id.clone()
    };
    let (queued, running) = (started(false), started(true));
    for command in [&queued, &running] {
        client.ssm("CancelCommand", json!({ "CommandId": command })).unwrap();
        assert_eq!(ended(&simulator, &client, command)["Status"], "Cancelled");
    }
    std::fs::write(simulator.host_directory(HOST).join("root/run/httpfault/go"), "").unwrap();
    for command in sent.iter().filter(|id| **id != queued && **id != running) {
        assert_eq!(ended(&simulator, &client, command)["Status"], "Success");
    }
}

#[test]
fn max_errors_terminates_what_was_not_sent_yet() {
    let hosts: Vec<String> = (0..4).map(|number| format!("i-{number:017}")).collect();
    let world = hosts.iter().fold(World::new(), |world, id| world.managed(ManagedInstance::amazon_linux(id)));
    let fail = Execution::stub(|_| async { Finished::failed(1, "no") });
    let simulator = Simulator::builder(world).execution(fail).start().unwrap();
    let client = Client::new(&simulator);
    send_with(
        &client,
        json!({ "InstanceIds": hosts, "Parameters": { "commands": ["false"] }, "MaxConcurrency": "1", "MaxErrors": "1" }),
    );
    let details = simulator.wait_for_commands(PATIENCE, |commands| {
        let invocations = &commands[0].invocations;
        let mut details: Vec<&str> = invocations.iter().map(|one| one.details).collect();
        details.sort_unstable();
        invocations.iter().all(|one| one.status.is_final()).then_some(details)
    });
    assert_eq!(details.unwrap(), ["Failed", "Failed", "Terminated", "Terminated"]);
}
