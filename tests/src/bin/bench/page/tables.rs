//! The tables.

use std::fmt::Write as _;

use super::PLOTS;
use crate::{
    figures::{self, Spread, of, thousands},
    goals::{self, Goal},
    results::{Results, Row, Sample, Style, Task, When, Who},
};

const HEAD: &str =
    "| server | requests | responses/s | CPU of a response, µs | user | kernel | p50, µs | p99 | p99.9 |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
";

/// What was aimed at and what was reached; what missed leads to its flame graph.
pub(super) fn goals(results: &Results) -> String {
    let mut table = String::from("| goal | at most | is | |\n| --- | ---: | ---: | --- |\n");
    for Goal { subject, what, most, is, unit } in goals::of(results) {
        let flame = results.flames.iter().find(|flame| Some(flame.of) == subject);
        let verdict = match flame {
            _ if is <= most => "reached".to_owned(),
            Some(flame) => format!("missed: [where the time goes]({PLOTS}/{})", flame.of.file()),
            None => "missed".to_owned(),
        };
        let most = short(most);
        let _infallible = writeln!(table, "| {what} | {most}{unit} | {is:.2}{unit} | {verdict} |");
    }
    table
}

fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Everybody's numbers with one kind of load; the application alone stands at the end.
pub(super) fn rows(results: &Results, tasks: &[Task], style: Style) -> String {
    let mut table = String::new();
    for task in tasks {
        for row in results.rows.iter().filter(|row| row.task == *task && row.style == style) {
            table += &line(row);
        }
    }
    if table.is_empty() {
        return table;
    }
    if !tasks.contains(&Task::Fault)
        && let Some(alone) = results.row(Who::Application, Task::Fault, style)
    {
        table += &line(alone);
    }
    format!("{HEAD}{table}")
}

fn line(row: &Row) -> String {
    let (Some(cpu), Some(rate)) = (figures::cpu(row), of(&row.samples, |sample| sample.per_second)) else {
        return String::new();
    };
    let user = cpu.median() * figures::user_share(row);
    let kernel = cpu.median() - user;
    let time = |part: fn(&Sample) -> f64| of(&row.samples, part).map_or(0.0, |spread| spread.median());
    let lost: f64 = row.samples.iter().map(|sample| sample.lost).sum();
    let lost = if lost > 0.0 { format!(" ({} without an answer)", thousands(lost)) } else { String::new() };
    let what = if row.who == Who::Application { "no fault" } else { row.task.name() };
    format!(
        "| {} | {what} | {}{lost} | {} | {user:.1} | {kernel:.1} | {} | {} | {} |\n",
        row.who.name(),
        thousands(rate.median()),
        cpu.text(1),
        thousands(time(|sample| sample.p50)),
        thousands(time(|sample| sample.p99)),
        thousands(time(|sample| sample.p999)),
    )
}

pub(super) fn downloads(results: &Results) -> String {
    let mut table = String::new();
    for download in &results.downloads {
        let (seconds, cpu) = (download.seconds.iter(), download.cpu.iter());
        let milliseconds = |number: &f64| number * 1000.0;
        let spreads = (Spread::of(seconds.map(milliseconds)), Spread::of(cpu.map(milliseconds)));
        if let (Some(time), Some(cpu)) = spreads {
            let _infallible =
                writeln!(table, "| {} | {} | {} |", download.who.name(), time.text(0), cpu.text(0));
        }
    }
    if table.is_empty() {
        return table;
    }
    format!(
        "100 MB of the application, with its status replaced by who is in the row; the application alone sends it \
         straight from the page cache.\n\n| server | time, ms | CPU of the server, ms |\n| --- | ---: | ---: |\n{table}"
    )
}

pub(super) fn bystanders(results: &Results) -> String {
    let mut table = String::new();
    for bystander in &results.bystanders {
        let text = |samples: &[Sample], part: fn(&Sample) -> f64, decimals: usize| {
            of(samples, part).map_or_else(String::new, |spread| spread.text(decimals))
        };
        let (without, with) = (&bystander.without, &bystander.with);
        let _infallible = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} |",
            bystander.place,
            bystander.style.name(),
            text(without, |sample| sample.per_second, 0),
            text(with, |sample| sample.per_second, 0),
            text(without, |sample| sample.p50, 0),
            text(with, |sample| sample.p50, 0),
        );
    }
    if table.is_empty() {
        return table;
    }
    format!(
        "A fault on one port, and what the application on another port of the same target and the one in another \
         container of the host do, before and after. The fault itself has no traffic meanwhile.\n\n| where | load | \
         responses/s without | with a fault | p50 without, µs | with a fault |\n| --- | --- | ---: | ---: | ---: | ---: \
         |\n{table}"
    )
}

pub(super) fn memory(results: &Results) -> String {
    let mut table = String::new();
    for memory in &results.memory {
        let connections = thousands(memory.connections as f64);
        let _infallible =
            writeln!(table, "| {} | {connections} | {:.1} |", memory.who.name(), memory.megabytes);
    }
    if table.is_empty() {
        return table;
    }
    format!(
        "Resident, all processes of the server, with that many connections that have had a response and stay. Sockets' \
         memory is the kernel's and not in it.\n\n| server | connections | MB |\n| --- | ---: | ---: |\n{table}"
    )
}

pub(super) fn moments(results: &Results) -> String {
    let mut table = String::new();
    for moment in &results.moments {
        let what = match moment.what {
            When::On => "on",
            When::Off => "off",
            When::Killed => "killed",
        };
        let note = moment.note.as_deref().unwrap_or_default();
        let numbers = Spread::of(moment.times.iter().copied()).map_or_else(
            || " | ".to_owned(),
            |spread| format!("{:.1} | {:.1} to {:.1}", spread.median(), spread.least(), spread.most()),
        );
        let _infallible = writeln!(table, "| {what} | {} | {numbers} | {note} |", moment.how);
    }
    if table.is_empty() {
        return table;
    }
    format!("| | how | median | least to most | |\n| --- | --- | ---: | ---: | --- |\n{table}")
}

pub(super) fn failures(results: &Results) -> String {
    results.failures.iter().fold(String::new(), |text, failure| format!("{text}- {failure}\n"))
}
