//! The agent as it was seen to be: AWS.md, "The controller through the real SSM agent". Times are scaled.

use std::time::{Duration, Instant};

use httpfault_simulator::{ManagedInstance, Simulator, Status, Timing};
use serde_json::json;

use crate::support::{Client, HOST, PATIENCE, ended, eventually, invocation, one_host, send, send_with};

/// A message every 100 to 125 ms; a dead worker shows after 3 s.
const SCALE: f64 = 0.05;

fn harsh() -> Simulator {
    // Without a delay on the way, messages arrive in the order in which they are sent.
    let timing = Timing { delivery: Duration::ZERO, ..Timing::harsh().scaled(SCALE) };
    Simulator::builder(one_host()).timing(timing).start().unwrap()
}

fn status(simulator: &Simulator, command: &str) -> Status {
    let commands = simulator.commands();
    commands.iter().find(|one| one.id == command).unwrap().invocations[0].status
}

#[test]
fn an_idle_agent_takes_a_message_at_once_and_then_one_after_the_other() {
    let simulator = harsh();
    let client = Client::new(&simulator);
    let begin = Instant::now();
    let sent: Vec<String> = (0..5).map(|_| send(&client, "true")).collect();
    ended(&simulator, &client, &sent[0]);
    for command in &sent {
        ended(&simulator, &client, command);
    }
    assert!(begin.elapsed() >= Duration::from_millis(4 * 100), "five in {:?}", begin.elapsed());
}

#[test]
fn a_full_queue_blocks_everything_behind_it_cancels_too() {
    let simulator = harsh();
    let client = Client::new(&simulator);
    let others = simulator.occupy(HOST, 4).unwrap();
    let running = send(&client, "sleep 600");
    eventually("it runs", || simulator.commands()[0].invocations[0].started);
    let queued: Vec<String> = (0..5).map(|_| send(&client, "true")).collect();
    eventually("five wait", || queued.iter().all(|one| status(&simulator, one) == Status::InProgress));
    // It blocks the message loop, and a cancel that is sent now can't be heard.
    let blocking = send(&client, "true");
    client.ssm("CancelCommand", json!({ "CommandId": running })).unwrap();
    let heard = simulator
        .wait_for_commands(Duration::from_secs(1), |commands| commands[0].status.is_final().then_some(()));
    assert!(heard.is_none(), "the cancel overtook a message");
    assert_eq!(status(&simulator, &blocking), Status::Pending);
    drop(others);
    assert_eq!(ended(&simulator, &client, &blocking)["Status"], "Success");
    assert_eq!(ended(&simulator, &client, &running)["Status"], "Cancelled");
}

#[test]
fn a_command_that_is_cancelled_in_the_queue_never_runs_and_never_answers() {
    let simulator = harsh();
    let client = Client::new(&simulator);
    let others = simulator.occupy(HOST, 5).unwrap();
    let queued = send(&client, "touch /run/httpfault/ran");
    eventually("it waits", || status(&simulator, &queued) == Status::InProgress);
    client.ssm("CancelCommand", json!({ "CommandId": queued })).unwrap();
    // Taken after the cancel, so the cancel has been taken when this one runs.
    let later = send(&client, "true");
    eventually("the later one waits too", || status(&simulator, &later) == Status::InProgress);
    drop(others);
    ended(&simulator, &client, &later);
    assert_eq!(invocation(&client, &queued)["Status"], "Cancelling");
    assert!(!simulator.host_directory(HOST).join("root/run/httpfault/ran").exists());
}

#[test]
fn while_the_agent_is_down_scripts_go_on_and_their_results_wait() {
    let simulator = harsh();
    let client = Client::new(&simulator);
    let running =
        send(&client, "while [ ! -e /run/httpfault/go ]; do sleep 0.05; done; touch /run/httpfault/done");
    eventually("it runs", || !simulator.processes(HOST).is_empty());
    simulator.faults(|faults| faults.stop_agent(HOST));
    let waiting = send(&client, "true");
    std::fs::write(simulator.host_directory(HOST).join("root/run/httpfault/go"), "").unwrap();
    let done = simulator.host_directory(HOST).join("root/run/httpfault/done");
    eventually("the script has ended", || done.exists() && simulator.processes(HOST).is_empty());
    assert_eq!(status(&simulator, &running), Status::InProgress);
    assert_eq!(status(&simulator, &waiting), Status::Pending);
    simulator.faults(|faults| faults.start_agent(HOST));
    assert_eq!(ended(&simulator, &client, &running)["Status"], "Success");
    assert_eq!(ended(&simulator, &client, &waiting)["Status"], "Success");
}

#[test]
fn a_script_outlives_its_document_worker_and_shows_as_failed_in_the_end() {
    let simulator = harsh();
    let client = Client::new(&simulator);
    // Once it has said what it says: with its worker goes whoever reads that.
    let command = send(&client, "echo before; touch /run/httpfault/said; sleep 600");
    let said = simulator.host_directory(HOST).join("root/run/httpfault/said");
    eventually("it runs", || said.exists());
    let begin = Instant::now();
    simulator.kill_document_workers(HOST);
    let end = ended(&simulator, &client, &command);
    assert!(begin.elapsed() >= Duration::from_secs(3), "after {:?}", begin.elapsed());
    assert_eq!((&end["Status"], &end["StandardOutputContent"]), (&json!("Failed"), &json!("")));
    let page =
        client.ssm("ListCommandInvocations", json!({ "CommandId": command, "Details": true })).unwrap();
    let said = page["CommandInvocations"][0]["CommandPlugins"][0]["Output"].as_str().unwrap();
    assert!(said.starts_with("document process failed unexpectedly"), "{said}");
    assert!(!simulator.processes(HOST).is_empty(), "the script was killed with its worker");
}

#[test]
fn a_terminated_instance_shows_as_online_and_fails_the_whole_command() {
    let other = "i-00000000000000001";
    let simulator = Simulator::start(one_host().managed(ManagedInstance::amazon_linux(other))).unwrap();
    let client = Client::new(&simulator);
    let request = json!({ "DocumentName": "AWS-RunShellScript", "InstanceIds": [HOST, other],
        "Parameters": { "commands": ["true"] } });
    simulator.terminate(other);
    let shown = client.ssm("DescribeInstanceInformation", json!({ "MaxResults": 50 })).unwrap();
    assert_eq!(shown["InstanceInformationList"][1]["PingStatus"], "Online");
    let named = client.ssm("SendCommand", request.clone()).unwrap_err();
    assert_eq!(named.code, "InvalidInstanceId");
    assert!(named.message.contains(other) && !named.message.contains(HOST), "{}", named.message);
    simulator.faults(|faults| faults.name_no_instance());
    let unnamed = client.ssm("SendCommand", request).unwrap_err();
    assert!(!unnamed.message.contains(other), "{}", unnamed.message);
}

#[test]
fn only_the_command_itself_says_that_the_rate_was_exceeded() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    simulator.faults(|faults| faults.exceed_rate_of_next_commands(1));
    let command = send_with(&client, json!({ "Parameters": { "commands": ["true"] } }));
    let page = client.ssm("ListCommandInvocations", json!({ "CommandId": command })).unwrap();
    assert_eq!(page["CommandInvocations"], json!([]));
    let page = client.ssm("ListCommands", json!({ "CommandId": command })).unwrap();
    assert_eq!(page["Commands"][0]["StatusDetails"], "Rate Exceeded");
    assert!(
        simulator
            .wait_for_commands(PATIENCE, |commands| commands[0].status.is_final().then_some(()))
            .is_some()
    );
}
