//! Experiments on a bad day: AWS throttles, loses, denies; hosts, agents and tasks go away in the middle.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_simulator::{AfterCall, PingStatus, Timing};
use httpfault_tests::{
    docker::Instance,
    experiment::{Account, PATIENCE, Running, Web, classified, host},
    load::Outcome,
    wait,
    wire::{Connection, Response},
};
use nix::sys::signal::{Signal, kill};

fn await_status(run: &Running, web: &Web<'_>, status: u16) -> Result<()> {
    let seen = || Ok(web.get("/")?.status == status);
    let waited = wait::until(&format!("status {status}"), PATIENCE, seen);
    waited.map(drop).with_context(|| run.stderr())
}

#[test]
fn every_api_gives_one_call_a_second() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    account.simulator.faults(|faults| {
        for action in [
            "DescribeTasks",
            "DescribeInstanceInformation",
            "SendCommand",
            "ListCommandInvocations",
            "GetCommandInvocation",
        ] {
            faults.throttle(action, 1.0, 1);
        }
    });
    let load = web.load();
    let ended = account.run(15)?.env("HTTPFAULT_POLL_MS", "700").finish()?;
    // At that rate a look may come when the fault is over; then the report says that nobody saw it on.
    let verified = ended.task(&web.task)?["verified_on"] == true;
    let ended = ended.exits(if verified { 0 } else { 2 })?;
    assert_eq!(ended.task(&web.task)?["outcome"], "faulted", "{ended}");
    assert_eq!(ended.task(&web.task)?["verified_off"], true, "{ended}");
    let (tally, faults, _) = classified(load)?;
    assert_eq!(ended.task(&web.task)?["counters"]["faulted"], faults, "{ended}");
    let first = tally.first(Outcome::Fault).context("no fault")?;
    let held = tally.last(Outcome::Fault).context("no fault")?.duration_since(first);
    assert!((12..=18).contains(&held.as_secs()), "on for {held:?}: throttling changes no duration");
    let calls = account.simulator.calls();
    assert!(
        calls.iter().any(|call| call.error_code() == Some("ThrottlingException")),
        "nothing was throttled"
    );
    account.assert_clean(&[&web])
}

#[test]
fn every_command_is_carried_out_and_its_answer_lost() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    account.simulator.faults(|faults| {
        for what in [AfterCall::InternalServerError, AfterCall::DropConnection].into_iter().cycle().take(12) {
            faults.after_next("SendCommand", what);
        }
    });
    let loads = [web.load()];
    let run = account.run(600)?.start()?;
    let ended = account.end_when_seen(run, &loads, &account.hosts())?.exits(0)?;
    let [load] = loads;
    let (_, faults, _) = classified(load)?;
    assert_eq!(ended.task(&web.task)?["counters"]["faulted"], faults, "{ended}");
    assert_eq!(account.commands("inject").len(), 1, "the fault was sent again");
    account.assert_clean(&[&web])
}

/// At least once delivery: the second agent finds the first and changes nothing.
#[test]
fn every_command_runs_twice() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    account.simulator.faults(|faults| faults.run_next_commands_twice(50));
    let load = web.load();
    let ended = account.run(8)?.finish()?;
    let (tally, faults, _) = classified(load)?;
    assert!(faults > 0, "{}", tally.summary());
    assert_eq!(ended.task(&web.task)?["outcome"], "faulted", "{ended}");
    account.assert_real(&[&web])?;
    account.assert_clean(&[&web])?;
    ended.exits(0).map(drop)
}

#[test]
fn the_fault_is_lost_on_its_way_to_the_host() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    // A delivery of a minute is over in a second.
    let timing = Timing { delivery_second: Duration::from_millis(10), ..Timing::default() };
    let account = Account::empty(&instance, &[&web], timing)?;
    account.install(&host(0))?;
    let load = web.load();
    let run = account.run(3)?.env("HTTPFAULT_POLL_MS", "700").start()?;
    account.await_commands("probe", 1, |command| command.status.is_final())?;
    account.simulator.faults(|faults| faults.lose_next_commands(1));
    let ended = run.ended()?.exits(1)?.says("Delivery Timed Out")?;
    assert_eq!(ended.report()?["left_behind"].as_array().map(Vec::len), Some(0), "{ended}");
    assert_eq!(classified(load)?.1, 0, "a fault without a command");
    account.assert_clean(&[&web])
}

