//! Hosts whose SSM agent is busy with what others sent, and takes its messages as the real one does.

use std::time::{Duration, Instant};

use httpfault_simulator::{Occupied, World};
use nix::sys::signal::Signal;

use crate::support::{PATIENCE, Running, STUB, Site, finish, host, start};

fn harsh(world: World) -> Site {
    let site = Site::harsh(world);
    site.install();
    site
}

fn occupy(site: &Site, workers: u32) -> Vec<Occupied> {
    let hosts = site.simulator.world().managed_instances;
    let mut taken = Vec::new();
    for one in &hosts {
        // A worker is free only some time after its command shows as ended.
        site.eventually("enough workers are free", || {
            taken.extend(site.simulator.occupy(&one.id, workers));
            taken.len() == hosts.iter().position(|other| other.id == one.id).unwrap() + 1
        });
    }
    taken
}

/// A run that waits for answers much longer than anything here takes.
fn long(site: &Site) -> Running {
    let mut ctl = site.on_service("run");
    ctl.env("TOTAL_CHAOS_DURATION", "600").env("HTTPFAULT_ANSWER_SECS", "300");
    start(&mut ctl)
}

fn await_started(site: &Site) {
    site.await_command("inject", |command| command.invocations.iter().all(|one| one.started));
    let hosts = site.simulator.world().managed_instances;
    let on = || {
        hosts.iter().all(|one| {
            std::fs::read_dir(site.on_host(&one.id, "/run/httpfault")).is_ok_and(|dir| dir.count() > 0)
        })
    };
    site.eventually("the agents run", on);
}

/// Short commands of this program that a host has not answered, most at any host.
fn piled_up(site: &Site) -> usize {
    let commands = site.simulator.commands();
    let short =
        commands.iter().filter(|one| one.comment.contains(" status ") || one.comment.contains(" remove "));
    let mut open = std::collections::BTreeMap::new();
    for invocation in short.flat_map(|command| &command.invocations).filter(|one| !one.status.is_final()) {
        *open.entry(invocation.instance_id.clone()).or_insert(0) += 1;
    }
    open.into_values().max().unwrap_or(0)
}

#[test]
fn an_abort_does_not_wait_behind_its_own_command() {
    let site = harsh(World::fleet(2, 1));
    // The fault takes the last of the five.
    let _others = occupy(&site, 4);
    let run = long(&site);
    await_started(&site);
    let begin = Instant::now();
    run.signal(Signal::SIGTERM);
    let done = run.ended().exits(130);
    assert!(begin.elapsed() < Duration::from_secs(150), "it waited for an answer: {:?}", begin.elapsed());
    assert!(site.simulator.count("CancelCommand") > 0, "{done}");
    for task in done.json()["tasks"].as_array().unwrap() {
        assert_eq!((&task["reason"], &task["verified_off"]), (&"signal".into(), &true.into()), "{done}");
    }
    assert!(piled_up(&site) <= 1);
    site.assert_clean();
}

#[test]
fn a_fault_that_nobody_could_look_at_is_not_done_and_verified() {
    let site = harsh(World::fleet(1, 1));
    site.mode(&host(0), "unwatched");
    let _others = occupy(&site, 4);
    let mut ctl = site.on_service("run");
    ctl.env("TOTAL_CHAOS_DURATION", "4");
    let done = finish(&mut ctl).exits(2).says("was not seen on by a second command");
    let task = &done.json()["tasks"][0];
    assert_eq!(
        (&task["outcome"], &task["verified_on"], &task["verified_off"]),
        (&"faulted".into(), &false.into(), &true.into()),
        "{done}"
    );
}

/// It counts from when hosts were told, not from when a second command has seen the fault.
#[test]
fn the_time_left_is_what_the_hosts_have() {
    let site = harsh(World::fleet(1, 1));
    let done =
        finish(site.on_service("run").env("TOTAL_CHAOS_DURATION", "4").env("HTTPFAULT_POLL_MS", "1500"));
    assert!(done.stderr.contains(" s left"), "{done}");
    // To see it on takes more than a second: the first look waits for 0.6 s, its answer for as long.
    assert!(!done.stderr.contains(" 4 s left") && !done.stderr.contains(" 3 s left"), "{done}");
}

