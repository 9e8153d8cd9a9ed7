//! `--report`: the same run as files, for people and for CI, wherever it ends.

use std::{fs, path::Path};

use httpfault_simulator::World;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    application::{Application, faulted},
    support::{STUB, Site, finish, host, start},
};

const FILES: [&str; 5] = ["junit.xml", "report.html", "report.json", "report.md", "timeline.svg"];

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}

#[test]
fn a_report_is_a_page_a_text_a_picture_and_a_file_for_ci() {
    let site = Site::new(World::fleet(2, 2));
    let directory = site.files.path().join("out/report");
    let mut ctl = site.on_service("run");
    let done = finish(ctl.env("REPORT_DIR", &directory).env("SEED", "7")).exits(0).says("report.html");

    assert_eq!(names(&directory), FILES);
    let document: Value = serde_json::from_str(&read(&directory, "report.json")).unwrap();
    assert_eq!(document, done.json(), "the printed document and the file are the same");
    let histories = document["histories"].as_array().unwrap();
    assert_eq!(histories.len(), 2, "{document}");
    assert_eq!(
        (&histories[0]["step_ms"], &histories[0]["faulted"]),
        (&1000.into(), &serde_json::json!([2, 4, 1]))
    );
    let page = read(&directory, "report.html");
    for part in
        ["done and verified", "<svg class=\"picture\"", "prefers-color-scheme:dark", "--seed 7", &host(0)]
    {
        assert!(page.contains(part), "no {part} in {page}");
    }
    for outside in ["<script", "<link", "<img", "src=", "@import"] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
    let text = read(&directory, "report.md");
    assert!(text.contains("**done and verified**") && text.contains("![Timeline](timeline.svg)"), "{text}");
    let junit = read(&directory, "junit.xml");
    assert!(junit.contains("tests=\"6\"") && junit.contains("failures=\"0\" errors=\"0\""), "{junit}");
}

#[test]
fn what_probes_saw_is_in_it() {
    let site = Site::new(World::fleet(1, 1));
    site.exact(&host(0));
    let on = faulted(&site, &host(0));
    let application = Application::start(move |_| (if on() { 503 } else { 200 }, String::new()));
    let directory = site.files.path().join("report");
    let mut ctl = site.on_service("run");
    ctl.env("REPORT_DIR", &directory).env("PROBE_INTERVAL", "100ms").env("RAMP_TIME", "1");
    let url = application.url("/?key=secret");
    let done = finish(ctl.env("PROBE_URL", url).env("PROBE_HEADERS", "Authorization: secret")).exits(2);
    let (page, picture) = (read(&directory, "report.html"), read(&directory, "timeline.svg"));
    assert!(page.contains("Steady state") && page.contains("the steady state did not hold"), "{done}");
    assert!(picture.contains("class=\"held\"") && picture.contains("class=\"failed\""), "{picture}");
    let junit = read(&directory, "junit.xml");
    assert!(junit.contains("failures=\"1\" errors=\"0\""), "{junit}");
    for name in FILES {
        assert!(!read(&directory, name).contains("secret"), "{name}");
    }
}

/// An abort is when people need it, and the same goes for a task that got nothing.
#[test]
fn it_is_written_wherever_the_run_ends() {
    let site = Site::new(World::fleet(1, 1));
    let directory = site.files.path().join("report");
    let run = start(site.on_service("run").env("REPORT_DIR", &directory).env("TOTAL_CHAOS_DURATION", "600"));
    site.await_on(1);
    run.signal(Signal::SIGTERM);
    run.ended().exits(130);
    assert_eq!(names(&directory), FILES);
    assert!(read(&directory, "report.html").contains("aborted and cleaned up"));
    assert!(read(&directory, "junit.xml").contains("errors=\"1\""));

    // The next one takes its place. Nothing was faulted, so there is nothing to draw but when it was on.
    site.mode(&host(0), "quiet");
    finish(site.on_service("run").env("REPORT_DIR", &directory)).exits(2);
    assert_eq!(names(&directory), FILES);
    assert!(read(&directory, "report.md").contains("no request was faulted"));
    let junit = read(&directory, "junit.xml");
    assert!(junit.contains("failures=\"1\" errors=\"0\"") && junit.contains("no traffic"), "{junit}");

    site.mode(&host(0), "refuse");
    finish(site.on_service("run").env("REPORT_DIR", &directory)).exits(1);
    assert!(read(&directory, "report.html").contains("No fault was on, so there is no timeline"));
}

