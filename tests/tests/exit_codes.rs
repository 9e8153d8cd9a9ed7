//! Each exit code, by running the binary.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use httpfault_common::contract::{Exit, Outcome, RemovedReason, TargetReport};
use httpfault_tests::{
    agent::{self, Agent, Ended, agent, experiment},
    clean::Traces,
    command::{Said, output, said},
    docker::{Instance, Plan},
    site::{COUNT_PORT, PORT, Site, TARGET_V4},
};
use nix::sys::signal::Signal;

/// The agent with these arguments, run to its end.
fn run(args: &[&str]) -> Result<Said> {
    said(&mut agent(args)?)
}

#[test]
fn done_0() -> Result<()> {
    let site = Site::take("done")?;
    let agent = site.inject(&experiment("done"), &["--duration", "1"])?;
    assert_eq!(site.get(site.v4(), "/")?.status, 503);
    let ended = agent.ended()?;
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.exit, removed.reason), (0, Exit::Done, RemovedReason::Deadline));
    assert!(removed.left_behind.is_empty());
    let output: usize = ended.lines.iter().map(|line| line.len() + 1).sum();
    assert!(output < 4096, "all output of a run stays under 4 KB, it has {output} bytes");
    Ok(())
}

#[test]
fn nouns_and_repeated_verbs_0() -> Result<()> {
    for args in
        [&["status"][..], &["status", "--output", "json"], &["--version"], &["--help"], &["run", "--help"]]
    {
        assert_eq!(run(args)?.status.code(), Some(0), "{args:?}");
    }
    // Removing what is absent is done.
    let (code, report) = agent::remove(&["--experiment-id", "never-was"])?;
    assert_eq!((code, report.exit, report.removed.len()), (Some(0), Exit::Done, 0), "{report:?}");
    Ok(())
}

#[test]
fn refused_1() -> Result<()> {
    let site = Site::take("refused")?;
    let pid = site.pid().to_string();
    let said = run(&["run", "--output", "json", "--pid", &pid, "--port", "4242"])?;
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let text = run(&["run", "--output", "text", "--pid", &pid, "--port", "4242"])?;
    assert_eq!(text.status.code(), Some(1));
    assert!(text.stderr.contains("4242") || text.stdout.contains("4242"), "{text:?}");
    Ok(())
}

/// Asserts a run that faulted nothing: exit code 2, and a cause that has `word`.
fn assert_no_traffic(ended: &Ended, word: &str) -> Result<TargetReport> {
    let report = ended.target()?;
    assert_eq!((ended.code()?, ended.removed()?.exit), (2, Exit::Partly), "{ended:?}");
    assert_eq!((report.outcome, report.counters.faulted), (Outcome::NoTraffic, 0), "{report:?}");
    let causes = report.causes.join("\n").to_lowercase();
    assert!(causes.contains(word), "no cause speaks of {word:?}: {causes}");
    Ok(report)
}

#[test]
fn no_traffic_at_all_2() -> Result<()> {
    let site = Site::take("nothing")?;
    let ended = site.inject(&experiment("nothing"), &["--duration", "1"])?.ended()?;
    let report = assert_no_traffic(&ended, "no client connected")?;
    // The agent's own probe is nobody's traffic.
    assert_eq!(report.counters, Default::default(), "{report:?}");
    Ok(())
}

#[test]
fn no_traffic_but_tls_2() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").publish(8443, 8443).serve(&instance, 8443)?;
    let more = ["--port", "8443", "--duration", "2"];
    let agent = instance.inject(["--container", "web"], &experiment("tls"), &more)?;
    let https = format!("https://{}/", Instance::published(8443));
    output(instance.outside.command("curl").args(["-sSk", "--fail", &https]))?;
    let report = assert_no_traffic(&agent.ended()?, "tls")?;
    assert_eq!(report.counters.tls, 1, "{report:?}");
    Ok(())
}

#[test]
fn no_traffic_but_on_pooled_connections_2() -> Result<()> {
    let site = Site::take("pooled")?;
    let mut pooled = site.open(site.v4())?;
    assert!(pooled.get("/")?.is_real());
    let more = ["--existing-connections", "keep", "--duration", "1"];
    let agent = site.inject(&experiment("pooled"), &more)?;
    assert!(pooled.get("/")?.is_real());
    let report = assert_no_traffic(&agent.ended()?, "before the fault")?;
    assert_eq!((report.counters.existing_found, report.counters.existing_still_open), (1, 1), "{report:?}");
    Ok(())
}

