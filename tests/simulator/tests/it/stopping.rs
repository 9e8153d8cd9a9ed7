//! How a script is stopped: CancelCommand, the execution timeout, a reboot. AWS.md sections A3, A4, A5 and A7.

use std::time::{Duration, Instant};

use httpfault_simulator::{PingStatus, Simulator, Timing};
use serde_json::{Value, json};

use crate::support::{Client, HOST, PATIENCE, ended, eventually, invocation, one_host, send, send_with};

/// Traps TERM, starts a child in its group and one in a session of its own, and says when all are there.
const STUBBORN: &str = "trap 'echo trapped' TERM INT
sleep 600 &
setsid sleep 700 </dev/null >/dev/null 2>&1 &
echo partial
touch /run/httpfault/ready
wait; wait";

fn cancel(client: &Client, command: &str) {
    assert_eq!(client.ssm("CancelCommand", json!({ "CommandId": command })).unwrap(), json!({}));
}

fn wait_until_ready(simulator: &Simulator) {
    let ready = simulator.host_directory(HOST).join("root/run/httpfault/ready");
    eventually("the script is ready", || ready.exists());
}

fn command_lines(simulator: &Simulator) -> Vec<String> {
    let read = |pid: i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let lines = simulator
        .processes(HOST)
        .into_iter()
        .map(|pid| String::from_utf8_lossy(&read(pid)).replace('\0', " "));
    lines.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn cancel_kills_the_process_group_and_not_a_child_with_its_own_session() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, STUBBORN);
    wait_until_ready(&simulator);

    let started = Instant::now();
    cancel(&client, &command);
    let invocation = ended(&simulator, &client, &command);
    assert!(started.elapsed() < Duration::from_secs(3), "no grace period");
    assert_eq!(invocation["Status"], "Cancelled");
    assert_eq!(invocation["StandardOutputContent"], "partial\n", "the TERM trap never ran");
    assert_eq!(command_lines(&simulator), ["sleep 700"]);
}

#[test]
fn the_execution_timeout_kills_in_the_same_way() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let started = Instant::now();
    let parameters = json!({ "commands": [STUBBORN], "executionTimeout": ["5"] });
    let command = send_with(&client, json!({ "Parameters": parameters }));
    let invocation = ended(&simulator, &client, &command);
    assert!((5..8).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    let text = |name: &str| invocation[name].as_str().unwrap();
    assert_eq!((text("Status"), text("StatusDetails")), ("TimedOut", "Execution Timed Out"));
    assert_eq!(
        (invocation["ResponseCode"].as_i64(), text("StandardOutputContent")),
        (Some(137), "partial\n")
    );
    assert_eq!(command_lines(&simulator), ["sleep 700"]);
}

#[test]
fn a_timeout_below_five_seconds_is_an_hour() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let parameters = json!({ "commands": ["sleep 2; echo still here"], "executionTimeout": ["1"] });
    let command = send_with(&client, json!({ "Parameters": parameters }));
    assert_eq!(ended(&simulator, &client, &command)["StandardOutputContent"], "still here\n");
}

#[test]
fn cancel_of_a_finished_command_does_nothing() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, "setsid sleep 600 </dev/null >/dev/null 2>&1 &");
    ended(&simulator, &client, &command);
    cancel(&client, &command);
    assert_eq!(invocation(&client, &command)["Status"], "Success");
    eventually("the detached child lives", || command_lines(&simulator) == ["sleep 600"]);
}

#[test]
fn cancel_reaches_an_instance_only_when_it_is_online_again() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, STUBBORN);
    wait_until_ready(&simulator);
    simulator.edit(|world| world.ping(HOST, PingStatus::ConnectionLost));
    cancel(&client, &command);
    assert_eq!(invocation(&client, &command)["Status"], "Cancelling");
    assert!(command_lines(&simulator).contains(&"sleep 600".to_owned()));

    simulator.edit(|world| world.ping(HOST, PingStatus::Online));
    assert_eq!(ended(&simulator, &client, &command)["Status"], "Cancelled");
}

#[test]
fn the_result_of_a_command_waits_until_its_instance_is_online() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let command =
        send(&client, "mkfifo /run/httpfault/go; touch /run/httpfault/ready; read line < /run/httpfault/go");
    wait_until_ready(&simulator);
    simulator.edit(|world| world.ping(HOST, PingStatus::ConnectionLost));
    std::fs::write(simulator.host_directory(HOST).join("root/run/httpfault/go"), "\n").unwrap();
    eventually("the script has ended", || simulator.processes(HOST).is_empty());
    assert_eq!(invocation(&client, &command)["Status"], "InProgress");
    simulator.edit(|world| world.ping(HOST, PingStatus::Online));
    assert_eq!(ended(&simulator, &client, &command)["Status"], "Success");
}

#[test]
fn exit_194_reboots_the_host_and_runs_the_script_again() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let bystander = send(&client, "setsid sleep 600 </dev/null >/dev/null 2>&1 &");
    ended(&simulator, &client, &bystander);
    let script = "ls /run/httpfault; touch /run/httpfault/volatile; echo run >> /var/lib/httpfault/runs
        [ $(wc -l < /var/lib/httpfault/runs) -lt 3 ] && exit 194
        echo done";
    let command = send(&client, script);
    let invocation = ended(&simulator, &client, &command);
    assert_eq!(invocation["Status"], "Success", "{invocation}");
    assert_eq!(invocation["StandardOutputContent"], "done\n", "of the last run, which found /run empty");
    let runs = simulator.host_directory(HOST).join("root/var/lib/httpfault/runs");
    assert_eq!(std::fs::read_to_string(runs).unwrap().lines().count(), 3);
    assert!(simulator.processes(HOST).is_empty(), "nothing survives a reboot");
}

#[test]
fn a_crash_of_the_host_loses_its_scripts() {
    let timing = Timing { lost_worker: Duration::from_millis(100), ..Timing::default() };
    let simulator = Simulator::builder(one_host()).timing(timing).start().unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, STUBBORN);
    wait_until_ready(&simulator);
    simulator.reboot(HOST);
    let invocation: Value = ended(&simulator, &client, &command);
    assert_eq!((&invocation["Status"], &invocation["ResponseCode"]), (&json!("Failed"), &json!(1)));
    assert_eq!(invocation["StandardOutputContent"], "", "what it wrote is lost with it");
    assert!(simulator.processes(HOST).is_empty());
    assert!(!simulator.host_directory(HOST).join("root/run/httpfault/ready").exists(), "/run is empty again");
}

#[test]
fn some_of_the_instances_can_be_cancelled() {
    let other = "i-00000000000000001";
    let world = one_host().managed(httpfault_simulator::ManagedInstance::amazon_linux(other));
    let simulator = Simulator::start(world).unwrap();
    let client = Client::new(&simulator);
    let command = send_with(
        &client,
        json!({ "InstanceIds": [HOST, other], "Parameters": { "commands": ["sleep 600"] } }),
    );
    let running = simulator.wait_for_commands(PATIENCE, |commands| {
        commands[0].invocations.iter().all(|one| !one.process_groups.is_empty()).then_some(())
    });
    assert!(running.is_some());
    client.ssm("CancelCommand", json!({ "CommandId": command, "InstanceIds": [other] })).unwrap();
    eventually("the other one is cancelled", || {
        simulator.commands()[0].invocations[1].status == httpfault_simulator::Status::Cancelled
    });
    assert_eq!(invocation(&client, &command)["Status"], "InProgress");
}
