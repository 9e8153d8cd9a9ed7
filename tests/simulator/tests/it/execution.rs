//! How a script is run, and what is shown of it. AWS.md sections A1, A2, A3 and A6 in test form.

use httpfault_simulator::{ManagedInstance, Simulator};
use serde_json::{Value, json};

use crate::support::{Client, HOST, ended, eventually, invocation, one_host, send, send_with};

/// Runs a script and returns its invocation.
fn run(script: &str) -> Value {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, script);
    ended(&simulator, &client, &command)
}

fn stdout(invocation: &Value) -> &str {
    invocation["StandardOutputContent"].as_str().unwrap()
}

#[test]
fn a_script_runs_in_the_surroundings_that_the_agent_gives_it() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let look = [
        "id -u; umask; pwd; stat -c '%a %U' $0; readlink /proc/self/fd/0",
        "ps -o sid= -p $$ | tr -d ' '; ps -o pgid= -p $$ | tr -d ' '",
        "echo \"$SSM_COMMAND_ID $AWS_SSM_INSTANCE_ID $AWS_SSM_REGION_NAME home=$HOME aws=$AWS_ACCESS_KEY_ID\"",
        "basename $0; cat $0 | wc -l",
    ];
    let command = send_with(&client, json!({ "Parameters": { "commands": look } }));
    let invocation = ended(&simulator, &client, &command);
    let lines: Vec<&str> = stdout(&invocation).lines().collect();
    assert_eq!(lines[..5], ["0", "0022", "/usr/bin", "700 root", "/dev/null"]);

    let own_session = nix::unistd::getsid(None).unwrap().to_string();
    assert_eq!(lines[5], own_session, "the agent's session");
    let group = simulator.commands()[0].invocations[0].process_groups[0].to_string();
    assert_eq!(lines[6], group, "a process group of its own");
    assert_eq!(lines[7], format!("{command} {HOST} eu-central-1 home= aws="));
    assert_eq!(lines[8..], ["_script.sh", "4"]);
}

#[test]
fn a_shebang_in_the_first_line_is_honoured() {
    assert_eq!(stdout(&run("#!/bin/bash\necho ${BASH_VERSION:+bash}")), "bash\n");
    assert_eq!(stdout(&run("echo ${BASH_VERSION:-sh}")), "sh\n");
}

#[test]
fn the_working_directory_is_the_given_one_if_absolute() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let pwd = |directory: &str| {
        let parameters = json!({ "commands": ["pwd"], "workingDirectory": [directory] });
        let command = send_with(&client, json!({ "Parameters": parameters }));
        ended(&simulator, &client, &command)
    };
    assert_eq!(stdout(&pwd("/var/tmp")), "/var/tmp\n");
    assert_eq!(stdout(&pwd("somewhere")), "/usr/bin\n");
    assert_eq!(pwd("/does/not/exist")["Status"], "Failed");
}

#[test]
fn exit_codes_become_statuses() {
    let outcome = |script: &str| {
        let invocation = run(script);
        let text = |name: &str| invocation[name].as_str().unwrap().to_owned();
        (text("Status"), invocation["ResponseCode"].as_i64().unwrap(), text("StandardErrorContent"))
    };
    let expect = |script, status: &str, code, stderr: &str| {
        assert_eq!(outcome(script), (status.to_owned(), code, stderr.to_owned()), "{script}");
    };
    expect("echo e >&2", "Success", 0, "e\n");
    expect("false; true", "Success", 0, "");
    expect("echo e >&2; exit 168", "Success", 168, "");
    expect("exit 169", "Failed", 169, "failed to run commands: exit status 169");
    expect("echo e >&2; exit 3", "Failed", 3, "e\n\nfailed to run commands: exit status 3");
    expect("exit 143", "Failed", 143, "failed to run commands: exit status 143");
    expect("exit 137", "TimedOut", 137, "");
    // Killed from outside: the wrapping shell reports 137, which reads as a timeout. Killed itself, Go reports -1.
    expect("kill -9 $$", "TimedOut", 137, "Killed\n");
    expect("kill -9 $PPID", "Failed", -1, "failed to run commands: signal: killed");
    expect("/no/such/program 2>/dev/null", "Failed", 127, "failed to run commands: exit status 127");
}

