//! The timeline as SVG: requests answered by the fault and by the application, and when each task had it.
//!
//! Its colours are classes, so that one picture serves light and dark; a plotting library writes them into each shape.

use std::fmt::Write as _;

use askama::Template;
use jiff::{SignedDuration, Timestamp};

use super::{
    super::{ProbeReport, RunReport, TaskReport, timeline::Timeline},
    page::{clock, thousands},
};

/// More tasks than these are only in the table.
const MOST_LANES: usize = 12;
const RIGHT: f64 = 18.0;
const LANE: f64 = 30.0;

#[derive(Template)]
#[template(path = "timeline.svg", escape = "markup")]
pub(super) struct Picture {
    /// As a file of its own, which brings its style.
    alone: bool,
    heading: Option<String>,
    /// For those who can't see it.
    description: String,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    legend: Vec<Key>,
    grid: Vec<Mark>,
    ticks: Vec<Mark>,
    /// When the fault was on somewhere.
    on: Vec<Span>,
    edges: Vec<Mark>,
    faulted: String,
    passed: String,
    lanes: Vec<Lane>,
    more: Option<Mark>,
}

/// A place and what stands there.
struct Mark {
    at: f64,
    label: String,
}

/// What a colour stands for.
struct Key {
    class: &'static str,
    label: String,
    x: f64,
    y: f64,
}

struct Span {
    class: &'static str,
    from: f64,
    width: f64,
}

struct Lane {
    top: f64,
    label: String,
    bars: Vec<Span>,
    said: String,
}

/// How large, and with how much room.
struct Sheet {
    width: f64,
    left: f64,
    plot: f64,
    heading: bool,
    ticks: f64,
}

/// As a file, with its own heading.
pub(super) fn alone(report: &RunReport) -> Option<Picture> {
    draw(report, &Sheet { width: 960.0, left: 62.0, plot: 240.0, heading: true, ticks: 110.0 })
}

/// For a page on a desk.
pub(super) fn wide(report: &RunReport) -> Option<Picture> {
    draw(report, &Sheet { width: 960.0, left: 62.0, plot: 240.0, heading: false, ticks: 110.0 })
}

/// For a page on a phone.
pub(super) fn narrow(report: &RunReport) -> Option<Picture> {
    draw(report, &Sheet { width: 380.0, left: 48.0, plot: 190.0, heading: false, ticks: 84.0 })
}

/// Nothing where no fault was on: there is nothing to see then.
fn draw(report: &RunReport, sheet: &Sheet) -> Option<Picture> {
    let spans: Vec<(Timestamp, Timestamp)> =
        report.tasks.iter().filter_map(|task| report.span(task)).collect();
    let (on, off) = report.was_on()?;
    let timeline = report.timeline();
    let axis = Axis::around(&times(report, timeline.as_ref(), (on, off)), sheet)?;
    let legend = legend(report, sheet);
    let top = legend.last()?.y + 16.0;
    let bottom = top + sheet.plot;
    let (faulted, passed, most) = areas(timeline.as_ref(), &axis, top, bottom);
    let lanes = lanes(report, &axis, bottom + 44.0);
    let end = bottom + 44.0 + LANE * lanes.len() as f64;
    let hidden = report.tasks.len().saturating_sub(MOST_LANES);
    let more = (hidden > 0)
        .then(|| Mark { at: end + 14.0, label: format!("and {hidden} more task(s), see the table") });
    let (experiment, sums) = (&report.experiment, sums(report));
    Some(Picture {
        alone: sheet.heading,
        heading: sheet.heading.then(|| {
            let (whose, status) = (experiment.whose(), experiment.status_code);
            format!("{whose}: status {status} on {} task(s), {}", spans.len(), on.strftime("%F %T UTC"))
        }),
        description: format!(
            "Requests a second over time: {} answered {} by the fault, {} by the application. The fault was on from {} to {}.",
            thousands(sums.0),
            experiment.status_code,
            thousands(sums.1),
            clock(on),
            clock(off)
        ),
        width: sheet.width,
        height: end + if more.is_some() { 26.0 } else { 8.0 },
        left: sheet.left,
        right: sheet.width - RIGHT,
        top,
        bottom,
        legend,
        grid: grid(most, top, bottom),
        ticks: axis.ticks(sheet.ticks),
        edges: edges(&spans, &axis),
        on: merged(spans).into_iter().map(|(from, to)| axis.span("on", from, to)).collect(),
        faulted,
        passed,
        lanes,
        more,
    })
}

