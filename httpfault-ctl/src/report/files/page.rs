//! What a person reads of a run, the verdict first. The templates only place it.

use askama::Template;
use httpfault_common::contract::{Counters, Exit};
use jiff::{SignedDuration, Timestamp};

use super::{
    super::{Experiment, ProbeReport, ProbeVerdict, RunReport, TaskOutcome, TaskReport, timeline::Timeline},
    picture::{self, Picture},
};
use crate::tunables::During;

#[derive(Template)]
#[template(path = "report.html", escape = "markup")]
pub(super) struct InHtml<'a> {
    page: &'a Page,
    wide: Option<Picture>,
    narrow: Option<Picture>,
}

#[derive(Template)]
#[template(path = "report.md", escape = "md")]
pub(super) struct InMarkdown<'a> {
    page: &'a Page,
    /// Whether timeline.svg lies beside it; else the rates are drawn with characters.
    picture: bool,
}

pub(super) struct Page {
    title: String,
    /// How it ended, in a word for the style and in a sentence.
    kind: &'static str,
    verdict: String,
    exit: u8,
    lead: String,
    /// The numbers that matter, with what they are.
    figures: Vec<(String, String)>,
    facts: Vec<(&'static str, String)>,
    probes: Vec<ProbeRow>,
    tasks: Vec<TaskRow>,
    /// Why tasks failed, went away or got nothing.
    remarks: Vec<(String, String)>,
    warnings: Vec<String>,
    left_behind: Vec<String>,
    error: Option<String>,
    counters: Vec<(String, String)>,
    /// Rates in characters: of faulted requests and of those that the application got.
    bars: Option<(String, String)>,
    repeat_with: String,
    recover_with: Option<String>,
    version: &'static str,
}

struct ProbeRow {
    name: String,
    verdict: &'static str,
    good: bool,
    asked: String,
    before: String,
    during: String,
    after: String,
    reason: String,
}

struct TaskRow {
    name: String,
    task: String,
    container: String,
    instance: String,
    outcome: &'static str,
    good: bool,
    on: String,
    off: String,
    faulted: String,
    passed: String,
    proved: &'static str,
}

impl<'a> InHtml<'a> {
    pub(super) fn of(report: &RunReport, page: &'a Page) -> Self {
        Self { page, wide: picture::wide(report), narrow: picture::narrow(report) }
    }
}

impl<'a> InMarkdown<'a> {
    pub(super) fn beside_picture(page: &'a Page) -> Self {
        Self { page, picture: page.bars.is_some() }
    }

    pub(super) fn alone(page: &'a Page) -> Self {
        Self { page, picture: false }
    }
}

impl Page {
    pub(super) fn of(report: &RunReport) -> Self {
        let experiment = &report.experiment;
        let (whose, status, port) = (experiment.whose(), experiment.status_code, experiment.port);
        Self {
            title: format!("{whose}: status {status} on port {port}"),
            kind: kind(report.exit),
            verdict: report.summary(),
            exit: report.exit.into(),
            lead: format!(
                "{} of {} running task(s) of {whose} were to answer {status} on port {port} for {} s.",
                report.tasks.iter().filter(|task| task.outcome != TaskOutcome::Replaced).count(),
                experiment.population,
                experiment.duration_secs
            ),
            figures: figures(report),
            facts: facts(report),
            probes: report.probes.iter().map(ProbeRow::of).collect(),
            tasks: report.tasks.iter().map(TaskRow::of).collect(),
            remarks: remarks(report),
            warnings: report.warnings.clone(),
            left_behind: { report.left_behind.iter() }
                .map(|left| format!("{} ({}); remove it with: {}", left.what, left.error, left.remove_with))
                .collect(),
            error: report.early_end(),
            counters: counters(report),
            bars: report.timeline().map(|timeline| bars(&timeline)),
            repeat_with: report.repeat_with.clone(),
            version: env!("CARGO_PKG_VERSION"),
            recover_with: (report.exit != Exit::Done).then(|| report.recover_with.clone()),
        }
    }
}

fn kind(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "good",
        Exit::Partly | Exit::Aborted => "fair",
        Exit::Failed | Exit::LeftBehind | Exit::Usage => "bad",
    }
}

fn figures(report: &RunReport) -> Vec<(String, String)> {
    let sum =
        |count: fn(&Counters) -> u64| thousands(report.tasks.iter().map(|task| count(&task.counters)).sum());
    let with_it = report.tasks.iter().filter(|task| task.injected_at.is_some()).count();
    let mut figures = vec![
        (sum(|counters| counters.faulted), format!("requests answered {}", report.experiment.status_code)),
        (sum(passed), "requests that the application got meanwhile".to_owned()),
        (with_it.to_string(), format!("of {} task(s) had the fault", report.tasks.len())),
    ];
    if let Some((on, off)) = report.was_on() {
        figures.push((seconds(off.duration_since(on)), "from the first hook to the last".to_owned()));
    }
    figures
}

