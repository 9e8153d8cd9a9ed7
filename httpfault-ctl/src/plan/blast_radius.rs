//! How much may break: the choice of zones and instances, and the guards that a choice of tasks must keep to.

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::Problem;
use serde::Serialize;

use crate::{
    fleet::{Fleet, Inquiry, Task},
    tunables::{Guards, Held, RequiredTag, RunSettings, Sequence, Source, TaskChoice},
};

/// A guard in the reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct GuardReport {
    /// The setting that it is.
    pub(crate) guard: &'static str,
    pub(crate) limit: String,
    /// The setting as it was typed, or a file.
    pub(crate) from: String,
}

/// What has to be known of the cluster for a plan and its guards.
pub(crate) fn inquiry(settings: &RunSettings) -> Inquiry<'_> {
    let tags = !settings.guards.tags.is_empty();
    let dangerous = can_be_dangerous(settings);
    let named = matches!(settings.choice, TaskChoice::Tasks(_));
    Inquiry {
        choice: &settings.choice,
        port: settings.template.port,
        tags,
        services: tags || dangerous,
        siblings: named && (dangerous || settings.guards.max_percent.is_some()),
    }
}

/// The tasks in the zones and on the instances that were chosen. Named ones must all be there.
pub(super) fn within<'a>(
    tasks: Vec<&'a Task>,
    settings: &RunSettings,
    fleet: &Fleet,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Vec<&'a Task> {
    let guards = &settings.guards;
    let zones = guards.zones.iter().map(|held| ("AVAILABILITY_ZONE", held, zone_of as Place));
    let instances = guards.instances.iter().map(|held| ("INSTANCE_IDS", held, instance_of as Place));
    let mut within = tasks;
    for (guard, held, place) in zones.chain(instances) {
        let (inside, outside): (Vec<&Task>, Vec<&Task>) = within
            .iter()
            .partition(|task| place(task, fleet).is_some_and(|place| held.value.contains(place)));
        if outside.is_empty() {
            continue;
        }
        let all = within.len();
        let wanted = list(&held.value);
        let elsewhere: BTreeSet<String> =
            outside.iter().map(|task| place(task, fleet).unwrap_or("an unknown place").to_owned()).collect();
        let elsewhere = list(&elsewhere);
        let named = matches!(settings.choice, TaskChoice::Tasks(_));
        if named || inside.is_empty() {
            let which = if named { "named" } else { "running" };
            problems.push(Problem {
                subject: subject(guard, held),
                problem: format!(
                    "{} of {all} {which} task(s) run on {elsewhere}, and only {wanted} may be taken",
                    outside.len()
                ),
                next: next("choose tasks that run there", guard, held),
            });
        } else {
            warnings.push(format!(
                "{} of {all} running task(s) are left out: they run on {elsewhere}, and {} is {wanted}",
                outside.len(),
                subject(guard, held)
            ));
        }
        within = inside;
    }
    within
}

type Place = for<'a> fn(&Task, &'a Fleet) -> Option<&'a str>;

fn zone_of<'a>(task: &Task, fleet: &'a Fleet) -> Option<&'a str> {
    fleet.hosts.get(task.container_instance.as_ref()?)?.zone.as_deref()
}

fn instance_of<'a>(task: &Task, fleet: &'a Fleet) -> Option<&'a str> {
    fleet.hosts.get(task.container_instance.as_ref()?).map(|host| host.instance_id.as_str())
}

/// What the chosen tasks break.
pub(super) fn judge(chosen: &[&Task], guards: &Guards, fleet: &Fleet) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(held) = guards.max_tasks.as_ref().filter(|held| chosen.len() > held.value) {
        problems.push(Problem {
            subject: subject("MAX_TASKS", held),
            problem: format!("{} task(s) would be taken, at most {} may be", chosen.len(), held.value),
            next: next("lower TASK_REPLICA_AFFECTED_PERC or name fewer tasks", "MAX_TASKS", held),
        });
    }
    if let Some(held) = &guards.max_percent {
        for (group, taken) in by_group(chosen) {
            let running = fleet.running(group).max(taken);
            if taken * 100 > running * usize::from(held.value) {
                problems.push(Problem {
                    subject: subject("MAX_PERCENT", held),
                    problem: format!(
                        "{taken} of {running} running task(s) of {} would be taken, at most {} percent may be",
                        whose(group),
                        held.value
                    ),
                    next: next("lower TASK_REPLICA_AFFECTED_PERC or run more tasks", "MAX_PERCENT", held),
                });
            }
        }
    }
    for held in &guards.tags {
        let without: Vec<&&Task> = chosen.iter().filter(|task| !has_tag(task, &held.value, fleet)).collect();
        if let Some(first) = without.first() {
            let tag = &held.value;
            problems.push(Problem {
                subject: subject("REQUIRE_TAG", held),
                problem: format!(
                    "{} of {} chosen task(s) lack the tag {tag}, and so does their service: task {} of {}, for one",
                    without.len(),
                    chosen.len(),
                    first.id,
                    whose(&first.group)
                ),
                next: next("give the task or its service the tag", "REQUIRE_TAG", held),
            });
        }
    }
    problems
}

