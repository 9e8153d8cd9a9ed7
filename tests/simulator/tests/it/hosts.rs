//! Simulated hosts do not see each other, and nothing is left of them.

use std::path::Path;
use std::process::{Command, Stdio};

use httpfault_simulator::{ManagedInstance, Simulator};
use serde_json::json;

use crate::support::{Client, HOST, PATIENCE, ended, eventually, one_host, send, send_with};

const OTHER: &str = "i-00000000000000001";

#[test]
fn each_host_has_its_own_state_directories() {
    let private = tempfile::tempdir().unwrap();
    let path = private.path().to_str().unwrap();
    let host = |id| ManagedInstance::amazon_linux(id).private_dir(path);
    let world = httpfault_simulator::World::new().managed(host(HOST)).managed(host(OTHER));
    let simulator = Simulator::start(world).unwrap();
    let client = Client::new(&simulator);
    let script = format!(
        "for d in /run/httpfault /var/lib/httpfault {path}; do ls $d; echo $AWS_SSM_INSTANCE_ID > $d/$AWS_SSM_INSTANCE_ID; done; ls {path}"
    );
    for id in [HOST, OTHER] {
        let command =
            send_with(&client, json!({ "InstanceIds": [id], "Parameters": { "commands": [script] } }));
        let done = simulator.wait_for_commands(PATIENCE, |commands| {
            let one = commands.iter().find(|one| one.id == command)?;
            one.status.is_final().then(|| one.invocations[0].stdout.clone())
        });
        assert_eq!(done.unwrap(), format!("{id}\n"), "empty at first, and then only its own");
        let kept = simulator.host_directory(id).join("root/var/lib/httpfault").join(id);
        assert!(kept.exists(), "visible to the test at {}", kept.display());
    }
    assert!(!Path::new("/run/httpfault").join(HOST).exists(), "not visible on the machine");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);

    let again = send(&client, "cat /run/httpfault/$AWS_SSM_INSTANCE_ID");
    assert_eq!(
        ended(&simulator, &client, &again)["StandardOutputContent"],
        format!("{HOST}\n"),
        "kept between commands"
    );
}

#[test]
fn a_host_can_have_its_own_network() {
    // The namespace lives as long as this process, which ends when its standard input is closed.
    let mut holder = Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    eventually("it has unshared", || std::fs::read_link(&path).is_ok_and(|link| link != own));
    let network = std::fs::read_link(&path).unwrap();

    let host = ManagedInstance::amazon_linux(HOST).network_namespace(&path);
    let simulator = Simulator::start(httpfault_simulator::World::new().managed(host)).unwrap();
    let client = Client::new(&simulator);
    let command = send(&client, "readlink /proc/self/ns/net");
    let seen = ended(&simulator, &client, &command);
    assert_eq!(seen["StandardOutputContent"], format!("{}\n", network.display()));
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn dropping_the_simulator_ends_everything_that_its_hosts_run() {
    let simulator = Simulator::start(one_host()).unwrap();
    let client = Client::new(&simulator);
    let script =
        "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 & sleep 600";
    send(&client, script);
    eventually("script, child, grandchild", || simulator.processes(HOST).len() >= 3);
    let processes = simulator.processes(HOST);
    let directory = simulator.host_directory(HOST);
    drop(simulator);
    for process in processes {
        let gone = match std::fs::read_to_string(format!("/proc/{process}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        assert!(gone, "{process} still lives");
    }
    assert!(!directory.exists());
}