#[test]
fn a_host_goes_offline_while_the_fault_is_on() -> Result<()> {
    let instance = Instance::take()?;
    let (lost, kept) = (Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?);
    let account = Account::open(&instance, &[&lost, &kept])?;
    let run = account.run(10)?.env("HTTPFAULT_ANSWER_SECS", "4").start()?;
    await_status(&run, &lost, 503)?;
    await_status(&run, &kept, 503)?;
    account.simulator.edit(|world| world.ping(&host(0), PingStatus::ConnectionLost));
    let ended = run.ended()?.exits(3)?.says("LEFT BEHIND")?.says("ConnectionLost")?;
    let report = ended.report()?;
    assert!(report["left_behind"].to_string().contains(&host(0)), "{report}");
    assert!(!report["left_behind"].to_string().contains(&host(1)), "only one host can't be asked: {report}");
    assert_eq!(ended.task(&kept.task)?["outcome"], "faulted", "{ended}");
    // Nobody could tell the agent anything, and it ended the fault.
    account.assert_real(&[&lost, &kept])?;
    account.assert_clean(&[&lost, &kept])?;

    account.simulator.edit(|world| world.ping(&host(0), PingStatus::Online));
    let recover = report["recover_with"].as_str().context("recover_with")?;
    let id = report["experiment_id"].as_str().context("experiment_id")?;
    assert_eq!(
        recover,
        format!("httpfault-ctl remove --experiment-id {id} --region eu-west-1 --cluster-name shop")
    );
    account.ctl("remove")?.env("EXPERIMENT_ID", id).finish()?.exits(0).map(drop)
}

#[test]
fn rights_are_taken_away_while_the_fault_is_on() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let run = account.run(600)?.start()?;
    await_status(&run, &web, 503)?;
    let looks = ["ListCommandInvocations", "GetCommandInvocation"];
    account.simulator.faults(|faults| looks.iter().for_each(|action| faults.deny(action)));
    let ended = run.ended()?.exits(3)?.says("AWS denied ssm:GetCommandInvocation")?;
    let report = ended.report()?;
    assert_eq!(report["left_behind"].as_array().map(Vec::len), Some(1), "{report}");

    account.simulator.faults(httpfault_simulator::Faults::clear);
    let id = report["experiment_id"].as_str().context("experiment_id")?;
    account.ctl("remove")?.env("EXPERIMENT_ID", id).finish()?.exits(0)?;
    account.assert_real(&[&web])?;
    account.assert_clean(&[&web])
}

#[test]
fn a_task_that_goes_away_is_a_warning_that_names_its_replacement() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    // Longer than a run may take to end: nobody waits for the deadline.
    let run = account.run(600)?.start()?;
    await_status(&run, &web, 503)?;
    let new = account.simulator.edit(|world| world.replace_task(&web.task)).context("no replacement")?;
    web.container.stop()?;
    let ended = run.ended()?.exits(0)?.says("went away")?;
    let task = ended.task(&web.task)?;
    let (outcome, by) = (&task["outcome"], &task["replaced_by"][0]["task"]);
    assert_eq!((outcome, by), (&"target_gone".into(), &new.into()), "{ended}");
    assert!(ended.report()?["warnings"].to_string().contains("its service started"), "{ended}");
    account.assert_clean(&[])
}

#[test]
fn an_agent_that_is_killed_gives_the_traffic_back_and_is_reported() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let run = account.run(600)?.start()?;
    await_status(&run, &web, 503)?;
    // Seen on by the controller too, so that the report knows that it was.
    account.await_commands("status", 1, |command| {
        command.invocations.iter().any(|invocation| invocation.stdout.contains("\"phase\":\"on\""))
    })?;
    kill(account.agent_on(&host(0))?, Signal::SIGKILL)?;
    // A connection that the agent holds at that very moment is lost with it.
    let real = || Ok(web.get("/").is_ok_and(|response| response.is_real()));
    wait::until("real traffic", PATIENCE, real)?;
    let ended = run.ended()?.exits(2)?.says("nothing left behind")?;
    assert_eq!(ended.task(&web.task)?["outcome"], "failed", "{ended}");
    account.assert_clean(&[&web])
}

