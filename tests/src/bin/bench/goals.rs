//! What was aimed at, and what was reached in this run.

use crate::{
    figures::{Spread, cpu, user},
    results::{Results, Row, Style, Subject, Task, When, Who},
};

/// One goal: what it is, the most that it may be, what it is.
#[derive(Debug)]
pub(crate) struct Goal {
    /// What a flame graph can be made of.
    pub(crate) subject: Option<Subject>,
    pub(crate) what: String,
    pub(crate) most: f64,
    pub(crate) is: f64,
    pub(crate) unit: &'static str,
}

pub(crate) fn of(results: &Results) -> Vec<Goal> {
    [responses(results), starts(results), sizes(results)].into_iter().flatten().collect()
}

/// What missed one goal or more, where time is what it takes.
pub(crate) fn missed(results: &Results) -> Vec<Subject> {
    let missed = of(results).into_iter().filter(|goal| goal.is > goal.most);
    let mut subjects: Vec<Subject> = missed.filter_map(|goal| goal.subject).collect();
    subjects.dedup();
    subjects
}

/// CPU time of responses, compared with others of the same run.
fn responses(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for style in Style::ALL {
        let row = |who| results.row(who, Task::Fault, style);
        let Some(agent) = row(Who::Agent) else { continue };
        let mut goal = |what: &str, most: f64, is: Option<f64>| {
            goals.extend(is.map(|is| Goal {
                subject: Some(Subject::Response(Task::Fault, style)),
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
            let subject = Some(Subject::Response(Task::Half, style));
            goals.push(Goal { subject, what, most: 1.0, is, unit: " ×" });
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
        let mut goal = |what: &str, most, is, unit| {
            let what = format!("exec to the first fault, {}: {what}", moment.how);
            let subject = moment.subject;
            goals.push(Goal { subject, what, most, is, unit });
        };
        goal("median", most, spread.median(), " ms");
        goal("worst, of the median", 3.0, spread.most() / spread.median(), " ×");
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
            subject: None,
            what: what.to_owned(),
            most,
            is: memory.megabytes,
            unit: " MB",
        }));
    }
    let [plain, packed] = results.agent_bytes.map(|bytes| bytes as f64 / 1e6);
    for (what, most, is) in [("size of the agent", 3.0, plain), ("the same compressed", 1.3, packed)] {
        goals.push(Goal { subject: None, what: what.to_owned(), most, is, unit: " MB" });
    }
    goals
}
