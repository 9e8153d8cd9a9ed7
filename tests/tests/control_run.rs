//! Whole experiments that go well: the real controller, the real agent, real containers, and clients that see the fault
//! come and go.

use std::time::Duration;

use anyhow::{Context, Result};
use httpfault_simulator::{Container as EcsContainer, NetworkMode, Task};
use httpfault_tests::{
    docker::{Instance, Plan},
    ecs::{Introspection, listed},
    experiment::{Account, Ended, SERVICE, Web, classified, host},
    load::{Load, Outcome, Tally},
    wait,
};
use jiff::Timestamp;

/// How long the fault was on for clients of one task: from the first to the last fault.
fn seen(tally: &Tally) -> Result<Duration> {
    let first = tally.first(Outcome::Fault).context("no fault was seen")?;
    Ok(tally.last(Outcome::Fault).context("no fault was seen")?.duration_since(first))
}

/// A time of a task's record.
fn moment(ended: &Ended, web: &Web<'_>, which: &str) -> Result<Timestamp> {
    let task = ended.task(&web.task)?;
    let text = task[which].as_str().with_context(|| format!("no {which} in {task}"))?;
    text.parse().context("reading a time")
}

/// What clients counted is what the report says, and both ends were proved.
fn assert_faulted(ended: &Ended, web: &Web<'_>, faults: usize) -> Result<()> {
    let task = ended.task(&web.task)?;
    assert_eq!(task["outcome"], "faulted", "{ended}");
    assert_eq!(task["counters"]["faulted"], faults, "{ended}");
    assert_eq!((&task["verified_on"], &task["verified_off"]), (&true.into(), &true.into()), "{ended}");
    assert_eq!(task["reason"], "deadline", "{ended}");
    Ok(())
}

#[test]
fn parallel_on_three_tasks_of_two_hosts() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 0)?, Web::start(&instance, 3, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::open(&instance, &webs)?;
    let loads: Vec<Load> = webs.iter().map(|web| web.load()).collect();
    loads.iter().try_for_each(|load| load.await_real(10).map(drop))?;

    let ended = account.run(5)?.finish()?.exits(0)?;

    loads.iter().try_for_each(|load| load.await_real(10).map(drop))?;
    for (web, load) in webs.iter().zip(loads) {
        let (tally, faults, real) = classified(load)?;
        assert!(faults > 20 && real > 20, "{}: {}", web.task, tally.summary());
        assert_faulted(&ended, web, faults)?;
        assert!(seen(&tally)? > Duration::from_secs(3), "{:?} of 5 s", seen(&tally)?);
    }
    // One command for both hosts, one agent a host for all of its tasks.
    let inject = account.commands("inject");
    assert_eq!((inject.len(), inject[0].invocations.len()), (1, 2));
    account.assert_clean(&webs)
}

#[test]
fn a_share_of_the_tasks_and_nobody_else() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 0)?, Web::start(&instance, 3, 0)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::open(&instance, &webs)?;
    let loads: Vec<Load> = webs.iter().map(|web| web.load()).collect();

    let run = account.run(5)?.env("TASK_REPLICA_AFFECTED_PERC", "67").env("SEED", "7");
    let ended = run.finish()?.exits(0)?;

    // 67 % of three is two, rounded down.
    let report = ended.report()?;
    assert_eq!((report["tasks"].as_array().map(Vec::len), &report["population"]), (Some(2), &3.into()));
    let mut faulted = 0;
    for (web, load) in webs.iter().zip(loads) {
        let (tally, faults, real) = classified(load)?;
        assert!(real > 0, "{}", tally.summary());
        match ended.task(&web.task) {
            Ok(_) => {
                faulted += 1;
                assert_faulted(&ended, web, faults)?;
            }
            Err(_not_chosen) => assert_eq!(faults, 0, "{} was not chosen: {}", web.task, tally.summary()),
        }
    }
    assert_eq!(faulted, 2);
    account.assert_clean(&webs)
}

#[test]
fn serial_on_two_tasks_of_one_host_one_after_the_other() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 0)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::open(&instance, &webs)?;
    let loads: Vec<Load> = webs.iter().map(|web| web.load()).collect();

    let ended = account.run(4)?.env("SEQUENCE", "serial").finish()?.exits(0)?.says("8 s in all")?;

    let mut spans = Vec::new();
    for (web, load) in webs.iter().zip(loads) {
        let (tally, faults, _) = classified(load)?;
        assert_faulted(&ended, web, faults)?;
        assert!(seen(&tally)? > Duration::from_secs(1), "each has the whole time: {:?}", seen(&tally)?);
        spans.push((tally.first(Outcome::Fault), tally.last(Outcome::Fault)));
    }
    spans.sort();
    assert!(spans[0].1 < spans[1].0, "both tasks were faulted at a time");
    assert_eq!(account.commands("inject").len(), 2);
    account.assert_clean(&webs)
}

