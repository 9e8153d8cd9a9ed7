//! Each exit code by running the program, and what the report says with it.

use std::{
    fs::File,
    io::{Read, Write},
};

use httpfault_simulator::{PingStatus, Status, World};
use nix::pty::openpty;

use crate::support::{Site, bare, finish, host, start};

#[test]
fn zero_when_every_task_was_faulted_and_both_ends_were_proved() {
    let site = Site::new(World::fleet(2, 2));
    let report = finish(&mut site.on_service("run")).exits(0).json();
    assert_eq!(report["exit"], 0);
    let tasks = report["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 4);
    for task in tasks {
        assert_eq!(task["outcome"], "faulted", "{task}");
        assert_eq!(task["counters"]["faulted"], 7);
        assert_eq!((&task["verified_on"], &task["verified_off"]), (&true.into(), &true.into()), "{task}");
        assert!(task["injected_at"].is_string() && task["removed_at"].is_string(), "{task}");
    }
    // One agent per host serves both of its tasks, and both hosts got their part in one command.
    assert_eq!(site.specs().len(), 2);
    assert!(site.specs().iter().all(|spec| spec["targets"].as_array().unwrap().len() == 2));
    assert_eq!(site.commands("inject").len(), 1);
    site.assert_clean();
}

#[test]
fn one_when_nothing_could_be_put_on() {
    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "refuse");
    let done = finish(&mut site.on_service("run")).exits(1);
    assert_eq!(done.json()["tasks"][0]["error"]["problem"], "nobody listens");
    assert_eq!(done.json()["left_behind"].as_array().unwrap().len(), 0);
}

#[test]
fn two_when_one_host_of_two_failed() {
    let site = Site::new(World::fleet(2, 1));
    site.mode(&host(1), "refuse");
    let report = finish(&mut site.on_service("run")).exits(2).json();
    let outcomes: Vec<_> =
        report["tasks"].as_array().unwrap().iter().map(|task| task["outcome"].clone()).collect();
    assert!(outcomes.contains(&"faulted".into()) && outcomes.contains(&"failed".into()), "{report}");
}

/// It was told to inject, and nothing was heard of it since: the fault may be on.
#[test]
fn three_when_a_host_fell_silent_before_the_fault_was_seen_on() {
    let site = Site::new(World::fleet(1, 1));
    let mut ctl = site.on_service("run");
    ctl.env("TOTAL_CHAOS_DURATION", "3").env("HTTPFAULT_ANSWER_SECS", "2");
    // Long enough for the host to go before the first look.
    let run = start(ctl.env("HTTPFAULT_POLL_MS", "3000"));
    site.await_command("inject", |command| {
        command.invocations.iter().any(|invocation| invocation.status == Status::InProgress)
    });
    site.simulator.edit(|world| world.ping(&host(0), PingStatus::ConnectionLost));
    let done = run.ended().exits(3).says("LEFT BEHIND").says("ConnectionLost");
    let left = done.json()["left_behind"].to_string();
    assert!(left.contains(&host(0)) && left.contains("httpfault-ctl remove"), "{left}");
}

#[test]
fn two_when_no_request_came() {
    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "quiet");
    let done = finish(&mut site.on_service("run")).exits(2).says("no request was faulted");
    assert_eq!(done.json()["tasks"][0]["outcome"], "no_traffic");
}

#[test]
fn three_when_the_fault_can_not_be_removed() {
    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "stays");
    let done = finish(&mut site.on_service("run")).exits(3).says("LEFT BEHIND");
    let left = &done.json()["left_behind"][0];
    assert!(left["what"].as_str().unwrap().contains(&host(0)), "{left}");
    assert!(
        left["remove_with"].as_str().unwrap().starts_with("httpfault-ctl remove --experiment-id "),
        "{left}"
    );
}

#[test]
fn three_when_an_agent_could_not_undo_everything_and_remove_could_not_either() {
    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "filters");
    let report = finish(&mut site.on_service("run")).exits(3).json();
    assert!(
        report["left_behind"][0]["what"].as_str().unwrap().starts_with("a TC filter on instance i-"),
        "{report}"
    );

    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "filter");
    finish(&mut site.on_service("run")).exits(0).says("still on at 1 host(s); removing it");
}

#[test]
fn a_fault_that_stays_is_removed_and_proved() {
    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "leaves");
    finish(&mut site.on_service("run")).exits(0).says("still on at 1 host(s); removing it");
    site.assert_clean();
}

#[test]
fn sixty_four_for_wrong_input_before_any_call() {
    let site = Site::new(World::fleet(1, 1));
    finish(site.on_service("run").env("STATUS_CODE", "99")).exits(64).says("STATUS_CODE");
    assert_eq!(site.simulator.calls().len(), 0);
    finish(bare("run").arg("--no-such-flag")).exits(64);
    finish(&mut bare("nonsense")).exits(64);
}

#[test]
fn a_task_that_goes_away_is_a_warning_with_its_replacement() {
    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "gone");
    let task = site.simulator.world().clusters[0].tasks[0].id.clone();
    let new = site.simulator.edit(|world| {
        let old = world.clusters[0].tasks[0].clone();
        let new = world.replace_task(&task).unwrap();
        // It is still there when the run begins, and its successor already shows.
        *world.task_mut(&task).unwrap() = old;
        // A second may end before the run begins.
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(1);
        world.task_mut(&new).unwrap().created_at = later;
        new
    });
    let done = finish(
        site.ctl("run")
            .env("TASK_REPLICA_ID", &task)
            .env("TOTAL_CHAOS_DURATION", "2")
            .env("HTTPFAULT_OUTPUT", "json"),
    );
    let report = done.exits(0).says("went away").json();
    assert_eq!(report["tasks"][0]["outcome"], "target_gone");
    let replaced_by = &report["tasks"][0]["replaced_by"];
    assert_eq!((replaced_by.as_array().map(Vec::len), &replaced_by[0]["task"]), (Some(1), &new.into()));
}

