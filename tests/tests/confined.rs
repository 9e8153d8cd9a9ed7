//! What the kernel says of the process that reads clients' bytes.

use std::fs;

use anyhow::{Context, Result};
use httpfault_tests::{agent::experiment, site::Site};

/// Lines of /proc/PID/status that each of its threads has.
const NOTHING: [&str; 8] = [
    "Uid:\t65534\t65534\t65534\t65534",
    "Gid:\t65534\t65534\t65534\t65534",
    "CapInh:\t0000000000000000",
    "CapPrm:\t0000000000000000",
    "CapEff:\t0000000000000000",
    "CapBnd:\t0000000000000000",
    "NoNewPrivs:\t1",
    "Seccomp:\t2",
];

#[test]
fn no_thread_of_the_responder_may_do_anything() -> Result<()> {
    let site = Site::take("confined")?;
    let id = experiment("confined");
    // Both ways of serving: some requests are answered, some are the application's.
    let agent = site.inject(&id, &["--percent", "50"])?;
    for to in site.addresses().iter().cycle().take(40) {
        let response = site.get(*to, "/")?;
        assert!(response.is_real() || response.injected_by() == Some(&*id), "{response:?}");
    }
    let responder = agent.responder()?;
    let threads = fs::read_dir(format!("/proc/{responder}/task")).context("listing its threads")?;
    let mut names = Vec::new();
    for thread in threads {
        let status =
            fs::read_to_string(thread?.path().join("status")).context("reading a thread's status")?;
        for line in NOTHING {
            assert!(status.lines().any(|known| known == line), "no {line:?} in {status}");
        }
        names.extend(status.lines().next().map(str::to_owned));
    }
    // The process itself, one in the namespace, and at least one that serves.
    assert!(names.len() >= 3, "{names:?}");
    agent.terminate()?;
    Ok(())
}

#[test]
fn the_responder_holds_nothing_of_the_kernel_programs() -> Result<()> {
    let site = Site::take("confined")?;
    let agent = site.inject(&experiment("confined"), &[])?;
    let responder = agent.responder()?;
    let mut held = Vec::new();
    for descriptor in fs::read_dir(format!("/proc/{responder}/fd")).context("listing its descriptors")? {
        held.push(fs::read_link(descriptor?.path())?.to_string_lossy().into_owned());
    }
    let own = |target: &String| {
        ["socket:", "pipe:", "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "/dev/null"]
            .iter()
            .any(|kind| target.starts_with(kind))
    };
    assert!(held.iter().all(own), "{held:?}");
    // A pipe is standard error.
    assert!(held.iter().filter(|target| target.starts_with("pipe:")).count() <= 1, "{held:?}");
    agent.terminate()?;
    Ok(())
}
