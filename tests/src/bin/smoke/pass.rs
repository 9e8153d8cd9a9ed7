//! The steps, each judged by the controller's exit code and by its report.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_tests::{
    experiment::{Ctl, Ended},
    wait,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::template::Service;

/// A fault that is ended from outside.
const LONG_SECS: u64 = 600;
/// How long a step may take beyond its fault: an empty host takes the agent in pieces.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where and as whom.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) cluster: String,
    /// For what the controller says.
    pub(crate) files: PathBuf,
    /// Of each fault, seconds.
    pub(crate) duration: u64,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    step: String,
    service: String,
    seconds: f64,
    exit: Option<i32>,
    wanted: i32,
    seen: String,
    /// Why it is not as it should be.
    wrong: Option<String>,
}

impl Row {
    pub(crate) fn is_good(&self) -> bool {
        self.exit == Some(self.wanted) && self.wrong.is_none()
    }
}

/// Markdown, ready to be sent in.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text =
        "| step | service | exit | seconds | seen | |\n| --- | --- | ---: | ---: | --- | --- |\n".to_owned();
    rows.iter().for_each(|row| text.push_str(&format!("{}\n", line(row))));
    text
}

fn line(row: &Row) -> String {
    let exit = row.exit.map_or_else(|| "none".to_owned(), |code| code.to_string());
    let verdict = match &row.wrong {
        None if row.is_good() => "ok".to_owned(),
        None => format!("expected exit {}", row.wanted),
        Some(why) => why.replace('\n', " "),
    };
    format!("| {} | {} | {exit} | {:.1} | {} | {verdict} |", row.step, row.service, row.seconds, row.seen)
}

/// Shows each line when it is there: the whole takes a quarter of an hour on AWS.
#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn push(&mut self, row: Row) {
        eprintln!("{}", line(&row));
        self.0.push(row);
    }
}

impl Pass {
    /// Everything, on each service.
    pub(crate) fn all(&self, services: &[Service]) -> Result<Vec<Row>> {
        let mut rows = Rows::default();
        for service in services {
            rows.push(self.plan(service)?);
            rows.push(self.run(service, "run, body replaced", &[])?);
            rows.push(self.run(service, "run, body kept", &[("MODIFY_RESPONSE_BODY", "false")])?);
            rows.push(self.run(
                service,
                "run, drain",
                &[("EXISTING_CONNECTIONS", "drain"), ("STATUS_CODE", "429")],
            )?);
            rows.push(self.run(service, "run, serial", &[("SEQUENCE", "serial")])?);
            rows.push(self.abort(service)?);
            rows.push(self.remove(service)?);
        }
        Ok(rows.0)
    }

    fn ctl(&self, command: &str, service: &Service) -> Result<Ctl> {
        let ctl = Ctl::new(command, &self.files)?.envs(self.environment.clone()).patience(PATIENCE);
        Ok(ctl.env("CLUSTER_NAME", &self.cluster).env("SERVICE_NAME", &service.name))
    }

    fn plan(&self, service: &Service) -> Result<Row> {
        let ended = self.ctl("plan", service)?.finish()?;
        let tasks = ended.report().ok().and_then(|plan| plan["tasks"].as_array().map(Vec::len)).unwrap_or(0);
        let wrong = (tasks != service.tasks).then(|| format!("{} tasks expected", service.tasks));
        Ok(row("plan", service, &ended, 0, format!("{tasks} tasks"), wrong))
    }

    fn run(&self, service: &Service, step: &str, more: &[(&str, &str)]) -> Result<Row> {
        let ctl = self.ctl("run", service)?.env("TOTAL_CHAOS_DURATION", self.duration.to_string());
        let ended = more.iter().fold(ctl, |ctl, (name, value)| ctl.env(name, value)).finish()?;
        let report = ended.report().unwrap_or_default();
        let tasks = report["tasks"].as_array().cloned().unwrap_or_default();
        let proved = tasks.iter().filter(|task| task["verified_on"] == true && task["verified_off"] == true);
        let (proved, faulted) = (proved.count(), faulted(&tasks));
        let seen = format!("{} tasks, {faulted} requests, {proved} proved", tasks.len());
        let wrong = (proved != service.tasks).then(|| said(&ended));
        Ok(row(step, service, &ended, 0, seen, wrong))
    }

    /// SIGTERM while it is on, as a pod is stopped.
    fn abort(&self, service: &Service) -> Result<Row> {
        let run = self.ctl("run", service)?.env("TOTAL_CHAOS_DURATION", LONG_SECS.to_string()).start()?;
        self.until_on(service)?;
        let begin = Instant::now();
        run.signal(Signal::SIGTERM)?;
        let ended = run.ended()?;
        let took = begin.elapsed();
        let report = ended.report().unwrap_or_default();
        let clean = report["left_behind"].as_array().is_some_and(Vec::is_empty);
        let wrong = (!clean).then(|| said(&ended));
        let seen = format!("off and proved {:.1} s after SIGTERM", took.as_secs_f64());
        Ok(row("abort", service, &ended, 130, seen, wrong))
    }

    /// The controller dies; `remove` takes off what it left.
    fn remove(&self, service: &Service) -> Result<Row> {
        let id = format!("smoke-{}", service.name);
        let run = self.ctl("run", service)?.env("TOTAL_CHAOS_DURATION", LONG_SECS.to_string());
        let run = run.env("EXPERIMENT_ID", &id).start()?;
        self.until_on(service)?;
        run.signal(Signal::SIGKILL)?;
        run.ended()?;
        let ended = self.ctl("remove", service)?.env("EXPERIMENT_ID", &id).finish()?;
        let status = self.ctl("status", service)?.finish()?;
        let left = faults(&status.report().unwrap_or_default());
        let wrong = (left > 0).then(|| format!("{left} host(s) still show a fault"));
        Ok(row("remove", service, &ended, 0, "after SIGKILL of the controller".to_owned(), wrong))
    }

    /// Until every host shows the fault.
    fn until_on(&self, service: &Service) -> Result<()> {
        let hosts_on = || {
            let status = self.ctl("status", service)?.finish()?.report()?;
            let hosts = status["hosts"].as_array().map_or(0, Vec::len);
            Ok(hosts > 0 && faults(&status) == hosts)
        };
        wait::until("the fault on every host", PATIENCE, hosts_on)
            .map(drop)
            .context("asking httpfault-ctl status")
    }
}

fn row(
    step: &str,
    service: &Service,
    ended: &Ended,
    wanted: i32,
    seen: String,
    wrong: Option<String>,
) -> Row {
    let exit = ended.status.code();
    let wrong =
        if exit == Some(wanted) { wrong } else { Some(format!("expected exit {wanted}: {}", said(ended))) };
    let (step, service) = (step.to_owned(), service.name.clone());
    Row { step, service, seconds: ended.took.as_secs_f64(), exit, wanted, seen, wrong }
}

/// The last lines of what it said.
fn said(ended: &Ended) -> String {
    let lines: Vec<&str> = ended.stderr.lines().collect();
    lines.get(lines.len().saturating_sub(6)..).unwrap_or_default().join(" / ")
}

fn faulted(tasks: &[Value]) -> u64 {
    tasks.iter().filter_map(|task| task["counters"]["faulted"].as_u64()).sum()
}

/// Hosts that show a fault that is on.
fn faults(status: &Value) -> usize {
    let hosts = status["hosts"].as_array().into_iter().flatten();
    let on =
        |host: &&Value| host["faults"].as_array().into_iter().flatten().any(|fault| fault["phase"] == "on");
    hosts.filter(on).count()
}