#[test]
fn output_is_shown_only_after_the_end() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let command =
        send(&client, "mkfifo /run/httpfault/go; echo early; read line < /run/httpfault/go; echo late");
    let plugin = "ssm/document/orchestration/COMMAND/awsrunShellScript/0.awsrunShellScript/stdout";
    let file = simulator.host_directory(HOST).join(plugin.replace("COMMAND", &command));
    eventually("the script has written", || std::fs::read(&file).is_ok_and(|text| text == b"early\n"));

    let running = invocation(&client, &command);
    assert_eq!((running["Status"].as_str(), stdout(&running)), (Some("InProgress"), ""));
    assert_eq!(running["ResponseCode"], -1);
    let release = send(&client, "echo > /run/httpfault/go");
    assert_eq!(ended(&simulator, &client, &release)["Status"], "Success");
    assert_eq!(stdout(&ended(&simulator, &client, &command)), "early\nlate\n");
}

#[test]
fn long_output_is_cut_as_each_api_cuts_it() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let script = "head -c 100000 /dev/zero | tr '\\0' o; head -c 100000 /dev/zero | tr '\\0' e >&2";
    let command = send(&client, script);
    let invocation = ended(&simulator, &client, &command);
    assert_eq!(stdout(&invocation).len(), 24_000);
    assert!(stdout(&invocation).ends_with("oo--output truncated--"));
    assert_eq!(invocation["StandardErrorContent"].as_str().unwrap(), "e".repeat(8_000));

    let list =
        client.ssm("ListCommandInvocations", json!({ "CommandId": command, "Details": true })).unwrap();
    let output = list["CommandInvocations"][0]["CommandPlugins"][0]["Output"].as_str().unwrap();
    assert!(output.len() <= 2_500 && output.starts_with("oo") && output.contains("\n---Output truncated---"));
    assert!(output.contains("----------ERROR-------") && output.ends_with("\n---Error truncated----"));
}

#[test]
fn a_child_that_holds_standard_output_keeps_the_command_in_progress() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let marker = "/run/httpfault/end";
    let command = send(&client, &format!("mkfifo {marker}; (read x < {marker}; echo child) & echo parent"));
    eventually("only the child is left", || {
        let groups = simulator.commands()[0].invocations[0].process_groups.clone();
        !groups.is_empty()
            && !simulator.processes(HOST).contains(&(groups[0] as i32))
            && simulator.processes(HOST).len() == 1
    });
    assert_eq!(invocation(&client, &command)["Status"], "InProgress");
    send(&client, &format!("echo > {marker}"));
    let invocation = ended(&simulator, &client, &command);
    assert_eq!((invocation["Status"].as_str(), stdout(&invocation)), (Some("Success"), "parent\nchild\n"));
}

#[test]
fn a_child_that_lets_go_of_everything_does_not_hold_the_command() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, "setsid sleep 600 </dev/null >/dev/null 2>&1 & echo started");
    let invocation = ended(&simulator, &client, &command);
    assert_eq!((invocation["Status"].as_str(), stdout(&invocation)), (Some("Success"), "started\n"));
    eventually("the child is a sleep", || simulator.processes(HOST).len() == 1);
}

#[test]
fn variables_of_the_host_reach_its_scripts() {
    let world =
        httpfault_simulator::World::new().managed(ManagedInstance::amazon_linux(HOST).env("COLOUR", "green"));
    let simulator = Simulator::start(world).unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, "echo $COLOUR");
    assert_eq!(stdout(&ended(&simulator, &client, &command)), "green\n");
}