/// The fault's own command ends first.
#[test]
fn a_look_that_is_answered_after_the_end_has_seen_the_fault() {
    let site = harsh(World::fleet(1, 1));
    let look = "    printf ']}\\n'\n    ;;\nremove)";
    assert!(STUB.contains(look));
    site.agent(&STUB.replace(look, "    printf ']}\\n'\n    sleep 6\n    ;;\nremove)"));
    site.install();
    let done = finish(&mut site.on_service("run")).exits(0);
    assert_eq!(done.json()["tasks"][0]["verified_on"], true, "{done}");
}

#[test]
fn looks_do_not_pile_up_on_a_busy_host() {
    let site = harsh(World::fleet(1, 1));
    let others = occupy(&site, 4);
    let mut ctl = site.on_service("run");
    ctl.env("TOTAL_CHAOS_DURATION", "600").env("HTTPFAULT_POLL_MS", "150").env("HTTPFAULT_ANSWER_SECS", "5");
    let run = start(&mut ctl);
    await_started(&site);
    // Until a look was given up, and then some.
    let looks = site.simulator.count("ListCommandInvocations");
    let enough = site.simulator.wait_for_calls(PATIENCE, |calls| {
        (calls.iter().filter(|call| call.action == "ListCommandInvocations").count() > looks + 60)
            .then_some(())
    });
    assert!(enough.is_some());
    assert!(piled_up(&site) <= 1, "{} commands wait at the host", piled_up(&site));
    drop(others);
    run.signal(Signal::SIGTERM);
    // It waits for answers so shortly that a busy machine may not give them in time.
    let done = run.ended();
    assert!([130, 3].contains(&done.code), "{done}");
    finish(&mut site.ctl("remove")).exits(0);
    site.assert_clean();
}

#[test]
fn remove_cancels_a_fault_that_stands_in_its_way() {
    let site = harsh(World::fleet(2, 1));
    let _others = occupy(&site, 4);
    let mut ctl = site.on_service("run");
    let run = start(ctl.env("TOTAL_CHAOS_DURATION", "600").env("EXPERIMENT_ID", "orphan"));
    await_started(&site);
    drop(run);
    let mut ctl = site.ctl("remove");
    ctl.env_remove("CLUSTER_NAME").env("EXPERIMENT_ID", "orphan");
    finish(&mut ctl).exits(0).says("cancelling");
    assert!(site.simulator.count("CancelCommand") > 0);
    site.assert_clean();
}

#[test]
fn remove_is_honest_where_nobody_answers() {
    let site = harsh(World::fleet(1, 1));
    let _others = occupy(&site, 4);
    let mut ctl = site.on_service("run");
    let run = start(ctl.env("TOTAL_CHAOS_DURATION", "600").env("EXPERIMENT_ID", "orphan"));
    await_started(&site);
    drop(run);
    site.simulator.faults(|faults| faults.stop_agent(&host(0)));
    let mut ctl = site.ctl("remove");
    ctl.env("EXPERIMENT_ID", "orphan").env("HTTPFAULT_ANSWER_SECS", "4");
    finish(&mut ctl).exits(3).says(&host(0));
    assert!(site.simulator.count("CancelCommand") > 0, "it did not even try");
}

#[test]
fn a_lost_document_worker_is_told_in_its_own_words() {
    let site = harsh(World::fleet(1, 1));
    let run = start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "4"));
    site.await_on(1);
    site.simulator.kill_document_workers(&host(0));
    let done = run.ended().exits(2).says("document process failed unexpectedly");
    // What was seen last, and when that was.
    let task = &done.json()["tasks"][0];
    assert_eq!(task["counters"]["faulted"], 3, "{done}");
    assert!(task["counters_at"].is_string(), "{done}");
    done.says("the counters are of");
}

#[test]
fn a_fault_that_was_never_on_is_not_said_to_be() {
    let site = harsh(World::fleet(1, 1));
    let run = || {
        let mut ctl = site.on_service("run");
        ctl.env("TOTAL_CHAOS_DURATION", "2")
            .env("HTTPFAULT_POLL_MS", "1000")
            .env("HTTPFAULT_ANSWER_SECS", "4");
        start(&mut ctl)
    };
    let begun = run();
    site.await_command("probe", |command| command.status.is_final());
    let others = occupy(&site, 5);
    let done = begun.ended();
    // What waits behind others may still begin.
    assert_eq!(done.code, 3, "{done}");
    assert!(!done.stderr.contains("1 task(s) faulted"), "{done}");
    drop(others);

    let _others = occupy(&site, 5);
    let done = run().ended().exits(1).says("SSM agent runs five at once");
    assert!(!done.stderr.contains("AGENT_DELIVERY"), "{done}");
}