/// Requests answered with the fault, and waits until the agent has kept their number.
fn faulted(account: &Account, web: &Web<'_>, id: &str, count: u64) -> Result<u64> {
    for _ in 0..count {
        assert_eq!(web.get("/")?.status, 503);
    }
    let kept = account.on_host(&host(0), &format!("/run/httpfault/.last-{id}"));
    // Those that waited for the fault are among them.
    let mut all = 0;
    wait::until("the last word", PATIENCE, || {
        let word: serde_json::Value =
            serde_json::from_slice(&fs::read(&kept).unwrap_or_default()).unwrap_or_default();
        all = word["targets"][0]["counters"]["faulted"].as_u64().unwrap_or(0);
        Ok(all > count)
    })?;
    assert_eq!(all, count + 1, "one request saw that the fault is on");
    Ok(all)
}

/// What came after the controller's last look is in the report nevertheless.
#[test]
fn a_killed_agents_counters_are_the_last_that_it_kept() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    // The next look at the counters is far away.
    let run = account.run(600)?.env("EXPERIMENT_ID", "killed").env("HTTPFAULT_POLL_MS", "2000").start()?;
    await_status(&run, &web, 503)?;
    account.await_commands("status", 1, |command| {
        command.invocations.iter().any(|invocation| invocation.stdout.contains("\"phase\":\"on\""))
    })?;
    let all = faulted(&account, &web, "killed", 30)?;
    kill(account.agent_on(&host(0))?, Signal::SIGKILL)?;
    let ended = run.ended()?.exits(2)?.says("its agent was killed")?;
    let task = ended.task(&web.task)?;
    assert_eq!((&task["counters"]["faulted"], &task["reason"]), (&all.into(), &"signal".into()), "{ended}");
    account.assert_clean(&[&web])
}

#[test]
fn a_cancelled_agents_counters_are_the_last_that_it_kept() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = harsh(&instance, &web)?;
    let run = account.run(600)?.env("EXPERIMENT_ID", "busy").env("HTTPFAULT_POLL_MS", "500").start()?;
    account.await_commands("probe", 1, |command| command.status.is_final())?;
    // With the fault's own command every worker is busy, so that `remove` waits until that is cancelled.
    let mut others = Vec::new();
    let free = || {
        others.extend(account.simulator.occupy(&host(0), 4));
        Ok(!others.is_empty())
    };
    wait::until("free workers", PATIENCE, free)?;
    await_status(&run, &web, 503)?;
    let all = faulted(&account, &web, "busy", 30)?;
    run.signal(Signal::SIGTERM)?;
    let ended = run.ended()?.exits(130)?;
    assert!(account.simulator.count("CancelCommand") > 0, "{ended}");
    let task = ended.task(&web.task)?;
    assert_eq!((&task["counters"]["faulted"], &task["reason"]), (&all.into(), &"signal".into()), "{ended}");
    assert_eq!((&task["outcome"], &task["verified_off"]), (&"faulted".into(), &true.into()), "{ended}");
    account.assert_clean(&[&web])
}

/// SSM has lost the output, and the agent went on to its deadline.
#[test]
fn the_report_of_a_lost_document_worker_is_read_from_the_host() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = harsh(&instance, &web)?;
    let load = web.load();
    // Over before SSM notices, here after 6 s.
    let run = account.run(4)?.env("HTTPFAULT_POLL_MS", "500").start()?;
    load.await_faults(1).with_context(|| run.stderr())?;
    account.simulator.kill_document_workers(&host(0));
    let ended = run.ended()?.exits(2)?.says("document process failed unexpectedly")?;
    let (_, faults, _) = classified(load)?;
    let task = ended.task(&web.task)?;
    assert_eq!(
        (&task["counters"]["faulted"], &task["reason"]),
        (&faults.into(), &"deadline".into()),
        "{ended}"
    );
    assert!(task["removed_at"].is_string(), "{ended}");
    account.assert_clean(&[&web])
}