#[test]
fn ramp_time_before_and_after_and_the_asked_duration() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let load = web.load();
    let begin = std::time::Instant::now();

    let ended = account.run(5)?.env("RAMP_TIME", "2").finish()?.exits(0)?;

    let over = std::time::Instant::now();
    let (tally, faults, _) = classified(load)?;
    assert_faulted(&ended, &web, faults)?;
    let first = tally.first(Outcome::Fault).context("no fault")?;
    let last = tally.last(Outcome::Fault).context("no fault")?;
    assert!(first.duration_since(begin) >= Duration::from_secs(2), "{:?}", first.duration_since(begin));
    assert!(over.duration_since(last) >= Duration::from_secs(2), "{:?}", over.duration_since(last));
    let on = moment(&ended, &web, "removed_at")?.duration_since(moment(&ended, &web, "injected_at")?);
    assert!((4.0..12.0).contains(&on.as_secs_f64()), "on for {on}, 5 s were asked for");
    account.assert_clean(&[&web])
}

#[test]
fn only_the_status_is_replaced() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let run = account.run(10)?.env("MODIFY_RESPONSE_BODY", "false").env("STATUS_CODE", "429");
    let run = run.env("RESPONSE_HEADERS", "Retry-After: 3").env("EXPERIMENT_ID", "status-only").start()?;
    let on = || Ok(web.get("/")?.status == 429);
    wait::until("the fault", httpfault_tests::experiment::PATIENCE, on)?;
    let response = web.get("/")?;
    assert_eq!((response.status, response.text().as_str()), (429, "real\n"), "{response:?}");
    assert_eq!(response.injected_by(), Some("status-only"));
    assert_eq!((response.header("x-app"), response.header("retry-after")), (Some("real"), Some("3")));

    let ended = run.ended()?.exits(0)?;
    let task = ended.task(&web.task)?;
    assert_eq!(task["counters"]["forwarded"], task["counters"]["faulted"], "{ended}");
    account.assert_real(&[&web])?;
    account.assert_clean(&[&web])
}

/// Nobody declares the port of a task with several containers in one namespace (`awsvpc`): the agent asks the ECS agent
/// of the host for the containers, and looks who listens.
#[test]
fn the_container_that_listens_is_found_on_the_host() -> Result<()> {
    let instance = Instance::take()?;
    let id = format!("{:032x}", 0xa35c);
    // Published, because the pause container has the task's network.
    let pause = Plan::pause("pause").task(&id).publish(8090, 80).start(&instance)?;
    let app = Plan::nginx("app").task(&id).network_of(&pause).serve(&instance, 80)?;
    let sidecar = Plan::server("sidecar", 9000).task(&id).network_of(&pause).serve(&instance, 9000)?;
    let _ecs = Introspection::at(&instance.namespace(), 51678, vec![listed(&id, &[&app, &sidecar])])?;
    // A second task, so that the account has its host.
    let other = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&other])?;
    let container = |name: &str, id: &str| EcsContainer::new(name).runtime_id(id);
    account.simulator.edit(|world| {
        let task = Task::on(&host(0)).id(&id).service(SERVICE).network_mode(NetworkMode::Awsvpc);
        let task = task.container(container("sidecar", &sidecar.id)).container(container("app", &app.id));
        world.clusters[0].tasks.push(task);
    });
    let run = account.ctl("run")?.env("TASK_REPLICA_ID", &id).env("TOTAL_CHAOS_DURATION", "8").start()?;
    let to = Instance::published(8090);
    let on = || Ok(instance.get(to, "/")?.status == 503);
    wait::until("the fault", httpfault_tests::experiment::PATIENCE, on)?;
    let ended = run.ended()?.exits(0)?;
    assert_eq!(ended.task(&id)?["outcome"], "faulted", "{ended}");
    assert!(instance.get(to, "/")?.is_real());
    account.assert_clean(&[&other])
}

