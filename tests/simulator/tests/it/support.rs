//! What the tests of the simulator share: an API client of their own, and boto3.

mod client;

use std::process::{Command, Output};
use std::time::Duration;

use httpfault_simulator::python::Python;
use httpfault_simulator::{ManagedInstance, Simulator, World};
use serde_json::{Value, json};

pub(crate) use client::{ApiError, Client};

/// The only host of [`one_host`].
pub(crate) const HOST: &str = "i-00000000000000000";

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A world with one managed Linux host.
pub(crate) fn one_host() -> World {
    World::new().managed(ManagedInstance::amazon_linux(HOST))
}

/// A command that runs one of the scripts in `tests/python` with boto3 against a simulator.
pub(crate) fn python(script: &str, env: Vec<(String, String)>) -> Command {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");
    let mut command = Python::with_packages().unwrap().command();
    command.arg("-B").arg(format!("{scripts}/{script}")).envs(env);
    command
}

/// What it printed; if it fails, the test fails with all that it wrote.
pub(crate) fn stdout_of(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{}\n{}", text(&stdout), text(&stderr));
    text(&stdout)
}

/// Sends a script to [`HOST`] and returns the command's id.
pub(crate) fn send(client: &Client, script: &str) -> String {
    send_with(client, json!({ "Parameters": { "commands": [script] } }))
}

/// The same with other or more members of the request.
pub(crate) fn send_with(client: &Client, members: Value) -> String {
    let mut request = json!({ "DocumentName": "AWS-RunShellScript", "InstanceIds": [HOST] });
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    let answer = client.ssm("SendCommand", request).unwrap();
    answer["Command"]["CommandId"].as_str().unwrap().to_owned()
}

/// GetCommandInvocation for [`HOST`].
pub(crate) fn invocation(client: &Client, command: &str) -> Value {
    client.ssm("GetCommandInvocation", json!({ "CommandId": command, "InstanceId": HOST })).unwrap()
}

/// The invocation when nothing will change any more.
pub(crate) fn ended(simulator: &Simulator, client: &Client, command: &str) -> Value {
    let end = simulator.wait_for_commands(PATIENCE, |commands| {
        let command = commands.iter().find(|one| one.id == command)?;
        command.status.is_final().then_some(())
    });
    assert!(end.is_some(), "the command does not end: {:#?}", simulator.commands());
    invocation(client, command)
}

/// Polls until a condition holds; panics with `what` after [`PATIENCE`].
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never came true: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
