//! What the agent finds before it changes anything: where a task is, and every reason to refuse.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context, Result};
use httpfault_common::contract::CheckReport;
use httpfault_tests::{
    agent::{Agent, agent_in, agent_on, binary, experiment, run_args},
    clean::Traces,
    command::said,
    docker::{Container, Instance, Plan},
    ecs::{Introspection, listed, task_arn, write_metadata},
    netns::Netns,
    site::{Application, Site},
};
use nix::{sys::stat::Mode, unistd::mkfifo};

const NO_SOURCE: [&str; 2] = ["--ecs-introspection-url", "http://127.0.0.1:1"];

/// `check` with the given exit code.
fn check(instance: &Instance, code: i32, args: &[&str]) -> Result<CheckReport> {
    let words = ["check", "--output", "json"].iter().chain(args);
    let said = said(&mut agent_on(instance, words)?)?;
    assert_eq!(said.status.code(), Some(code), "{said:?}");
    serde_json::from_str(&said.stdout).with_context(|| format!("reading a check report: {said:?}"))
}

/// Asserts that `run` and `check` refuse alike, with a problem that has all of `words`, and change nothing.
fn assert_refused(instance: &Instance, target: [&str; 2], more: &[&str], words: &[&str]) -> Result<()> {
    let before = Traces::now()?;
    let args = [&target[..], more].concat();
    let checked = check(instance, 1, &args)?;
    let ended = instance.run(target, &experiment("refused"), more)?.ended()?;
    assert_eq!(ended.code()?, 1, "{ended:?}");
    for report in [checked, ended.refused()?] {
        assert!(!report.ready);
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        let named = |problem: &String| words.iter().all(|word| problem.contains(word));
        assert!(problems.iter().any(named), "no problem has all of {words:?}: {problems:#?}");
        assert!(report.problems.iter().all(|problem| !problem.next.is_empty()), "{problems:#?}");
    }
    before.none_but_these(&[])
}

#[test]
fn ready_changes_nothing() -> Result<()> {
    let instance = Instance::take()?;
    let before = Traces::now()?;
    let web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    for name in ["web", &web.id, &web.id[..12]] {
        let report = check(&instance, 0, &["--container", name])?;
        assert!(report.ready && report.problems.is_empty(), "{report:?}");
        assert!(report.targets[0].found.contains(&web.id[..12]), "{report:?}");
    }
    let report = check(&instance, 0, &["--pid", &web.pid()?.to_string()])?;
    assert_eq!(report.targets[0].source, "proc");
    let report = check(&instance, 0, &["--container", "web", "--status-code", "302"])?;
    let told = "--response-header 'Location: https://example.com/'";
    assert!(report.warnings.iter().any(|warning| warning.contains(told)), "{report:?}");
    before.none_but_these(&[(&web.namespace()?, 20000)])?;
    assert!(instance.get(Instance::published(8080), "/")?.is_real());
    Ok(())
}

#[test]
fn targets_that_do_not_exist() -> Result<()> {
    let instance = Instance::take()?;
    assert_refused(&instance, ["--container", "missing"], &[], &["missing"])?;
    assert_refused(&instance, ["--task-id", "0123456789abcdef"], &[], &["0123456789abcdef"])?;
    assert_refused(&instance, ["--pid", "4194303"], &[], &["4194303"])
}

#[test]
fn stopped_container() -> Result<()> {
    let instance = Instance::take()?;
    let web = Plan::nginx("web").serve(&instance, 80)?;
    web.stop()?;
    assert_refused(&instance, ["--container", "web"], &[], &["web"])
}

#[test]
fn nobody_or_somebody_else_listens() -> Result<()> {
    let instance = Instance::take()?;
    let pause = Plan::pause("pause").task("dddd4444").start(&instance)?;
    let _web = Plan::nginx("web").task("dddd4444").network_of(&pause).serve(&instance, 80)?;
    let _sidecar =
        Plan::server("sidecar", 9000).task("dddd4444").network_of(&pause).serve(&instance, 9000)?;
    // Says what listens where.
    assert_refused(&instance, ["--container", "web"], &["--port", "8081"], &["8081", ":80", ":81"])?;
    assert_refused(
        &instance,
        ["--task-id", "dddd4444"],
        &["--port", "8081"],
        &["8081", "web", "sidecar", ":9000"],
    )?;
    // Says who owns it.
    assert_refused(&instance, ["--container", "sidecar"], &["--port", "80"], &["80", "nginx"])?;
    let named = ["--port", "80", "--container-name", "sidecar"];
    assert_refused(&instance, ["--task-id", "dddd4444"], &named, &["80", "nginx"])?;
    let named = ["--container-name", "nobody"];
    assert_refused(&instance, ["--task-id", "dddd4444"], &named, &["nobody", "web", "sidecar"])
}