fn passed(counters: &Counters) -> u64 {
    counters.spared + counters.existing_escaped
}

fn facts(report: &RunReport) -> Vec<(&'static str, String)> {
    let experiment = &report.experiment;
    let mut facts = vec![
        ("experiment", experiment.experiment_id.to_string()),
        ("cluster", format!("{} in {}", experiment.cluster, experiment.region)),
    ];
    facts.extend(experiment.service.clone().map(|service| ("service", service)));
    facts.extend([
        ("fault", format!("status {} on port {}", experiment.status_code, experiment.port)),
        (
            "duration",
            format!(
                "{} s, {}",
                experiment.duration_secs,
                format!("{:?}", experiment.sequence).to_lowercase()
            ),
        ),
        ("seed", experiment.seed.to_string()),
        ("guards", guards(experiment)),
        ("started", moment(report.started_at)),
        ("ended", moment(report.ended_at)),
    ]);
    facts
}

fn guards(experiment: &Experiment) -> String {
    let guards: Vec<String> = { experiment.guards.iter() }
        .map(|guard| format!("{} {} (from {})", guard.guard, guard.limit, guard.from))
        .collect();
    if guards.is_empty() { "none".to_owned() } else { guards.join(", ") }
}

fn remarks(report: &RunReport) -> Vec<(String, String)> {
    let of_task = |task: &TaskReport| {
        let error = task.error.as_ref().map(ToString::to_string);
        let all = error.into_iter().chain(task.causes.iter().cloned()).chain(task.replacement());
        all.map(|remark| (task.task.clone(), remark)).collect::<Vec<_>>()
    };
    report.tasks.iter().flat_map(of_task).collect()
}

/// The sums over all tasks, by the names of the document.
fn counters(report: &RunReport) -> Vec<(String, String)> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for task in &report.tasks {
        let Ok(serde_json::Value::Object(counts)) = serde_json::to_value(&task.counters) else { continue };
        for (name, count) in counts {
            let count = count.as_u64().unwrap_or(0);
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += count,
                None => sums.push((name, count)),
            }
        }
    }
    sums.into_iter().map(|(name, sum)| (name.replace('_', " "), thousands(sum))).collect()
}

// === impl ProbeRow ===

impl ProbeRow {
    fn of(probe: &ProbeReport) -> Self {
        let has_to = match probe.mode {
            During::Hold => "hold",
            During::Fail => "fail",
            During::Either => "do either",
        };
        Self {
            name: probe.name.clone(),
            verdict: probe.verdict.words(),
            good: probe.verdict == ProbeVerdict::Passed,
            asked: format!(
                "{} {} has to be {}; during the fault it has to {has_to}",
                probe.method, probe.url, probe.expects
            ),
            before: probe.before.held(),
            during: probe.during.held(),
            after: probe.after.held(),
            reason: probe.reason.clone().unwrap_or_default(),
        }
    }
}

// === impl TaskRow ===

impl TaskRow {
    fn of(task: &TaskReport) -> Self {
        let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), clock);
        Self {
            name: task.name(),
            task: task.task.clone(),
            container: task.container.clone().unwrap_or_else(|| "-".to_owned()),
            instance: task.instance.clone(),
            outcome: task.outcome.words(),
            good: task.is_good(),
            on: time(task.injected_at),
            off: time(task.removed_at),
            faulted: thousands(task.counters.faulted),
            passed: thousands(passed(&task.counters)),
            proved: task.proved(),
        }
    }
}

/// Two lines of at most sixty characters, each as high as its rate.
fn bars(timeline: &Timeline) -> (String, String) {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let wide = timeline.rates.len().div_ceil(60).max(1);
    let columns: Vec<(f64, f64)> = { timeline.rates.chunks(wide) }
        .map(|some| {
            let mean = |rate: fn(&super::super::timeline::Rates) -> f64| {
                some.iter().map(rate).sum::<f64>() / some.len() as f64
            };
            (mean(|rates| rates.faulted), mean(|rates| rates.passed))
        })
        .collect();
    let most = columns.iter().map(|(faulted, passed)| faulted.max(*passed)).fold(0.0, f64::max);
    let height = |rate: f64| match rate {
        rate if rate <= 0.0 => ' ',
        rate => HEIGHTS[((rate / most * 8.0) as usize).min(7)],
    };
    let line = |rate: fn(&(f64, f64)) -> f64| columns.iter().map(|column| height(rate(column))).collect();
    (line(|column| column.0), line(|column| column.1))
}

pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

fn moment(at: Timestamp) -> String {
    at.strftime("%F %T UTC").to_string()
}

fn seconds(length: SignedDuration) -> String {
    format!("{:.0} s", length.as_secs_f64())
}

/// With separators, as in `12,345`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