/// Whether a task may be taken in another one's place.
pub(super) fn has_all_tags(task: &Task, guards: &Guards, fleet: &Fleet) -> bool {
    guards.tags.iter().all(|held| has_tag(task, &held.value, fleet))
}

fn has_tag(task: &Task, tag: &RequiredTag, fleet: &Fleet) -> bool {
    let fits = |tags: &BTreeMap<String, String>| {
        tags.get(&tag.key).is_some_and(|value| tag.value.as_ref().is_none_or(|wanted| wanted == value))
    };
    fits(&task.tags) || fleet.services.get(&task.group).is_some_and(|service| fits(&service.tags))
}

/// All tasks of a load-balanced service failing their health checks at once is an outage of the service, not a test
/// of its clients.
pub(super) fn danger(settings: &RunSettings, fleet: &Fleet, chosen: &[&Task]) -> Option<String> {
    if !can_be_dangerous(settings) {
        return None;
    }
    let taken = by_group(chosen);
    let whole = |group: &str| taken.get(group).copied().filter(|taken| *taken >= fleet.running(group));
    let balanced = fleet.services.iter().filter(|(_, service)| service.load_balanced);
    let services: Vec<String> = balanced
        .filter_map(|(group, service)| {
            Some(format!("all {} running task(s) of {}", whole(group)?, service.name))
        })
        .collect();
    (!services.is_empty()).then(|| {
        format!(
            "{} will answer {}, health checks of the load balancer too: the whole service can leave its target group and \
             its tasks can be replaced (EXCLUDE_USER_AGENTS=ELB-HealthChecker spares the checks)",
            services.join(" and "),
            settings.template.fault.status
        )
    })
}

fn can_be_dangerous(settings: &RunSettings) -> bool {
    let fault = &settings.template.fault;
    let spared = fault.selection.exclude_user_agents.iter().any(|agent| agent.contains("ELB-HealthChecker"));
    settings.sequence == Sequence::Parallel && fault.status >= 500 && !spared
}

/// Every guard that holds.
pub(super) fn reports(guards: &Guards) -> Vec<GuardReport> {
    let report = |guard, limit, from: &Source| GuardReport { guard, limit, from: from.to_string() };
    let mut reports = Vec::new();
    reports.extend(guards.max_tasks.iter().map(|g| report("MAX_TASKS", g.value.to_string(), &g.from)));
    reports.extend(guards.max_percent.iter().map(|g| report("MAX_PERCENT", g.value.to_string(), &g.from)));
    reports.extend(guards.tags.iter().map(|g| report("REQUIRE_TAG", g.value.to_string(), &g.from)));
    reports.extend(guards.zones.iter().map(|g| report("AVAILABILITY_ZONE", list(&g.value), &g.from)));
    reports.extend(guards.instances.iter().map(|g| report("INSTANCE_IDS", list(&g.value), &g.from)));
    reports
}

fn by_group<'a>(chosen: &[&'a Task]) -> BTreeMap<&'a str, usize> {
    let mut groups = BTreeMap::new();
    chosen.iter().for_each(|task| *groups.entry(task.group.as_str()).or_default() += 1);
    groups
}

fn whose(group: &str) -> String {
    match group.strip_prefix("service:") {
        Some(service) => format!("service {service}"),
        None => format!("group {group}"),
    }
}

fn list(texts: &BTreeSet<String>) -> String {
    texts.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn subject<T>(guard: &str, held: &Held<T>) -> String {
    match &held.from {
        Source::Setting(name) => name.clone(),
        Source::File(path) => format!("{guard} in {}", path.display()),
    }
}

fn next<T>(what: &str, guard: &str, held: &Held<T>) -> String {
    match held.from {
        Source::Setting(_) => format!("{what}, or change {guard}"),
        Source::File(_) => format!("{what}; settings can't widen a mounted guard"),
    }
}