#[test]
fn host_process_holds_the_port_of_a_host_network_container() -> Result<()> {
    let instance = Instance::take()?;
    let _idle = Plan::pause("idle").host_network().start(&instance)?;
    let _other = Plan::nginx("other").host_network().serve(&instance, 80)?;
    assert_refused(&instance, ["--container", "idle"], &[], &["80", "nginx"])
}

#[test]
fn proxy_port_taken() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").serve(&instance, 80)?;
    assert_refused(
        &instance,
        ["--container", "web"],
        &["--proxy-port", "8443"],
        &["PROXY_PORT 8443", "nginx"],
    )
}

#[test]
fn unknown_interface_lists_those_that_exist() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").serve(&instance, 80)?;
    assert_refused(&instance, ["--container", "web"], &["--interface", "ens5"], &["ens5", "eth0", "lo"])
}

#[test]
fn every_problem_at_once() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").serve(&instance, 80)?;
    let more = ["--container", "missing", "--proxy-port", "8443", "--interface", "ens5"];
    let args = [&["--container", "web"], &more[..]].concat();
    let problems = check(&instance, 1, &args)?.problems;
    for word in ["missing", "PROXY_PORT", "ens5"] {
        assert!(problems.iter().any(|problem| problem.to_string().contains(word)), "{word}: {problems:#?}");
    }
    Ok(())
}

#[test]
fn privileges_missing() -> Result<()> {
    let site = Site::take("privileges")?;
    let pid = site.pid().to_string();
    let words = run_args(["--pid", &pid], &experiment("privileges"), &[]);
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let bounded = ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    // Copied to where everybody may run it.
    let directory = tempfile::tempdir_in("/tmp")?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), open)?;
    let copy = directory.path().join("httpfault-agent");
    fs::copy(binary()?, &copy)?;
    for (options, missing) in [(&nobody[..], "CAP_SYS_ADMIN"), (&bounded[..], "CAP_SYS_PTRACE")] {
        let mut setpriv = std::process::Command::new("setpriv");
        setpriv.args(options).arg(&copy).args(&words);
        let ended = Agent::start(setpriv)?.ended()?;
        let report = ended.refused()?;
        assert_eq!(ended.code()?, 1, "{ended:?}");
        let named = report.problems.iter().any(|problem| problem.problem.contains(missing));
        assert!(named, "{missing}: {report:?}");
    }
    assert!(site.get(site.v4(), "/")?.is_real());
    Ok(())
}

/// An application that shares the port with another process (SO_REUSEPORT or another address) is one thing; a second
/// application of the same namespace on its own port is not in the way.
#[test]
fn second_application_of_the_namespace() -> Result<()> {
    let site = Site::take("second")?;
    let second = Application::start("second", &site.target, 9000)?;
    let id = experiment("second");
    let words = run_args(["--pid", &second.pid().to_string()], &id, &["--port", "80"]);
    let ended = Agent::start(agent_in(&site.client, words)?)?.ended()?;
    assert_eq!(ended.code()?, 1, "{ended:?}");
    let problem = ended.refused()?.problems[0].to_string();
    assert!(problem.contains("80") && problem.contains("fixture-server"), "{problem}");
    Ok(())
}

fn task<'a>(instance: &'a Instance, id: &str) -> Result<[Container<'a>; 3]> {
    let pause = Plan::pause("pause").task(id).start(instance)?;
    let web = Plan::nginx("web").task(id).network_of(&pause).serve(instance, 80)?;
    let sidecar = Plan::server("sidecar", 9000).task(id).network_of(&pause).serve(instance, 9000)?;
    Ok([pause, web, sidecar])
}

#[test]
fn task_found_by_introspection() -> Result<()> {
    let instance = Instance::take()?;
    let [_pause, web, sidecar] = task(&instance, "eeee5555")?;
    let api = Introspection::start(
        &instance.namespace(),
        vec![listed("0000ffff", &[]), listed("eeee5555", &[&sidecar, &web])],
    )?;
    for name in ["eeee5555".to_owned(), task_arn("eeee5555")] {
        let report = check(&instance, 0, &["--task-id", &name, "--ecs-introspection-url", &api.url()])?;
        assert_eq!(report.targets[0].source, "introspection", "{report:?}");
        assert!(report.targets[0].found.contains("web"), "{report:?}");
    }
    // Without Docker: from the container id to its process by the cgroup tree.
    let words = ["run", "--output", "json", "--task-id", "eeee5555", "--ecs-introspection-url", &api.url()];
    let words = words.into_iter().chain(["--docker-socket", "/nonexistent", "--duration", "60"]);
    let (agent, injected) = Agent::inject(agent_in(&instance.namespace(), words)?)?;
    assert_eq!(injected.targets[0].source, "introspection", "{injected:?}");
    let to = _pause.v4(80)?;
    assert_eq!(instance.namespace().run(|| httpfault_tests::wire::get(to, "/"))?.status, 503);
    drop(agent);
    Ok(())
}