/// By ECS' clock, wherever the run ends.
#[test]
fn what_took_the_place_of_a_task_is_on_the_timeline() {
    for aborted in [false, true] {
        let site = Site::new(World::fleet(if aborted { 2 } else { 1 }, 1));
        site.agent(&STUB.replace("[ \"${STUB_MODE:-}\" != gone ]", "[ ! -e /run/httpfault/.gone ]"));
        let directory = site.files.path().join("report");
        let mut ctl = site.on_service("run");
        let run = start(ctl.env("REPORT_DIR", &directory).env("TOTAL_CHAOS_DURATION", "600"));
        site.await_on(if aborted { 2 } else { 1 });
        let old = site.simulator.world().clusters[0].tasks[0].id.clone();
        let new = site.simulator.edit(|world| world.replace_task(&old)).unwrap();
        let mark = site.on_host(&host(0), "/run/httpfault/.gone");
        fs::write(&mark, "").unwrap();
        site.eventually("its agent ended", || {
            fs::read_dir(mark.parent().unwrap()).unwrap().flatten().all(|one| !one.path().is_dir())
        });
        if aborted {
            run.signal(Signal::SIGTERM);
        }
        let report = run.ended().exits(if aborted { 130 } else { 0 }).json();
        let task = report["tasks"].as_array().unwrap().iter().find(|task| task["task"] == old).unwrap();
        let by = &task["replaced_by"][0];
        assert_eq!(
            (&task["outcome"], &by["task"]),
            (&"target_gone".into(), &new.as_str().into()),
            "{report}"
        );
        assert!(by["created_at"].is_string() && by["started_at"].is_string(), "{report}");
        let (picture, text) = (read(&directory, "timeline.svg"), read(&directory, "report.md"));
        for part in ["another task in its place", "class=\"new\" x=", &new, "runs since"] {
            assert!(picture.contains(part), "no {part} in {picture}");
        }
        assert!(text.contains(&format!("its service has started {new} (runs since")), "{text}");
    }
}

/// Who sends a third signal leaves without proof. The files say so, and where to look.
#[test]
fn it_is_written_after_a_second_and_after_a_third_signal() {
    let site = Site::new(World::fleet(1, 1));
    site.agent(&STUB.replace("remove)\n", "remove)\n    sleep 2\n"));
    let aborted = |to: &Path, signals: &[Signal]| {
        let (seen, removals) = (site.times_on(), site.commands("remove").len());
        let run = start(site.on_service("run").env("REPORT_DIR", to).env("TOTAL_CHAOS_DURATION", "600"));
        site.await_on(seen + 1);
        run.signal(Signal::SIGINT);
        site.eventually("the fault is being taken off", || site.commands("remove").len() > removals);
        signals.iter().for_each(|signal| run.signal(*signal));
        run.ended()
    };
    let directory = site.files.path().join("report");
    let done = aborted(&directory, &[Signal::SIGINT]).exits(130);
    let document: Value = serde_json::from_str(&read(&directory, "report.json")).unwrap();
    assert_eq!(document, done.json());
    assert_eq!(
        (&document["aborted"], &document["tasks"][0]["verified_off"]),
        (&true.into(), &true.into()),
        "{document}"
    );
    assert_eq!(names(&directory), FILES);
    site.assert_clean();

    // Two signals of one kind that come together are one to the kernel; these differ.
    let last = [Signal::SIGINT, Signal::SIGTERM];
    let done = aborted(&directory, &last).exits(3);
    let document: Value = serde_json::from_str(&read(&directory, "report.json")).unwrap();
    assert_eq!((&document["exit"], &document["tasks"][0]["verified_off"]), (&3.into(), &false.into()));
    let left = document["left_behind"].to_string();
    assert!(left.contains("left before it was proved to be off") && left.contains(&host(0)), "{left}");
    assert_eq!(names(&directory), FILES);
    let recover = document["recover_with"].as_str().unwrap();
    assert!(read(&directory, "report.html").contains(recover) && done.stderr.contains(recover), "{done}");
    assert!(read(&directory, "junit.xml").contains("failures=\"2\" errors=\"1\""));

    // Standard output is the error's; the text is aside.
    let done = aborted(Path::new("-"), &last).exits(3);
    assert_eq!(done.json()["exit"], 3);
    assert!(done.stderr.contains("# web: status 503 on port 80"), "{done}");
}

