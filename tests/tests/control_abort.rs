//! The controller is told to end, or dies, at each phase of a run: what it leaves is nothing, or ends by itself. Hosts take
//! their messages as the real SSM agent does.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_tests::{
    docker::Instance,
    experiment::{Account, PATIENCE, Running, Web, classified, harsh, host},
    load::Outcome,
    wait,
};
use nix::sys::signal::Signal;

fn await_on(run: &Running, webs: &[&Web<'_>]) -> Result<()> {
    let on = || {
        let statuses = webs.iter().map(|web| Ok(web.get("/")?.status)).collect::<Result<Vec<_>>>()?;
        Ok(statuses.iter().all(|status| *status == 503))
    };
    wait::until("the fault on every task", PATIENCE, on).map(drop).with_context(|| run.stderr())
}

#[test]
fn while_it_looks_for_the_tasks() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open_with(&instance, &[&web], harsh())?;
    // Longer than a run may take to end.
    account.simulator.faults(|faults| faults.delay("DescribeTasks", Duration::from_secs(600)));
    let run = account.run(600)?.start()?;
    let seen = account.simulator.wait_for_calls(PATIENCE, |calls| {
        calls.iter().any(|call| call.action == "DescribeTasks").then_some(())
    });
    seen.context("DescribeTasks was not called")?;
    run.signal(Signal::SIGINT)?;
    run.ended()?.exits(130)?;
    assert_eq!(account.simulator.count("SendCommand"), 0);
    account.assert_clean(&[&web])
}

#[test]
fn during_delivery_and_what_came_is_not_sent_again() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::empty(&instance, &[&web], harsh())?;
    let run = account.run_and_deliver(600)?.start()?;
    account.await_commands("piece", 12, |_| true)?;
    run.signal(Signal::SIGTERM)?;
    run.ended()?.exits(130)?;
    assert_eq!(account.commands("inject").len(), 0);
    assert!(!account.installed(&host(0)).exists(), "half an agent was put in place");
    account.assert_real(&[&web])?;
    account.assert_clean(&[&web])?;

    let load = web.load();
    account.run_and_deliver(5)?.finish()?.exits(0)?;
    assert!(classified(load)?.1 > 0);
    let scripts: Vec<String> = account.commands("piece").into_iter().map(|command| command.script).collect();
    let different = scripts.iter().collect::<BTreeSet<_>>().len();
    // Those that were on their way when the signal came are perhaps sent twice: five at most.
    assert!(scripts.len() <= different + 5, "{} commands for {different} pieces", scripts.len());
    account.assert_clean(&[&web])
}

#[test]
fn while_it_is_put_on() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::open_with(&instance, &webs, harsh())?;
    // Before the script starts, and when the agent has begun.
    for (round, started) in [false, true].into_iter().enumerate() {
        let run = account.run(600)?.start()?;
        account.await_commands("inject", round + 1, |command| {
            !started || command.invocations.iter().all(|invocation| invocation.started)
        })?;
        run.signal(Signal::SIGINT)?;
        let ended = run.ended()?.exits(130)?;
        assert_eq!(ended.report()?["aborted"], true);
        account.assert_real(&webs)?;
        account.assert_clean(&webs)?;
    }
    Ok(())
}

#[test]
fn while_it_is_on() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::open_with(&instance, &webs, harsh())?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let loads: Vec<_> = webs.iter().map(|web| web.load()).collect();
        let run = account.run(600)?.start()?;
        loads.iter().try_for_each(|load| load.await_faults(20).map(drop)).with_context(|| run.stderr())?;
        run.signal(signal)?;
        let ended = run.ended()?.exits(130)?.says("aborted and cleaned up")?;
        let over = Instant::now();
        loads.iter().try_for_each(|load| load.await_real(10).map(drop))?;
        for (web, load) in webs.iter().zip(loads) {
            let (tally, _, _) = classified(load)?;
            assert_eq!(tally.sent_after(over).count(Outcome::Fault), 0, "a fault after the end");
            let task = ended.task(&web.task)?;
            assert_eq!(
                (&task["reason"], &task["verified_off"]),
                (&"request".into(), &true.into()),
                "{ended}"
            );
            assert_eq!(task["counters"]["faulted"], tally.count(Outcome::Fault), "{ended}");
        }
        account.assert_clean(&webs)?;
    }
    assert_eq!(account.simulator.count("CancelCommand"), 0, "agents that answer end by themselves");
    Ok(())
}

#[test]
fn while_it_is_taken_off() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open_with(&instance, &[&web], harsh())?;
    let run = account.run(5)?.start()?;
    await_on(&run, &[&web])?;
    account.await_commands("inject", 1, |command| command.status.is_final())?;
    run.signal(Signal::SIGTERM)?;
    let ended = run.ended()?.exits(130)?;
    assert_eq!(ended.task(&web.task)?["verified_off"], true, "{ended}");
    account.assert_real(&[&web])?;
    account.assert_clean(&[&web])
}

#[test]
fn a_killed_controllers_fault_ends_at_its_deadline_and_the_next_run_is_at_peace() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open_with(&instance, &[&web], harsh())?;
    let load = web.load();
    let run = account.run(15)?.env("EXPERIMENT_ID", "orphan").start()?;
    load.await_faults(1).with_context(|| run.stderr())?;
    let begin = Instant::now();
    // Dropping kills it, as the end of a pod's node does.
    drop(run);
    let known = account.ctl("status")?.finish()?.exits(0)?.report()?;
    let fault = &known["hosts"][0]["faults"][0];
    assert_eq!((&fault["experiment_id"], &fault["phase"]), (&"orphan".into(), &"on".into()), "{known}");

    let over = || Ok(web.get("/")?.is_real());
    wait::until("the deadline", PATIENCE, over)?;
    let held = begin.elapsed().as_secs_f64();
    assert!((8.0..25.0).contains(&held), "on for {held} s, 15 s were asked for");
    account.assert_clean(&[&web])?;
    let known = account.ctl("status")?.finish()?.exits(0)?.report()?;
    assert_eq!(known["hosts"][0]["faults"].as_array().map(Vec::len), Some(0), "{known}");

    let again = account.run(5)?.env("EXPERIMENT_ID", "next").finish()?.exits(0)?;
    assert_eq!(again.task(&web.task)?["outcome"], "faulted", "{again}");
    classified(load)?;
    account.assert_clean(&[&web])
}

#[test]
fn a_killed_controllers_fault_is_removed_by_its_id_alone() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::open_with(&instance, &webs, harsh())?;
    let loads: Vec<_> = webs.iter().map(|web| web.load()).collect();
    let run = account.run(600)?.env("EXPERIMENT_ID", "orphan").start()?;
    loads.iter().try_for_each(|load| load.await_faults(5).map(drop)).with_context(|| run.stderr())?;
    drop(run);

    let remove = || Ok::<_, anyhow::Error>(account.ctl("remove")?.without("CLUSTER_NAME"));
    let ended = remove()?.env("EXPERIMENT_ID", "orphan").finish()?.exits(0)?;
    let report = ended.report()?;
    assert_eq!(report["hosts"].as_array().map(Vec::len), Some(2), "{report}");
    for host in 0..2 {
        assert_eq!(report["hosts"][host]["removed"][0]["how"], "ended", "{report}");
    }
    loads.iter().try_for_each(|load| load.await_real(10).map(drop))?;
    for load in loads {
        classified(load)?;
    }
    account.assert_clean(&webs)?;
    remove()?.env("EXPERIMENT_ID", "orphan").finish()?.exits(0).map(drop)
}