#[test]
fn task_found_by_metadata_files() -> Result<()> {
    let instance = Instance::take()?;
    let [_pause, web, sidecar] = task(&instance, "ffff6666")?;
    let data = tempfile::tempdir()?;
    write_metadata(data.path(), "ffff6666", &[&web, &sidecar])?;
    let directory = data.path().to_str().context("a path in UTF-8")?;
    let args = [&["--task-id", "ffff6666", "--ecs-data-dir", directory], &NO_SOURCE[..]].concat();
    let report = check(&instance, 0, &args)?;
    assert_eq!(report.targets[0].source, "metadata file", "{report:?}");
    assert!(report.targets[0].found.contains("web"), "{report:?}");
    Ok(())
}

/// What a container may put where its metadata file is: it is mounted there, writable.
#[test]
fn metadata_files_of_hostile_containers() -> Result<()> {
    let instance = Instance::take()?;
    let [_pause, web, _sidecar] = task(&instance, "ffff6666")?;
    let data = tempfile::tempdir()?;
    write_metadata(data.path(), "ffff6666", &[&web])?;
    let shop = data.path().join("metadata/shop");
    let place = |task: &str| -> Result<PathBuf> {
        let directory = shop.join(task).join("web");
        fs::create_dir_all(&directory)?;
        Ok(directory.join("ecs-container-metadata.json"))
    };
    symlink("/dev/zero", place("0000zero")?)?;
    mkfifo(&place("0000pipe")?, Mode::S_IRWXU)?;
    fs::write(place("0000long")?, vec![b' '; 1 << 20])?;
    // It says that it is a container of the other task, to get the fault of it or to give it to a third.
    let own = fs::read_to_string(shop.join("ffff6666/web/ecs-container-metadata.json"))?;
    fs::write(place("0000liar")?, own.replace(&web.id, &"0".repeat(64)))?;
    let directory = data.path().to_str().context("a path in UTF-8")?;
    let args = [&["--task-id", "ffff6666", "--ecs-data-dir", directory], &NO_SOURCE[..]].concat();
    let report = check(&instance, 0, &args)?;
    assert_eq!(report.targets[0].source, "metadata file", "{report:?}");
    assert!(report.targets[0].found.contains(&web.id[..12]), "{report:?}");
    Ok(())
}

/// Whoever has the port of the ECS agent's API while that is down.
#[test]
fn introspection_that_lies_is_not_believed() -> Result<()> {
    let instance = Instance::take()?;
    let [_pause, web, _sidecar] = task(&instance, "eeee5555")?;
    let api = Introspection::start(&instance.namespace(), vec![listed("dddd4444", &[&web])])?;
    let target = ["--task-id", "dddd4444"];
    let url = ["--ecs-introspection-url", &api.url()];
    assert_refused(&instance, target, &url, &["dddd4444", "Docker says", "eeee5555"])?;
    Ok(())
}

#[test]
fn task_found_by_docker_labels() -> Result<()> {
    let instance = Instance::take()?;
    let [_pause, _web, _sidecar] = task(&instance, "aaaa7777")?;
    let args = [&["--task-id", "aaaa7777", "--ecs-data-dir", "/nonexistent"], &NO_SOURCE[..]].concat();
    let report = check(&instance, 0, &args)?;
    assert_eq!(report.targets[0].source, "docker", "{report:?}");
    assert!(report.targets[0].found.contains("web"), "{report:?}");
    // One container of it by name, with its own port.
    let args = [&args[..], &["--container-name", "sidecar", "--port", "9000"]].concat();
    let report = check(&instance, 0, &args)?;
    assert!(report.targets[0].found.contains("sidecar"), "{report:?}");
    Ok(())
}

/// In bridge mode each container of a task has a namespace and a port 80 of its own.
#[test]
fn two_containers_of_a_task_on_the_same_port() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").task("bbbb8888").serve(&instance, 80)?;
    let _admin = Plan::nginx("admin").task("bbbb8888").serve(&instance, 80)?;
    let words = ["web", "admin", "--container-name"];
    let nowhere = ["--ecs-data-dir", "/nonexistent"];
    let sources = [&nowhere, &NO_SOURCE[..]].concat();
    assert_refused(&instance, ["--task-id", "bbbb8888"], &sources, &words)?;
    let args = [&["--task-id", "bbbb8888", "--container-name", "admin"], &sources[..]].concat();
    let report = check(&instance, 0, &args)?;
    assert!(report.targets[0].found.contains("admin"), "{report:?}");
    Ok(())
}

/// A namespace of another container on the machine has nothing to do with any of this.
#[test]
fn agent_runs_from_any_namespace() -> Result<()> {
    let site = Site::take("anywhere")?;
    let elsewhere = Netns::create("anywhere")?;
    let id = experiment("anywhere");
    let words = run_args(["--pid", &site.pid().to_string()], &id, &[]);
    let (agent, _) = Agent::inject(agent_in(&elsewhere, words)?)?;
    assert_eq!(site.get(site.v4(), "/")?.injected_by(), Some(id.as_str()));
    assert_eq!(agent.terminate()?.code()?, 130);
    Ok(())
}