#[test]
fn hostile_values_reach_clients_unchanged_and_run_nothing() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let trap = std::env::temp_dir().join(format!("httpfault-trap-{}", std::process::id()));
    let touch = format!("touch {}", trap.display());
    let nasty = format!(
        "'\"`{touch}`$({touch})${{IFS}};{touch} |{touch}&\\{{{{ssm:secret}}}} {{{{ }}}} %s \u{1f525}"
    );
    let body = format!("{nasty}\n{touch}\nEOF\nPIECE\n{}", "é'\"$(id)\n".repeat(1000));
    assert!(body.len() > 10_000);
    let run =
        account.run(10)?.env("RESPONSE_BODY", &body).env("CONTENT_TYPE", "text/plain; charset=\"$(id)\"");
    let run = run.env("RESPONSE_HEADERS", format!("X-Nasty: {nasty}"));
    let run = run.env("EXCLUDE_PATHS", serde_json::to_string(&[format!("/{nasty}")])?);
    let run = run.env("EXCLUDE_USER_AGENTS", serde_json::to_string(&[&nasty])?).start()?;
    let on = || Ok(web.get("/")?.status == 503);
    wait::until("the fault", httpfault_tests::experiment::PATIENCE, on)?;

    let response = web.get("/")?;
    assert_eq!(response.text(), body);
    assert_eq!(response.header("content-type"), Some("text/plain; charset=\"$(id)\""));
    assert_eq!(response.header("x-nasty"), Some(nasty.as_str()));
    run.ended()?.exits(0)?;
    assert!(!trap.exists(), "something was run");
    account.assert_clean(&[&web])
}

#[test]
fn two_experiments_at_once_on_two_tasks_of_one_host() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 0)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::open(&instance, &webs)?;
    let run = |web: &Web<'_>, id: &str, code: &str| {
        let run = account.ctl("run")?.env("TASK_REPLICA_ID", &web.task).env("STATUS_CODE", code);
        run.env("EXPERIMENT_ID", id).env("TOTAL_CHAOS_DURATION", "15").start()
    };
    let one = run(webs[0], "one", "500")?;
    let two = run(webs[1], "two", "404")?;
    let both = || Ok(webs[0].get("/")?.status == 500 && webs[1].get("/")?.status == 404);
    wait::until("both faults", httpfault_tests::experiment::PATIENCE, both)?;
    assert_eq!(webs[0].get("/")?.injected_by(), Some("one"));
    assert_eq!(webs[1].get("/")?.injected_by(), Some("two"));
    one.ended()?.exits(0)?;
    two.ended()?.exits(0)?;
    account.assert_real(&webs)?;
    account.assert_clean(&webs)
}

#[test]
fn the_second_experiment_on_a_task_is_refused_and_names_the_first() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let first = account.run(20)?.env("EXPERIMENT_ID", "the-first").start()?;
    let on = || Ok(web.get("/")?.injected_by() == Some("the-first"));
    wait::until("the fault", httpfault_tests::experiment::PATIENCE, on)?;

    let second = account.run(3)?.env("EXPERIMENT_ID", "the-second").env("STATUS_CODE", "404").finish()?;
    let second = second.exits(1)?.says("the-first")?;
    assert_eq!(second.task(&web.task)?["outcome"], "failed");
    // The one that came first goes on untouched.
    assert_eq!(web.get("/")?.injected_by(), Some("the-first"));
    first.ended()?.exits(0)?;
    account.assert_real(&[&web])?;
    account.assert_clean(&[&web])
}

#[test]
fn two_when_one_task_has_no_listener_and_when_no_request_came() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let deaf = Web::start(&instance, 2, 0)?;
    let account = Account::open(&instance, &[&web, &deaf])?;

    // Nothing listens on the port of that container.
    let idle = Plan::pause("idle").start(&instance)?;
    account.simulator.edit(|world| {
        let task = world.task_mut(&deaf.task).expect("the task is there");
        task.containers[0].runtime_id = Some(idle.id.clone());
    });
    let load = web.load();
    let ended = account.run(5)?.finish()?.exits(2)?;
    assert_eq!(ended.task(&web.task)?["outcome"], "faulted", "{ended}");
    let failed = ended.task(&deaf.task)?;
    assert_eq!(failed["outcome"], "failed", "{ended}");
    assert!(failed["error"]["problem"].as_str().is_some_and(|problem| problem.contains("80")), "{failed}");
    classified(load)?;

    let run = account.ctl("run")?.env("TASK_REPLICA_ID", &web.task).env("TOTAL_CHAOS_DURATION", "2");
    let ended = run.finish()?.exits(2)?.says("no request was faulted")?;
    let quiet = ended.task(&web.task)?;
    assert_eq!(quiet["outcome"], "no_traffic", "{ended}");
    assert!(quiet["causes"].as_array().is_some_and(|causes| !causes.is_empty()), "{quiet}");

    let run = account.ctl("run")?.env("TASK_REPLICA_ID", &deaf.task).env("TOTAL_CHAOS_DURATION", "2");
    run.finish()?.exits(1)?.says("nothing left behind")?;
    account.assert_clean(&[&web])
}
