//! One set of numbers: in a file for Prometheus, in lines for CloudWatch, in the report.

use std::{fs, io::Write, process::Stdio};

use httpfault_simulator::{World, python::Python};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Site, finish, start};

/// What the reader of a format says of a text.
fn read(format: &str, text: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/integrations/metrics.py");
    let mut python = Python::with_packages().unwrap().command();
    let python = python.args(["-B", script, format]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.stderr(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The values of a metric with this label.
fn values(samples: &Value, name: &str, label: (&str, &str)) -> Vec<f64> {
    let fits = |one: &&Value| one["name"] == name && one["labels"][label.0] == label.1;
    samples.as_array().unwrap().iter().filter(fits).map(|one| one["value"].as_f64().unwrap()).collect()
}

#[test]
fn a_file_says_when_the_fault_is_on_and_what_it_met() {
    let site = Site::new(World::fleet(2, 1));
    site.install();
    let directory = site.files.path().join("textfile");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("httpfault.prom");
    let text = || fs::read_to_string(&file).unwrap_or_default();
    let mut run = site.on_service("run");
    let run = start(run.env("METRICS_FILE", &file).env("EXPERIMENT_ID", "watched"));
    site.eventually("the file says that it is on", || text().contains("httpfault_active{run=\"watched\"} 1"));
    run.ended().exits(0);
    let samples = read("prometheus", &text());
    assert_eq!(values(&samples, "httpfault_active", ("run", "watched")), [0.0]);
    assert_eq!(values(&samples, "httpfault_requests_total", ("outcome", "faulted")), [7.0, 7.0]);
    let edge = |edge| values(&samples, "httpfault_window_seconds", ("edge", edge))[0];
    assert!(edge("disarmed") >= edge("armed"), "{samples}");
    let left: Vec<_> = fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["httpfault.prom"]);
}

/// An alarm has to see it while the fault is on; the sums are the report's.
#[test]
fn lines_for_cloudwatch_come_while_the_fault_is_on_and_add_up() {
    let site = Site::new(World::fleet(2, 1));
    site.install();
    let out = site.files.path().join("out");
    let text = || fs::read_to_string(&out).unwrap();
    let mut run = site.on_service("run");
    run.env("METRICS", "emf").env("TOTAL_CHAOS_DURATION", "600").stdout(fs::File::create(&out).unwrap());
    let run = start(&mut run);
    site.eventually("a line for each task", || text().matches("\"requests_faulted\":3").count() == 2);
    run.signal(Signal::SIGTERM);
    run.ended().exits(130);
    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    let (report, metrics) = lines.split_last().unwrap();
    assert_eq!(read("emf", &metrics.join("\n")), 4, "{text}");
    let report: Value = serde_json::from_str(report).unwrap();
    let metrics: Vec<Value> = metrics.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for task in report["tasks"].as_array().unwrap() {
        let own: Vec<&Value> = metrics.iter().filter(|line| line["task"] == task["task"]).collect();
        let faulted: u64 = own.iter().map(|line| line["requests_faulted"].as_u64().unwrap()).sum();
        assert_eq!((faulted, &task["counters"]["faulted"]), (7, &json!(7)), "{text}");
        assert_eq!(own.iter().filter(|line| line["window_seconds"].is_number()).count(), 1, "{text}");
        for line in own {
            assert_eq!((&line["cluster"], &line["service"]), (&json!("shop"), &json!("web")), "{line}");
            assert_eq!(line["run"], report["experiment_id"]);
        }
    }
    finish(site.on_service("plan").env("METRICS", "statsd")).exits(64).says("METRICS");
}

/// What can't be written costs the run nothing.
#[test]
fn a_file_that_can_not_be_written_is_a_warning() {
    let site = Site::new(World::fleet(1, 1));
    site.install();
    let ended = finish(site.on_service("run").env("METRICS_FILE", "/nonexistent/x.prom")).exits(0);
    ended.says("the metrics could not be written").says("/nonexistent");
}
