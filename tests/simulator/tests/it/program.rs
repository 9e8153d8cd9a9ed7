//! The program `aws-simulator`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use httpfault_simulator::World;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{eventually, python, stdout_of};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_aws-simulator"))
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn it_serves_a_world_file_reads_it_again_and_ends() {
    let mut file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    file.write_all(json!(World::fleet(1, 1)).to_string().as_bytes()).unwrap();
    let mut child = program().arg("--world").arg(file.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let env: Vec<(String, String)> = lines
        .take(8)
        .map(|line| {
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('\'').to_owned())
        })
        .collect();
    let arn = stdout_of(&mut python("whoami.py", env.clone()));
    assert_eq!(arn.trim(), "arn:aws:iam::123456789012:user/administrator");

    let other_account = World { account: "210987654321".to_owned(), ..World::new() };
    std::fs::write(file.path(), json!(other_account).to_string()).unwrap();
    signal(&child, Signal::SIGHUP);
    eventually("the new world is served", || {
        stdout_of(&mut python("account.py", env.clone())).trim() == "210987654321"
    });
    signal(&child, Signal::SIGTERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_world_file_that_is_none_is_named_in_the_error() {
    let output = program().args(["--world", "/no/such/world.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("/no/such/world.toml") && message.contains("No such file"), "{message}");
}
