//! What a test can make go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use httpfault_simulator::{AfterCall, Execution, Finished, Outcome, PingStatus, Simulator, Timing};
use serde_json::{Value, json};

use crate::support::{ApiError, Client, HOST, PATIENCE, ended, eventually, invocation, one_host, send};

/// With a stub that counts, and delivery timeouts of milliseconds.
fn simulator() -> (Simulator, Client, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let stub = Execution::stub(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Finished::ok("done") }
    });
    // 30 s of TimeoutSeconds and 5 s of executionTimeout pass in 350 ms.
    let timing = Timing { delivery_second: Duration::from_millis(10), ..Timing::default() };
    let simulator = Simulator::builder(one_host()).execution(stub).timing(timing).start().unwrap();
    let client = Client::new(&simulator);
    (simulator, client, runs)
}

fn list(client: &Client) -> Result<Value, ApiError> {
    client.ssm("ListCommands", json!({}))
}

fn send_soon_due(client: &Client) -> String {
    let parameters = json!({ "commands": ["true"], "executionTimeout": ["5"] });
    crate::support::send_with(client, json!({ "Parameters": parameters, "TimeoutSeconds": 30 }))
}

fn state(invocation: &Value) -> (&str, &str) {
    (invocation["Status"].as_str().unwrap(), invocation["StatusDetails"].as_str().unwrap())
}

#[test]
fn throttling_is_a_token_bucket_per_action() {
    let (simulator, client, _) = simulator();
    simulator.faults(|faults| faults.throttle("ListCommands", 20.0, 3));
    let results: Vec<bool> = (0..4).map(|_| list(&client).is_ok()).collect();
    assert_eq!(results[..3], [true; 3]);
    let error = (0..100).find_map(|_| list(&client).err()).unwrap();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("ThrottlingException", "Rate exceeded"));
    eventually("the bucket fills", || list(&client).is_ok());
    assert!(client.ssm("DescribeInstanceInformation", json!({})).is_ok(), "another action, another bucket");
    assert!(
        simulator
            .calls_of("ListCommands")
            .iter()
            .any(|call| call.error_code() == Some("ThrottlingException"))
    );
    simulator.faults(|faults| faults.unthrottle("ListCommands"));
    assert!((0..20).all(|_| list(&client).is_ok()));
}

#[test]
fn a_denied_action_is_refused_in_the_words_of_aws() {
    let (simulator, client, _) = simulator();
    simulator.faults(|faults| faults.deny("SendCommand"));
    let request = json!({
        "DocumentName": "AWS-RunShellScript", "InstanceIds": [HOST], "Parameters": { "commands": ["true"] },
    });
    let error = client.ssm("SendCommand", request.clone()).unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    let expected = format!(
        "User: arn:aws:iam::123456789012:user/administrator is not authorized to perform: ssm:SendCommand on resource: \
         arn:aws:ec2:eu-central-1:123456789012:instance/{HOST} because no identity-based policy allows the \
         ssm:SendCommand action"
    );
    assert_eq!(error.message, expected);
    simulator.faults(|faults| faults.allow("SendCommand"));
    client.ssm("SendCommand", request).unwrap();
}

#[test]
fn an_offline_instance_leaves_its_commands_pending_until_they_are_due() {
    let (simulator, client, runs) = simulator();
    simulator.edit(|world| world.ping(HOST, PingStatus::ConnectionLost));
    let command = send_soon_due(&client);
    assert_eq!(state(&invocation(&client, &command)), ("Pending", "Pending"));
    let end = ended(&simulator, &client, &command);
    assert_eq!(state(&end), ("TimedOut", "Delivery Timed Out"));
    assert_eq!((end["ResponseCode"].as_i64(), runs.load(Ordering::SeqCst)), (Some(-1), 0));

    let waiting = send(&client, "true");
    simulator.edit(|world| world.ping(HOST, PingStatus::Online));
    assert_eq!(state(&ended(&simulator, &client, &waiting)), ("Success", "Success"));
}

#[test]
fn a_pending_command_is_cancelled_at_once() {
    let (simulator, client, runs) = simulator();
    simulator.faults(|faults| faults.lose_commands_to(HOST));
    let command = send(&client, "true");
    client.ssm("CancelCommand", json!({ "CommandId": command })).unwrap();
    assert_eq!(state(&invocation(&client, &command)), ("Cancelled", "Cancelled"));
    simulator.faults(|faults| faults.deliver_to(HOST));
    let next = send(&client, "true");
    ended(&simulator, &client, &next);
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the cancelled one never ran");
}