#[test]
fn serial_gives_each_task_the_whole_time_in_turn() {
    let site = Site::new(World::fleet(1, 2));
    let done = finish(site.on_service("run").env("SEQUENCE", "serial")).exits(0).says("6 s in all");
    // Each window speaks of its own tasks.
    assert!(
        done.stderr.contains("1 task(s) faulted") && !done.stderr.contains("2 task(s) faulted"),
        "{done}"
    );
    let report = done.json();
    let times = |index: usize, what: &str| report["tasks"][index][what].as_str().unwrap().to_owned();
    assert!(times(0, "removed_at") <= times(1, "injected_at"), "{report}");
    assert_eq!(site.commands("inject").len(), 2);
    assert!(site.specs().iter().all(|spec| spec["targets"].as_array().unwrap().len() == 1));
}

#[test]
fn serial_stops_when_something_can_not_be_removed() {
    let site = Site::new(World::fleet(1, 2));
    site.mode(&host(0), "stays");
    let report = finish(site.on_service("run").env("SEQUENCE", "serial").env("TOTAL_CHAOS_DURATION", "1"))
        .exits(3)
        .json();
    assert_eq!(report["tasks"][1]["outcome"], "not_tried", "{report}");
    assert_eq!(report["left_behind"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(site.commands("inject").len(), 1);
}

#[test]
fn ramp_time_is_waited_before_and_after() {
    let site = Site::new(World::fleet(1, 1));
    let begin = std::time::Instant::now();
    finish(site.on_service("run").env("RAMP_TIME", "1").env("TOTAL_CHAOS_DURATION", "3"))
        .exits(0)
        .says("waiting 1 s before")
        .says("waiting 1 s after");
    assert!(begin.elapsed().as_secs() >= 2);
}

#[test]
fn a_service_behind_a_load_balancer_is_warned_about() {
    let site = Site::new(World::fleet(1, 1));
    site.simulator.edit(|world| {
        let service = world.clusters[0].services[0].clone();
        world.clusters[0].services[0] =
            service.target_group("arn:aws:elasticloadbalancing:x:1:targetgroup/web/1", "web", 80);
    });
    finish(&mut site.on_service("plan")).exits(0).says("target group");
    finish(site.on_service("run").env("HTTPFAULT_YES", "true")).exits(0).says("target group");
    let mild = finish(site.on_service("plan").env("STATUS_CODE", "404")).exits(0);
    assert_eq!(mild.json()["danger"], serde_json::Value::Null);
}

#[test]
fn at_a_terminal_a_person_is_asked_before_a_whole_service_is_taken() {
    for (typed, yes, code) in [("n\n", false, 1), ("y\n", false, 0), ("", true, 0)] {
        let site = Site::new(World::fleet(1, 1));
        site.simulator.edit(|world| {
            let service = world.clusters[0].services[0].clone();
            world.clusters[0].services[0] =
                service.target_group("arn:aws:elasticloadbalancing:x:1:targetgroup/web/1", "web", 80);
        });
        let terminal = openpty(None, None).unwrap();
        let (near, far) = (File::from(terminal.master), File::from(terminal.slave));
        let mut ctl = site.on_service("run");
        ctl.stdin(far.try_clone().unwrap()).stderr(far);
        if yes {
            ctl.arg("--yes");
        }
        let run = start(&mut ctl);
        drop(ctl);
        // Read until the other side is closed, which is an error here.
        let (mut reader, mut writer) = (near.try_clone().unwrap(), near);
        let screen = std::thread::spawn(move || {
            let mut screen = Vec::new();
            let _closed = reader.read_to_end(&mut screen);
            String::from_utf8_lossy(&screen).into_owned()
        });
        writer.write_all(typed.as_bytes()).unwrap();
        let done = run.ended();
        let screen = screen.join().unwrap();
        assert_eq!(done.code, code, "{done}{screen}");
        assert_eq!(screen.contains("Proceed? [y/N]"), !yes, "{screen}");
        assert_eq!(site.simulator.count("SendCommand") > 0, code == 0);
    }
}

#[test]
fn a_long_report_is_read_whole() {
    let site = Site::new(World::fleet(1, 30));
    let report = finish(&mut site.on_service("run")).exits(0).json();
    let tasks = report["tasks"].as_array().unwrap();
    assert_eq!(tasks.iter().filter(|task| task["counters"]["faulted"] == 7).count(), 30, "{report}");
    assert!(site.simulator.count("GetCommandInvocation") > 0, "2,500 characters were enough?");
}

/// SSM shows 24,000 characters of an output, and a hundred targets are more.
#[test]
fn a_hundred_tasks_on_a_host_are_all_in_the_report() {
    let site = Site::new(World::fleet(1, 100));
    let report = finish(site.on_service("run").env("TOTAL_CHAOS_DURATION", "8")).exits(0).json();
    let tasks = report["tasks"].as_array().unwrap();
    let whole =
        |task: &&serde_json::Value| task["counters"]["faulted"] == 7 && task["removed_at"].is_string();
    assert_eq!(tasks.iter().filter(whole).count(), 100, "{report}");
    let longest =
        site.commands("inject").iter().flat_map(|one| &one.invocations).map(|one| one.stdout.len()).max();
    assert!(longest < Some(24_000), "{longest:?}");
}
