//! What was aimed at, and what was reached in this run.

use std::fmt::Write as _;

use super::figures::{Spread, cpu, user};
use crate::results::{Results, Row, Style, Task, When, Who};

/// One goal: what it is, the most that it may be, what it is.
struct Goal {
    what: String,
    most: f64,
    is: f64,
    unit: &'static str,
}

pub(super) fn table(results: &Results) -> String {
    let goals = [responses(results), starts(results), sizes(results)].into_iter().flatten();
    let mut table = String::from("| goal | at most | is | |\n| --- | ---: | ---: | --- |\n");
    for Goal { what, most, is, unit } in goals {
        let verdict = if is <= most { "reached" } else { "missed" };
        let _infallible = writeln!(table, "| {what} | {}{unit} | {is:.2}{unit} | {verdict} |", short(most));
    }
    table
}

fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// CPU time of responses, compared with others of the same run.
fn responses(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for style in Style::ALL {
        let row = |who| results.row(who, Task::Fault, style);
        let Some(agent) = row(Who::Agent) else { continue };
        let mut goal = |what: &str, most: f64, is: Option<f64>| {
            goals.extend(is.map(|is| Goal {
                what: format!("{}: {what}", style.name()),
                most,
                is,
                unit: " ×",
            }));
        };
        let of_nginx = if style == Style::Close {
            0.85
        } else if style.streams().is_some() {
            0.8
        } else {
            0.9
        };
        goal(
            "CPU, of nginx behind REDIRECT",
            of_nginx,
            row(Who::Nginx).and_then(|nginx| ratio(agent, nginx)),
        );
        goal(
            "user part, of nginx's",
            1.0,
            row(Who::Nginx).and_then(|nginx| Some(user(agent)? / user(nginx)?)),
        );
        goal("CPU, of the floor", 1.15, row(Who::Floor).and_then(|floor| ratio(agent, floor)));
    }
    for style in Style::PROXIED {
        let row = |who| results.row(who, Task::Half, style);
        if let (Some(agent), Some(haproxy)) = (row(Who::Agent), row(Who::Haproxy))
            && let Some(is) = ratio(agent, haproxy)
        {
            let what = format!("`--percent 50`, {}: CPU, of HAProxy as reverse proxy", style.name());
            goals.push(Goal { what, most: 1.0, is, unit: " ×" });
        }
    }
    goals
}

fn ratio(one: &Row, other: &Row) -> Option<f64> {
    Some(cpu(one)?.median() / cpu(other)?.median())
}

/// From exec to the first fault: the median, and the worst against it.
fn starts(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    let on = results.moments.iter().filter(|moment| moment.what == When::On);
    for moment in on.filter(|moment| moment.how.starts_with('`')) {
        let Some(spread) = Spread::of(moment.times.iter().copied()) else { continue };
        let most = if moment.how.starts_with("`--pid`") { 20.0 } else { 40.0 };
        let what = format!("exec to the first fault, {}", moment.how);
        goals.push(Goal { what: format!("{what}: median"), most, is: spread.median(), unit: " ms" });
        let times = spread.most() / spread.median();
        goals.push(Goal { what: format!("{what}: worst, of the median"), most: 3.0, is: times, unit: " ×" });
    }
    goals
}

/// Memory and size.
fn sizes(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (connections, most, what) in [(0, 4.0, "resident, idle"), (1000, 12.0, "resident, 1,000 connections")]
    {
        let is_it =
            |memory: &&crate::results::Memory| memory.who == Who::Agent && memory.connections == connections;
        let memory = results.memory.iter().find(is_it);
        goals.extend(memory.map(|memory| Goal {
            what: what.to_owned(),
            most,
            is: memory.megabytes,
            unit: " MB",
        }));
    }
    let [plain, packed] = results.agent_bytes.map(|bytes| bytes as f64 / 1e6);
    goals.push(Goal { what: "size of the agent".to_owned(), most: 3.0, is: plain, unit: " MB" });
    goals.push(Goal { what: "the same compressed".to_owned(), most: 1.3, is: packed, unit: " MB" });
    goals
}