#[test]
fn commands_can_be_lost_doubled_and_undeliverable() {
    let (simulator, client, runs) = simulator();
    simulator.faults(|faults| faults.lose_next_commands(1));
    let (lost, delivered) = (send_soon_due(&client), send(&client, "true"));
    assert_eq!(state(&ended(&simulator, &client, &delivered)), ("Success", "Success"));
    assert_eq!(state(&ended(&simulator, &client, &lost)), ("TimedOut", "Delivery Timed Out"));
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    simulator.faults(|faults| faults.run_next_commands_twice(1));
    let doubled = send(&client, "true");
    assert_eq!(state(&ended(&simulator, &client, &doubled)), ("Success", "Success"));
    eventually("it ran twice", || runs.load(Ordering::SeqCst) == 3);

    simulator.faults(|faults| faults.undeliverable(HOST));
    let command = send(&client, "true");
    assert_eq!(state(&ended(&simulator, &client, &command)), ("Failed", "Undeliverable"));
}

#[test]
fn a_doubled_script_runs_in_two_shells() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    simulator.faults(|faults| faults.run_next_commands_twice(1));
    let command = send(&client, "echo run >> /var/lib/httpfault/runs");
    ended(&simulator, &client, &command);
    let runs = simulator.host_directory(HOST).join("root/var/lib/httpfault/runs");
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\nrun\n");
    assert_eq!(simulator.commands()[0].invocations[0].process_groups.len(), 2);
}

#[test]
fn answers_get_lost_after_the_work_was_done() {
    let (simulator, client, runs) = simulator();
    let request = json!({
        "DocumentName": "AWS-RunShellScript", "InstanceIds": [HOST], "Parameters": { "commands": ["true"] },
    });
    let send = |client: &Client| client.ssm("SendCommand", request.clone());
    simulator.faults(|faults| {
        faults.after_next("SendCommand", AfterCall::InternalServerError);
        faults.after_next("SendCommand", AfterCall::DropConnection);
        faults.after_next("SendCommand", AfterCall::AnswerLate(Duration::from_secs(60)));
    });
    assert_eq!(send(&client).unwrap_err().code, "InternalServerError");
    assert_eq!(send(&client).unwrap_err().code, "", "no answer at all");
    let hasty = Client::new(&simulator).with_timeout(Duration::from_millis(200));
    assert_eq!(send(&hasty).unwrap_err().code, "", "too late");
    eventually("all three ran", || runs.load(Ordering::SeqCst) == 3);
    let outcomes: Vec<Option<Outcome>> =
        simulator.calls_of("SendCommand").into_iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes[1], Some(Outcome::Dropped));

    simulator.faults(|faults| faults.fail_next("SendCommand", 1));
    assert_eq!(send(&client).unwrap_err().code, "InternalServerError");
    assert!(send(&client).is_ok());
    assert_eq!(simulator.commands().len(), 4, "a failed call is not carried out");
}

#[test]
fn latency_delays_one_action() {
    let (simulator, client, _) = simulator();
    simulator.faults(|faults| faults.delay("ListCommands", Duration::from_millis(300)));
    let started = Instant::now();
    list(&client).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    simulator.faults(|faults| faults.clear());
    let started = Instant::now();
    list(&client).unwrap();
    assert!(started.elapsed() < Duration::from_millis(300));
}

#[test]
fn a_command_can_be_invisible_at_first() {
    let timing = Timing { invisible_lookups: 2, ..Timing::default() };
    let stub = Execution::stub(|_| async { Finished::ok("") });
    let simulator = Simulator::builder(one_host()).timing(timing).execution(stub).start().unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, "true");
    let get = || client.ssm("GetCommandInvocation", json!({ "CommandId": command, "InstanceId": HOST }));
    assert_eq!(get().unwrap_err().code, "InvocationDoesNotExist");
    let list = client.ssm("ListCommandInvocations", json!({ "CommandId": command })).unwrap();
    assert_eq!(list["CommandInvocations"], json!([]), "a list is empty, not an error");
    assert!(get().is_ok());
}

#[test]
fn calls_are_recorded_with_what_was_asked_and_answered() {
    let (simulator, client, _) = simulator();
    let before = Instant::now();
    send(&client, "echo recorded");
    let call =
        simulator.wait_for_calls(PATIENCE, |calls| calls.iter().find(|call| call.outcome.is_some()).cloned());
    let call = call.unwrap();
    assert_eq!((call.service, call.iam_action().as_str()), ("ssm", "ssm:SendCommand"));
    assert_eq!(call.principal.as_deref(), Some("arn:aws:iam::123456789012:user/administrator"));
    assert_eq!(call.request["Parameters"]["commands"], json!(["echo recorded"]));
    assert_eq!(call.outcome, Some(Outcome::Success));
    assert!(call.at >= before);
    assert_eq!((simulator.count("SendCommand"), simulator.count("ListTasks")), (1, 0));
    assert_eq!(simulator.commands()[0].script, "echo recorded");
}
