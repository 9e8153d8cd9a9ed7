//! What ends a run early: it says by what, ends with 2, and everything is taken off and proved.

use httpfault_simulator::World;
use serde_json::{Value, json};

use crate::{
    application::{Application, faulted},
    support::{Site, finish, host, start},
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
