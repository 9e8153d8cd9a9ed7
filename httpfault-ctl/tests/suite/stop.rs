//! What ends a run early: it says by what, ends with 2, and everything is taken off and proved.

use httpfault_simulator::{Alarm, AlarmState, Policy, User, World};
use serde_json::{Value, json};

use crate::{
    application::{Application, faulted},
    support::{Site, bare, finish, host, start},
};

/// A run that would go on for ten minutes.
fn long(site: &Site) -> std::process::Command {
    let mut ctl = site.on_service("run");
    ctl.env("TOTAL_CHAOS_DURATION", "600");
    ctl
}

#[track_caller]
fn assert_stopped(site: &Site, report: &Value, by: &str, what: &str) {
    assert_eq!((&report["exit"], &report["stopped"]["by"]), (&json!(2), &json!(by)), "{report}");
    assert!(report["stopped"]["what"].as_str().unwrap().contains(what), "{report}");
    assert_eq!((&report["left_behind"], &report["aborted"]), (&json!([]), &json!(false)), "{report}");
    for task in report["tasks"].as_array().unwrap() {
        assert_eq!((&task["reason"], &task["verified_off"]), (&json!("request"), &json!(true)), "{report}");
    }
    site.assert_clean();
}

#[test]
fn a_probe_that_fails_too_often_in_a_row_ends_the_run() {
    let site = Site::new(World::fleet(2, 1));
    let on = faulted(&site, &host(0));
    let application = Application::start(move |_| (if on() { 503 } else { 200 }, String::new()));
    let mut ctl = long(&site);
    ctl.env("PROBE_URL", application.url("/")).env("PROBE_INTERVAL", "100ms").env("PROBE_STOP_AFTER", "3");
    let done = finish(&mut ctl).exits(2).says("the run is stopped: probe probe failed 3 time(s) in a row");
    let done = done.says("stopped, nothing left behind");
    let report = done.json();
    assert_stopped(&site, &report, "probe", "probe probe failed 3 time(s) in a row (PROBE_STOP_AFTER)");
}

#[test]
fn a_file_that_appears_ends_the_run() {
    let site = Site::new(World::fleet(2, 1));
    let file = site.files.path().join("stop");
    let run = start(long(&site).env("STOP_FILE", &file));
    site.await_on(2);
    std::fs::write(&file, "").unwrap();
    let report = run.ended().exits(2).json();
    assert_stopped(&site, &report, "file", "stop appeared (STOP_FILE)");
}

#[test]
fn a_file_that_is_there_already_keeps_the_run_from_beginning() {
    let site = Site::new(World::fleet(1, 1));
    let file = site.files.path().join("stop");
    std::fs::write(&file, "").unwrap();
    finish(site.on_service("run").env("STOP_FILE", &file))
        .exits(1)
        .says("STOP_FILE: ")
        .says("stop is there already; remove it to run");
    assert_eq!(site.simulator.calls().len(), 0);
}

#[test]
fn one_when_it_was_stopped_before_the_fault_was_on() {
    let site = Site::new(World::fleet(1, 1));
    let file = site.files.path().join("stop");
    let run = start(site.on_service("run").env("RAMP_TIME", "600").env("STOP_FILE", &file));
    site.await_command("install", |command| command.status.is_final());
    std::fs::write(&file, "").unwrap();
    let done = run.ended().exits(1).says("stopped before the fault was on, nothing left behind");
    assert_eq!(done.json()["stopped"]["by"], "file");
    assert!(site.commands("inject").is_empty() && site.commands("remove").is_empty());
}

/// An alarm on a metric and one on others, both OK.
fn alarmed() -> Site {
    Site::new(World::fleet(2, 1).alarm(Alarm::new("errors, 5xx")).alarm(Alarm::new("all").composite()))
}

const BOTH: &str = "[\"errors, 5xx\", \"all\"]";

#[test]
fn an_alarm_ends_the_run() {
    for name in ["errors, 5xx", "all"] {
        let site = alarmed();
        let run = start(long(&site).env("STOP_ALARMS", BOTH));
        site.await_on(2);
        site.simulator.edit(|world| world.set_alarm(name, AlarmState::Alarm));
        let done = run.ended().exits(2).says(&format!("the run is stopped: alarm {name} is in ALARM"));
        assert_stopped(&site, &done.json(), "alarm", "Threshold Crossed: 1 datapoint [42.0]");
    }
}

/// What can't be seen any more can't stop the run: that stops it.
#[test]
fn alarms_that_can_not_be_read_any_more_end_the_run() {
    let site = alarmed();
    let run = start(long(&site).env("STOP_ALARMS", BOTH));
    site.await_on(2);
    site.simulator.faults(|faults| faults.deny("DescribeAlarms"));
    let done = run.ended().exits(2).says("AWS denied cloudwatch:DescribeAlarms");
    assert_stopped(&site, &done.json(), "alarm", "STOP_ALARMS can no longer be read");

    let site = alarmed();
    let run = start(long(&site).env("STOP_ALARMS", BOTH));
    site.await_on(2);
    site.simulator.edit(|world| world.alarms.truncate(1));
    let done = run.ended().exits(2);
    assert_stopped(&site, &done.json(), "alarm", "alarm all no longer exists");
}

#[test]
fn alarms_that_are_on_already_and_unknown_ones_are_refused() {
    let site = alarmed();
    site.simulator.edit(|world| world.set_alarm("all", AlarmState::Alarm));
    for command in ["plan", "run"] {
        finish(site.on_service(command).env("STOP_ALARMS", "[\"errors, 5xx\", \"all\", \"absent\"]"))
            .exits(1)
            .says("STOP_ALARMS all: it is in ALARM already: Threshold Crossed")
            .says("STOP_ALARMS absent: there is no such alarm in this region and account; correct its name");
    }
    assert_eq!(site.simulator.count("SendCommand"), 0);
    finish(site.on_service("run").env("STOP_ALARMS", "arn:aws:cloudwatch:x:1:alarm:all"))
        .exits(64)
        .says("names of alarms in REGION, not ARNs");
    // An alarm that can't be told is not on.
    site.simulator.edit(|world| {
        world.set_alarm("all", AlarmState::InsufficientData);
    });
    let before = site.simulator.calls().len();
    let plan = finish(site.on_service("plan").env("STOP_ALARMS", "all")).exits(0).json();
    assert_eq!(plan["api_calls"]["resolve"], site.simulator.calls().len() - before);
    finish(site.on_service("run").env("STOP_ALARMS", "all")).exits(0);
}

#[test]
fn the_policy_has_the_right_where_alarms_are_read() {
    let policy = |more: &[(&str, &str)]| finish(bare("policy").envs(more.iter().copied())).exits(0).stdout;
    let right = "cloudwatch:DescribeAlarms";
    assert!(!policy(&[]).contains(right) && policy(&[("STOP_ALARMS", "all")]).contains(right));
    let user = User::new("chaos", "AKIDCHAOS0000000000A", "secret");
    let allowed =
        user.policy(Policy::parse(&policy(&[("STOP_ALARMS", "all"), ("CLUSTER_NAME", "shop")])).unwrap());
    let site = Site::new(World::fleet(1, 1).alarm(Alarm::new("all").composite()).user(allowed));
    finish(site.on_service("run").env("STOP_ALARMS", "all")).exits(0);
}
