//! How the agent gets to hosts that lack it, have it, or have a damaged one.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use httpfault_simulator::World;

use crate::support::{STUB, Site, finish, host, sha256, start};

/// A stand-in agent that does not fit in one piece: the ballast can't be compressed.
fn large_agent() -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let ballast: String = (0..240_000).map(|_| random.alphanumeric()).collect();
    format!("{STUB}\nexit\n# {ballast}\n")
}

fn installed(site: &Site) -> std::path::PathBuf {
    let sum = sha256(&site.agent_path("x86_64"));
    site.on_host(&host(0), &format!("/var/lib/httpfault/agents/{sum}/httpfault-agent"))
}

#[test]
fn an_empty_host_gets_it_in_pieces_and_a_current_one_gets_nothing() {
    let site = Site::harsh(World::fleet(2, 1));
    site.agent(&large_agent());
    finish(&mut site.on_service("run")).exits(0);
    let pieces = site.commands("piece");
    assert!(pieces.len() >= 4, "{} pieces", pieces.len());
    assert!(pieces.iter().all(|piece| piece.invocations.len() == 2 && piece.script.len() < 62_000));
    let path = installed(&site);
    assert_eq!(sha256(&path), sha256(&site.agent_path("x86_64")));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);

    finish(&mut site.on_service("run")).exits(0);
    assert_eq!(site.commands("piece").len(), pieces.len(), "sent again");
    assert_eq!(site.commands("install").len(), 1);
}

#[test]
fn pieces_that_are_there_are_not_sent_again() {
    let site = Site::harsh(World::fleet(1, 1));
    site.agent(&large_agent());
    // The agent's last step is refused: the pieces stay.
    site.simulator.faults(|faults| faults.lose_next_commands(0));
    finish(&mut site.on_service("run")).exits(0);
    let pieces = site.commands("piece").len();
    let sum = sha256(&site.agent_path("x86_64"));
    // As if the controller had died before the last step, with two pieces missing.
    let incoming = site.on_host(&host(0), &format!("/var/lib/httpfault/incoming/{sum}"));
    fs::remove_file(installed(&site)).unwrap();
    fs::create_dir_all(&incoming).unwrap();
    for command in site.commands("piece").iter().skip(2) {
        let script = &command.script;
        let name = script.split("!= '").nth(1).unwrap().split('\'').next().unwrap();
        let data = script.split("printf %s '").nth(1).unwrap().split('\'').next().unwrap();
        let path = incoming.join(name);
        let mut decode = std::process::Command::new("base64");
        let mut child = decode
            .arg("-d")
            .stdin(std::process::Stdio::piped())
            .stdout(fs::File::create(&path).unwrap())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(data.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    finish(&mut site.on_service("run")).exits(0);
    assert_eq!(site.commands("piece").len(), pieces + 2, "more than the two missing pieces were sent");
}

#[test]
fn a_damaged_agent_or_piece_is_replaced() {
    let site = Site::harsh(World::fleet(1, 1));
    site.agent(&large_agent());
    finish(&mut site.on_service("run")).exits(0);
    fs::write(installed(&site), "#!/bin/sh\necho damaged\n").unwrap();
    finish(&mut site.on_service("run")).exits(0);
    assert_eq!(sha256(&installed(&site)), sha256(&site.agent_path("x86_64")));

    // A piece that rotted on the disk: the whole is wrong, and everything is fetched again.
    fs::remove_file(installed(&site)).unwrap();
    let sum = sha256(&site.agent_path("x86_64"));
    let incoming = site.on_host(&host(0), &format!("/var/lib/httpfault/incoming/{sum}"));
    fs::create_dir_all(&incoming).unwrap();
    let script = &site.commands("piece")[0].script;
    let name = script.split("!= '").nth(1).unwrap().split('\'').next().unwrap();
    fs::write(incoming.join(name), "rot").unwrap();
    finish(&mut site.on_service("run")).exits(0);
    assert_eq!(sha256(&installed(&site)), sum);
}

#[test]
fn an_outdated_agent_stays_until_it_is_old_and_unused() {
    let site = Site::harsh(World::fleet(1, 1));
    finish(&mut site.on_service("run")).exits(0);
    let old = installed(&site);
    site.agent(&format!("{STUB}\n# second version\n"));
    finish(&mut site.on_service("run")).exits(0);
    assert!(old.exists(), "a version that was used today was removed");
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 86_400);
    fs::File::open(old.parent().unwrap()).unwrap().set_modified(yesterday).unwrap();
    site.agent(&format!("{STUB}\n# third version\n"));
    finish(&mut site.on_service("run")).exits(0);
    assert!(!old.exists() && installed(&site).exists());
}

#[test]
fn two_controllers_at_once_both_succeed() {
    let site = Site::harsh(World::fleet(1, 2));
    site.agent(&large_agent());
    let tasks: Vec<String> =
        site.simulator.world().clusters[0].tasks.iter().map(|task| task.id.clone()).collect();
    let run =
        |task: &String| start(site.ctl("run").env("TASK_REPLICA_ID", task).env("TOTAL_CHAOS_DURATION", "4"));
    let children: Vec<_> = tasks.iter().map(run).collect();
    for child in children {
        child.ended().exits(0);
    }
    assert_eq!(sha256(&installed(&site)), sha256(&site.agent_path("x86_64")));
}

#[test]
fn without_leave_to_install_it_says_what_is_missing() {
    let site = Site::harsh(World::fleet(1, 1));
    finish(site.on_service("run").env("INSTALL_DEPENDENCIES", "false"))
        .exits(1)
        .says("is missing")
        .says("INSTALL_DEPENDENCIES=false does not bring it");
    finish(site.on_service("run").env("AGENT_DELIVERY", "preinstalled"))
        .exits(1)
        .says("AGENT_DELIVERY=preinstalled does not bring it");
    assert!(site.commands("piece").is_empty() && site.commands("inject").is_empty());

    let path = installed(&site);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(site.agent_path("x86_64"), &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    finish(site.on_service("run").env("AGENT_DELIVERY", "preinstalled").env("INSTALL_DEPENDENCIES", "false"))
        .exits(0);
}

/// Serves one file to everybody who asks.
fn serve(file: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _request = stream.read(&mut request);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", file.len());
            let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&file));
        }
    });
    format!("http://{address}/agent-{{arch}}?a='$(touch${{IFS}}/tmp/never)'&b=1")
}