#[test]
fn no_traffic_but_on_another_port_2() -> Result<()> {
    let site = Site::take("other")?;
    let agent = site.inject(&experiment("other"), &["--duration", "1"])?;
    assert_eq!(site.get((TARGET_V4, COUNT_PORT).into(), "/")?.status, 200);
    let report = assert_no_traffic(&agent.ended()?, "port")?;
    assert!(report.counters.other_ports >= 1, "{report:?}");
    Ok(())
}

#[test]
fn no_traffic_that_was_selected_2() -> Result<()> {
    let site = Site::take("spared")?;
    let agent = site.inject(&experiment("spared"), &["--path", "/api", "--duration", "1"])?;
    assert!(site.get(site.v4(), "/")?.is_real());
    let report = assert_no_traffic(&agent.ended()?, "not selected")?;
    assert_eq!(report.counters.spared, 1, "{report:?}");
    Ok(())
}

/// A file system mounted on the run's state cannot be removed with it.
#[test]
fn left_behind_3() -> Result<()> {
    let site = Site::take("left")?;
    let before = Traces::now()?;
    let id = experiment("left");
    let agent = site.inject(&id, &[])?;
    assert_eq!(site.get(site.v4(), "/")?.status, 503);
    let mount = Mount::on(Path::new("/run/httpfault").join(&id).join("in-the-way"))?;
    let ended = agent.terminate()?;
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.exit), (3, Exit::LeftBehind), "{ended:?}");
    assert!(removed.left_behind[0].remove_with.contains("httpfault-agent remove"), "{removed:?}");
    assert!(removed.left_behind[0].what.contains(&id), "{removed:?}");
    assert!(site.get(site.v4(), "/")?.is_real(), "the traffic is restored all the same");
    // While it is in the way, `remove` can do no better and says so.
    let (code, report) = agent::remove(&["--experiment-id", &id])?;
    assert_eq!((code, report.exit), (Some(3), Exit::LeftBehind), "{report:?}");

    drop(mount);
    let (code, report) = agent::remove(&["--experiment-id", &id])?;
    assert_eq!((code, report.exit), (Some(0), Exit::Done), "{report:?}");
    before.none_but_these(&[])
}

/// A tmpfs, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn on(path: PathBuf) -> Result<Self> {
        std::fs::create_dir(&path)?;
        output(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = output(Command::new("umount").arg(&self.0)) {
            eprintln!("{error:#}");
        }
    }
}

#[test]
fn usage_64() -> Result<()> {
    let wrong: [&[&str]; 12] = [
        &[],
        &["inject"],
        &["run"],
        &["run", "--pid", "1", "--nonsense"],
        &["run", "--pid", "1", "--task-id", "a"],
        &["run", "--pid", "1", "--status-code", "100"],
        &["run", "--pid", "1", "--status-code", "600"],
        &["run", "--pid", "1", "--duration", "0"],
        &["run", "--pid", "1", "--duration", "86401"],
        &["run", "--pid", "1", "--experiment-id", "../../etc"],
        &["run", "--spec", "bm90IGpzb24="],
        &["remove"],
    ];
    for args in wrong {
        let said = run(args)?;
        assert_eq!(said.status.code(), Some(64), "{args:?}: {said:?}");
        assert!(!said.stderr.is_empty(), "{args:?}: the message goes to standard error");
    }
    Ok(())
}

#[test]
fn usage_64_names_all_mistakes_at_once() -> Result<()> {
    let mistakes = [
        ("--status-code", "199"),
        ("--duration", "0"),
        ("--percent", "101"),
        ("--path", "api"),
        ("--proxy-port", "80"),
        ("--response-header", "Content-Length: 5"),
    ];
    let args = mistakes.iter().flat_map(|(flag, value)| [*flag, *value]);
    let said = run(&["run", "--pid", "1"].into_iter().chain(args).collect::<Vec<_>>())?;
    assert_eq!(said.status.code(), Some(64), "{said:?}");
    let unnamed: Vec<_> = mistakes.iter().filter(|(flag, _)| !said.stderr.contains(flag)).collect();
    assert!(unnamed.is_empty(), "not named: {unnamed:?} in {}", said.stderr);
    Ok(())
}

#[test]
fn aborted_130() -> Result<()> {
    let site = Site::take("aborted")?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let agent: Agent = site.inject(&experiment("aborted"), &[])?;
        assert_eq!(site.get(site.v4(), "/")?.status, 503);
        agent.signal(signal)?;
        let ended = agent.ended()?;
        let removed = ended.removed()?;
        assert_eq!((ended.code()?, removed.exit), (130, Exit::Aborted), "{signal}: {ended:?}");
        assert_eq!(removed.reason, RemovedReason::Signal);
        assert!(site.get((TARGET_V4, PORT).into(), "/")?.is_real());
    }
    Ok(())
}