fn sums(report: &RunReport) -> (u64, u64) {
    report.tasks.iter().fold((0, 0), |(faulted, passed), task| {
        let counters = &task.counters;
        (faulted + counters.faulted, passed + counters.spared + counters.existing_escaped)
    })
}

/// Time from left to right.
struct Axis {
    from: Timestamp,
    to: Timestamp,
    left: f64,
    right: f64,
}

impl Axis {
    /// A little more than everything that is drawn.
    fn around(times: &[Timestamp], sheet: &Sheet) -> Option<Self> {
        let (from, to) = (*times.iter().min()?, *times.iter().max()?);
        let room = (to.duration_since(from) / 25).max(SignedDuration::from_millis(500));
        let (from, to) = (from - room, to + room);
        Some(Self { from, to, left: sheet.left, right: sheet.width - RIGHT })
    }

    fn at(&self, time: Timestamp) -> f64 {
        let share =
            time.duration_since(self.from).as_secs_f64() / self.to.duration_since(self.from).as_secs_f64();
        tenth(self.left + share.clamp(0.0, 1.0) * (self.right - self.left))
    }

    fn span(&self, class: &'static str, from: Timestamp, to: Timestamp) -> Span {
        let (from, to) = (self.at(from), self.at(to));
        Span { class, from, width: tenth((to - from).max(1.5)) }
    }

    /// Full seconds, minutes or hours, at least that far from each other.
    fn ticks(&self, distance: f64) -> Vec<Mark> {
        const STEPS: [i64; 16] =
            [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200];
        let length = self.to.duration_since(self.from).as_secs_f64();
        let wanted = length * distance / (self.right - self.left);
        let step = STEPS.into_iter().find(|step| *step as f64 >= wanted).unwrap_or(86_400);
        let first = (self.from.as_second() / step + 1) * step;
        let times =
            (0..).map(|number| first + number * step).take_while(|second| *second <= self.to.as_second());
        let marks = times.filter_map(|second| Timestamp::from_second(second).ok());
        marks.map(|time| Mark { at: self.at(time), label: clock(time) }).collect()
    }
}

/// The two areas, one upon the other, as steps; and the highest rate.
fn areas(timeline: Option<&Timeline>, axis: &Axis, top: f64, bottom: f64) -> (String, String, f64) {
    let Some(timeline) = timeline else { return (String::new(), String::new(), 1.0) };
    let all = || timeline.rates.iter().map(|rates| rates.faulted + rates.passed);
    // Room for what stands at the top.
    let most = ceiling(all().fold(0.0, f64::max) * 1.12);
    let y = |rate: f64| tenth(bottom - rate / most * (bottom - top));
    let edge = |number: usize| axis.at(timeline.begin_of(number));
    let faulted: Vec<f64> = timeline.rates.iter().map(|rates| y(rates.faulted)).collect();
    let both: Vec<f64> = all().map(y).collect();
    let floor = vec![tenth(bottom); faulted.len()];
    (area(&faulted, &floor, edge), area(&both, &faulted, edge), most)
}

/// Between two lines of steps: there along the upper one, back along the lower one.
fn area(upper: &[f64], lower: &[f64], edge: impl Fn(usize) -> f64) -> String {
    let mut path = String::new();
    let mut to = |x: f64, y: f64| {
        let verb = if path.is_empty() { 'M' } else { 'L' };
        let _infallible = write!(path, "{verb}{x} {y}");
    };
    for (number, y) in upper.iter().enumerate() {
        to(edge(number), *y);
        to(edge(number + 1), *y);
    }
    for (number, y) in lower.iter().enumerate().rev() {
        to(edge(number + 1), *y);
        to(edge(number), *y);
    }
    path.push('Z');
    path
}

/// One, two or five times a power of ten, and above.
fn ceiling(most: f64) -> f64 {
    let power = 10_f64.powf(most.max(1.0).log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|ceiling| *ceiling >= most).unwrap_or(most)
}

fn grid(most: f64, top: f64, bottom: f64) -> Vec<Mark> {
    let line = |part: f64| {
        let rate = most * part;
        let label =
            if rate < 10.0 && rate.fract() > 0.0 { format!("{rate:.1}") } else { thousands(rate as u64) };
        Mark { at: tenth(bottom - part * (bottom - top)), label }
    };
    [0.0, 0.5, 1.0].map(line).into()
}