#[test]
fn hosts_download_it_from_a_url() {
    let site = Site::harsh(World::fleet(1, 1));
    let url = serve(fs::read(site.agent_path("x86_64")).unwrap());
    finish(site.on_service("run").env("AGENT_DELIVERY", "url").env("AGENT_URL", url)).exits(0);
    assert!(site.commands("piece").is_empty() && installed(&site).exists());

    let other = Site::harsh(World::fleet(1, 1));
    let url = serve(b"something else".to_vec());
    finish(other.on_service("run").env("AGENT_DELIVERY", "url").env("AGENT_URL", url))
        .exits(1)
        .says("the download has SHA-256");
    assert!(!installed(&other).exists());
}

#[test]
fn pieces_that_are_too_large_for_a_document_are_halved() {
    let site = Site::harsh(World::fleet(2, 1));
    site.agent(&large_agent());
    site.simulator.faults(|faults| faults.document_limit(40_000));
    finish(&mut site.on_service("run")).exits(0);
    assert_eq!(sha256(&installed(&site)), sha256(&site.agent_path("x86_64")));
    assert!(site.commands("piece").iter().all(|piece| piece.script.len() < 40_000));
    // A size that nothing fits in is an error and no loop.
    let site = Site::harsh(World::fleet(1, 1));
    site.agent(&large_agent());
    site.simulator.faults(|faults| faults.document_limit(5_000));
    finish(&mut site.on_service("run")).exits(1).says("MaxDocumentSizeExceeded");
}