/// An account whose hosts take their messages as the real SSM agent does, in a tenth of the time.
fn harsh(instance: &Instance, web: &Web<'_>) -> Result<Account> {
    Account::open_with(instance, &[web], Timing::harsh().scaled(0.1))
}

/// A client that gives up soon: connections that a stopped agent was given are never answered.
fn impatient(instance: &Instance, web: &Web<'_>) -> Result<Response> {
    instance.outside.run(|| {
        let mut connection = Connection::open(web.address)?;
        connection.patience(Duration::from_millis(300))?;
        Ok(connection.get("/")?)
    })
}

/// An agent that gets no time loses the leases of its targets, and says so when it goes on. What another agent has put on
/// is not touched.
#[test]
fn a_lease_that_lapses_ends_its_target_and_no_other() -> Result<()> {
    let instance = Instance::take()?;
    let (starved, kept) = (Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?);
    let account = Account::open(&instance, &[&starved, &kept])?;
    let run = account.run(20)?.start()?;
    await_status(&run, &starved, 503)?;
    await_status(&run, &kept, 503)?;
    let agent = account.agent_on(&host(0))?;
    kill(agent, Signal::SIGSTOP)?;
    let real = || Ok(impatient(&instance, &starved).is_ok_and(|response| response.is_real()));
    wait::until("real traffic", PATIENCE, real)?;
    kill(agent, Signal::SIGCONT)?;

    let ended = run.ended()?.exits(2)?.says("longer than its lease")?.says("nothing left behind")?;
    let lapsed = ended.task(&starved.task)?;
    assert_eq!((&lapsed["outcome"], &lapsed["reason"]), (&"failed".into(), &"lease".into()), "{ended}");
    let whole = ended.task(&kept.task)?;
    assert_eq!((&whole["outcome"], &whole["reason"]), (&"faulted".into(), &"deadline".into()), "{ended}");
    assert_eq!((&whole["verified_on"], &whole["verified_off"]), (&true.into(), &true.into()), "{ended}");
    account.assert_real(&[&starved, &kept])?;
    account.assert_clean(&[&starved, &kept])
}

/// The lease gives the traffic back; the controller ends what is left of the agent.
#[test]
fn an_agent_that_hangs_gives_the_traffic_back_and_is_removed() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let run = account.run(8)?.env("HTTPFAULT_ANSWER_SECS", "15").start()?;
    await_status(&run, &web, 503)?;
    kill(account.agent_on(&host(0))?, Signal::SIGSTOP)?;
    let begin = Instant::now();
    let real = || Ok(impatient(&instance, &web).is_ok_and(|response| response.is_real()));
    wait::until("real traffic", Duration::from_secs(8), real)?;
    assert!(begin.elapsed() < Duration::from_secs(6), "the lease took {:?}", begin.elapsed());
    let ended = run.ended()?;
    assert_ne!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.report()?["left_behind"].as_array().map(Vec::len), Some(0), "{ended}");
    account.assert_real(&[&web])?;
    account.assert_clean(&[&web])
}

#[test]
fn a_host_reboots_while_the_fault_is_on() -> Result<()> {
    let instance = Instance::take()?;
    let (rebooted, other) = (Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?);
    let account = Account::open(&instance, &[&rebooted, &other])?;
    let run = account.run(20)?.start()?;
    await_status(&run, &rebooted, 503)?;
    await_status(&run, &other, 503)?;
    account.simulator.reboot(&host(0));
    // As above: the agent is killed.
    let real = || Ok(rebooted.get("/").is_ok_and(|response| response.is_real()));
    wait::until("real traffic", PATIENCE, real)?;
    assert_eq!(other.get("/")?.status, 503, "the other host keeps its fault");
    let ended = run.ended()?.exits(2)?;
    assert_eq!(ended.task(&other.task)?["outcome"], "faulted", "{ended}");
    assert_eq!(ended.report()?["left_behind"].as_array().map(Vec::len), Some(0), "{ended}");
    account.assert_clean(&[&rebooted, &other])
}