/// Where the fault came on and went off first and last.
fn edges(spans: &[(Timestamp, Timestamp)], axis: &Axis) -> Vec<Mark> {
    merged(spans.to_vec())
        .into_iter()
        .flat_map(|(from, to)| [(from, "on"), (to, "off")])
        .map(|(time, label)| Mark { at: axis.at(time), label: label.to_owned() })
        .collect()
}

/// Times at which the fault was on anywhere, without overlaps.
fn merged(mut spans: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
    spans.sort();
    let mut merged: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Probes above, tasks below.
fn lanes(report: &RunReport, axis: &Axis, top: f64) -> Vec<Lane> {
    let probe = |probe: &ProbeReport| Lane {
        top: 0.0,
        label: format!("{}: {}", probe.title(), probe.verdict.words()),
        bars: strip(report, probe, axis),
        said: probe.text(),
    };
    let task = |task: &TaskReport| Lane {
        top: 0.0,
        label: format!("{}: {}", task.name(), task.summary()),
        bars: { report.span(task).map(|(from, to)| axis.span("fault", from, to)).into_iter() }
            .chain(report.replaced(task).map(|from| axis.span("new", from, report.ended_at)))
            .collect(),
        said: {
            let remark = task.replacement().map(|remark| format!("; it {remark}")).unwrap_or_default();
            format!("task {} on {}: {}{remark}", task.task, task.instance, task.summary())
        },
    };
    let probes = report.probes.iter().take(MOST_LANES).map(probe);
    let mut lanes: Vec<Lane> = probes.chain(report.tasks.iter().take(MOST_LANES).map(task)).collect();
    for (number, lane) in lanes.iter_mut().enumerate() {
        lane.top = top + LANE * number as f64;
    }
    lanes
}

/// What a probe saw, each time from one sample to the next.
fn strip(report: &RunReport, probe: &ProbeReport, axis: &Axis) -> Vec<Span> {
    let last = probe.samples.last().map(|sample| sample.at_ms + probe.interval_ms);
    let ends = probe.samples.iter().skip(1).map(|sample| sample.at_ms).chain(last);
    let mut parts: Vec<(bool, u64, u64)> = Vec::new();
    for (sample, end) in probe.samples.iter().zip(ends) {
        match parts.last_mut() {
            Some(part) if part.0 == sample.held => part.2 = end,
            _ => parts.push((sample.held, sample.at_ms, end)),
        }
    }
    let class = |held| if held { "held" } else { "failed" };
    let spans = parts
        .into_iter()
        .map(|(held, from, to)| axis.span(class(held), report.since(from), report.since(to)));
    spans.collect()
}

/// Everything that has to be on the axis.
fn times(report: &RunReport, timeline: Option<&Timeline>, on: (Timestamp, Timestamp)) -> Vec<Timestamp> {
    let ends = timeline.map(|timeline| [timeline.from, timeline.end()]);
    let samples = report.probes.iter().flat_map(|probe| [probe.samples.first(), probe.samples.last()]);
    let samples = samples.flatten().map(|sample| report.since(sample.at_ms));
    let new =
        report.tasks.iter().filter_map(|task| report.replaced(task)).flat_map(|at| [at, report.ended_at]);
    [on.0, on.1].into_iter().chain(ends.into_iter().flatten()).chain(samples).chain(new).collect()
}

/// From left to right, in a further line where there is no more room.
fn legend(report: &RunReport, sheet: &Sheet) -> Vec<Key> {
    let probed = !report.probes.is_empty();
    let replaced = report.tasks.iter().any(|task| report.replaced(task).is_some());
    let keys = [
        Some(("fault", format!("{} by the fault", report.experiment.status_code))),
        Some(("app", "by the application".to_owned())),
        probed.then(|| ("held", "probe held".to_owned())),
        probed.then(|| ("failed", "probe failed".to_owned())),
        replaced.then(|| ("new", "another task in its place".to_owned())),
    ];
    let (mut x, mut y) = (sheet.left, 18.0 + if sheet.heading { 34.0 } else { 0.0 });
    let place = |(class, label): (&'static str, String)| {
        let width = 36.0 + label.len() as f64 * 6.5;
        if x > sheet.left && x + width > sheet.width {
            (x, y) = (sheet.left, y + 18.0);
        }
        let key = Key { class, label, x, y };
        x += width;
        key
    };
    keys.into_iter().flatten().map(place).collect()
}

/// Fewer digits make a smaller file, and nobody sees the others.
fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