/// What can't be written is printed, and the exit code stays the run's.
#[test]
fn without_a_place_it_is_printed() {
    let site = Site::new(World::fleet(1, 1));
    let file = site.files.path().join("a-file");
    fs::write(&file, "").unwrap();
    let mut ctl = site.on_service("run");
    let done = finish(ctl.env("REPORT_DIR", file.join("report"))).exits(0).says("could not be written");
    // Standard output is the document alone.
    assert_eq!(done.json()["exit"], 0);
    assert!(done.stderr.contains("# web: status 503 on port 80"), "{done}");
    assert!(done.stderr.contains("    fault        ") && !done.stderr.contains("timeline.svg"), "{done}");

    let done = finish(site.on_service("run").args(["--output", "text", "--report", "-"])).exits(0);
    assert!(done.stdout.starts_with("# web: status 503 on port 80"), "{done}");
    assert!(!done.stderr.contains("could not be written"), "{done}");
}

#[test]
fn it_is_put_into_s3() {
    let site = Site::new(World::fleet(1, 1));
    site.simulator.edit(|world| world.buckets.push("reports".to_owned()));
    let mut ctl = site.on_service("run");
    ctl.env("REPORT_S3_URI", "s3://reports/chaos/web/").env("EXPERIMENT_ID", "exp-1");
    let done = finish(&mut ctl).exits(0).says("report: s3://reports/chaos/web/exp-1/");
    let stored = site.simulator.stored();
    let paths: Vec<String> = FILES.map(|name| format!("reports/chaos/web/exp-1/{name}")).into();
    assert_eq!(stored.keys().cloned().collect::<Vec<_>>(), paths);
    assert_eq!(serde_json::from_slice::<Value>(&stored[&paths[2]]).unwrap(), done.json());

    let refused = site
        .on_service("run")
        .env("REPORT_S3_URI", "s3://nowhere/chaos")
        .env("EXPERIMENT_ID", "exp-2")
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(0), "{said}");
    assert!(said.contains("NoSuchBucket") && said.contains("# web: status 503 on port 80"), "{said}");
}

/// What hosts say is text, whatever it is.
#[test]
fn a_host_can_not_put_anything_into_it() {
    let site = Site::new(World::fleet(1, 1));
    site.mode(&host(0), "hostile");
    let directory = site.files.path().join("report");
    let document = finish(site.on_service("run").env("REPORT_DIR", &directory)).exits(0).json();
    // Its history is none that an agent makes.
    assert_eq!(document["histories"], Value::Array(Vec::new()));
    let page = read(&directory, "report.html");
    assert!(
        page.contains("alert(1)") && !page.contains("<script") && !page.contains("</text><script"),
        "{page}"
    );
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
    let text = read(&directory, "report.md");
    assert!(text.contains("alert(1)") && !text.contains('<') && !text.contains("[y]"), "{text}");
    assert_eq!(names(&directory), FILES);
}
