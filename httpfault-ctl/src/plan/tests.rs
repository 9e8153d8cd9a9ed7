//! The maths of a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{choose, make};
use crate::{
    agents::AgentFile,
    args,
    fleet::{Container, Fleet, Host, Managed, Service, Task},
    tunables::{self, Architecture, Environment, RunSettings, TaskChoice},
};

struct Variables(Vec<(&'static str, String)>);

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<std::ffi::OsString> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    }

    fn names(&self) -> Vec<std::ffi::OsString> {
        self.0.iter().map(|(name, _)| name.into()).collect()
    }
}

fn settings(more: &[(&'static str, &str)]) -> RunSettings {
    let mut variables = vec![("CLUSTER_NAME", "c"), ("SERVICE_NAME", "s"), ("REGION", "eu-central-1")];
    variables.extend(more);
    let variables = Variables(variables.into_iter().map(|(name, value)| (name, value.to_owned())).collect());
    let matches = args::command().try_get_matches_from(["httpfault-ctl", "plan"]).unwrap();
    let matches = matches.subcommand_matches("plan").unwrap();
    tunables::check(matches, &variables, tunables::read_run).unwrap().settings
}

/// `tasks` tasks, ten on a host.
fn fleet(tasks: usize) -> Fleet {
    let mut fleet = Fleet::default();
    let service = Service { name: "s".to_owned(), load_balanced: true, ..Service::default() };
    fleet.services.insert(service.group(), service);
    for number in 0..tasks {
        let host = format!("arn:host/{}", number / 10);
        let instance_id = format!("i-{:017}", number / 10);
        let managed = Managed {
            ping_status: "Online".to_owned(),
            platform_type: "Linux".to_owned(),
            platform_name: "Amazon Linux".to_owned(),
        };
        fleet.managed.insert(instance_id.clone(), managed);
        let found = Host { instance_id, cpu_architecture: Some("arm64".to_owned()), ..Host::default() };
        fleet.hosts.insert(host.clone(), found);
        fleet.tasks.push(Task {
            id: format!("t{number:04}"),
            arn: format!("arn:t{number:04}"),
            last_status: "RUNNING".to_owned(),
            desired_status: "RUNNING".to_owned(),
            launch_type: "EC2".to_owned(),
            group: "service:s".to_owned(),
            container_instance: Some(host),
            containers: vec![Container {
                name: "web".to_owned(),
                runtime_id: Some(format!("docker{number}")),
                bound_ports: vec![80],
            }],
            ..Task::default()
        });
    }
    fleet
}

fn agents() -> BTreeMap<Architecture, AgentFile> {
    let file = AgentFile { sha256: "00".repeat(32), compressed_bytes: Some(100_000), compressed: None };
    BTreeMap::from([(Architecture::Aarch64, file.clone()), (Architecture::X86_64, file)])
}

fn plan(settings: &RunSettings, fleet: &Fleet, seed: u64) -> super::Plan {
    make(settings, fleet, &agents(), "e".parse().unwrap(), seed).unwrap()
}

#[test]
fn a_share_is_rounded_down_and_is_never_nothing() {
    for (tasks, percent, affected) in [
        (1, 1, 1),
        (1, 100, 1),
        (3, 50, 1),
        (3, 66, 1),
        (3, 67, 2),
        (10, 0, 1),
        (10, 35, 3),
        (250, 10, 25),
        (7, 100, 7),
    ] {
        assert_eq!(choose::affected(tasks, percent), affected, "{percent} percent of {tasks}");
    }
}

#[test]
fn every_task_is_equally_likely() {
    let fleet = fleet(10);
    let candidates: Vec<&Task> = fleet.tasks.iter().collect();
    let mut drawn: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..5000 {
        for task in choose::sample(candidates.clone(), &TaskChoice::AllTasks, 30, seed) {
            *drawn.entry(&task.id).or_default() += 1;
        }
    }
    // 1500 each; five standard deviations are 162.
    assert!(drawn.values().all(|count| (1338..=1662).contains(count)), "{drawn:?}");
    let pairs: BTreeSet<Vec<&str>> = (0..5000)
        .map(|seed| choose::sample(candidates.clone(), &TaskChoice::AllTasks, 20, seed))
        .map(|tasks| tasks.iter().map(|task| task.id.as_str()).collect())
        .collect();
    assert_eq!(pairs.len(), 45, "each pair of ten tasks comes up");
}

#[test]
fn the_order_in_which_ecs_lists_tasks_does_not_matter() {
    let settings = settings(&[("TASK_REPLICA_AFFECTED_PERC", "30")]);
    let (straight, mut reversed) = (fleet(20), fleet(20));
    reversed.tasks.reverse();
    let ids = |fleet: &Fleet| {
        plan(&settings, fleet, 11).tasks.into_iter().map(|task| task.task).collect::<Vec<_>>()
    };
    assert_eq!(ids(&straight), ids(&reversed));
}

#[test]
fn parallel_is_one_window_with_an_agent_per_host_and_serial_one_per_task() {
    let fleet = fleet(25);
    let parallel = plan(&settings(&[("RAMP_TIME", "5")]), &fleet, 1);
    assert_eq!(parallel.windows.len(), 1);
    let targets: Vec<usize> = parallel.windows[0].runs.iter().map(|run| run.spec.targets.len()).collect();
    assert_eq!(targets, [10, 10, 5]);
    assert_eq!(parallel.wall_secs, 70);

    let serial = plan(&settings(&[("SEQUENCE", "serial"), ("RAMP_TIME", "5")]), &fleet, 1);
    assert_eq!(serial.windows.len(), 25);
    assert!(
        serial.windows.iter().all(|window| window.runs.len() == 1 && window.runs[0].spec.targets.len() == 1)
    );
    assert_eq!(serial.wall_secs, 25 * 60 + 10);
    assert_eq!(parallel.agents.keys().copied().collect::<Vec<_>>(), [Architecture::Aarch64]);
}

#[test]
fn danger_is_a_whole_load_balanced_service_answering_5xx_at_once() {
    let fleet = fleet(4);
    let danger = |more: &[(&'static str, &str)]| plan(&settings(more), &fleet, 1).danger.is_some();
    assert!(danger(&[]));
    assert!(!danger(&[("STATUS_CODE", "429")]));
    assert!(!danger(&[("TASK_REPLICA_AFFECTED_PERC", "75")]));
    assert!(!danger(&[("SEQUENCE", "serial")]));
    assert!(!danger(&[("EXCLUDE_USER_AGENTS", "ELB-HealthChecker/2.0")]));
}

#[test]
fn every_problem_is_found() {
    let mut fleet = fleet(30);
    fleet.managed.clear();
    fleet.hosts.values_mut().for_each(|host| host.cpu_architecture = None);
    fleet.unknown_tasks.push(("gone".to_owned(), "MISSING".to_owned()));
    let problems = make(&settings(&[]), &fleet, &agents(), "e".parse().unwrap(), 1).unwrap_err();
    // Three hosts with two reasons each, and the task.
    assert_eq!(problems.len(), 7, "{problems:#?}");
    assert!(problems.iter().all(|problem| !problem.next.is_empty()));
}

fn instance(plan: &super::Plan, task: usize) -> String {
    plan.tasks[task].instance.to_string()
}

/// Which of the first window's tasks are told to whom after the plan met the fleet again.
fn renewed(plan: &mut super::Plan, settings: &RunSettings, fleet: &Fleet) -> (Vec<String>, super::Renewed) {
    let runs = plan.windows[0].runs.clone();
    let renewed = plan.renew(&runs, fleet, settings);
    let told =
        renewed.runs.iter().flat_map(|run| run.tasks.iter().map(|index| plan.tasks[*index].task.clone()));
    (told.collect(), renewed)
}

#[test]
fn a_task_that_is_gone_is_replaced_where_a_share_was_asked_for() {
    let settings = settings(&[("TASK_REPLICA_AFFECTED_PERC", "50")]);
    let mut fleet = fleet(10);
    let mut plan = plan(&settings, &fleet, 1);
    let planned: Vec<String> = plan.tasks.iter().map(|task| task.task.clone()).collect();
    assert!(plan.windows[0].runs.iter().all(|run| plan.still_fits(run, &fleet.tasks)));
    fleet.tasks.retain(|task| task.id != planned[0]);
    let stopped = fleet.tasks.iter_mut().find(|task| task.id == planned[1]).unwrap();
    stopped.last_status = "STOPPED".to_owned();
    assert!(!plan.windows[0].runs.iter().all(|run| plan.still_fits(run, &fleet.tasks)));

    let (told, renewed) = renewed(&mut plan, &settings, &fleet);
    assert_eq!(told.len(), 5, "as many as were asked for");
    assert!(!told.contains(&planned[0]) && !told.contains(&planned[1]), "{told:?}");
    assert!(planned[2..].iter().all(|task| told.contains(task)), "those that run are kept: {told:?}");
    let instead: Vec<_> =
        renewed.changes.iter().map(|(index, change)| (*index, change.instead.clone())).collect();
    let is_told = |new: &Option<Task>| new.as_ref().is_some_and(|new| told.contains(&new.id));
    assert!(instead.iter().all(|(_, new)| is_told(new)), "{instead:?}");
    assert_eq!(plan.tasks.len(), 7, "the report keeps those that are gone");
}

#[test]
fn a_task_that_was_named_is_not_replaced_and_a_new_container_is_followed() {
    let mut fleet = fleet(3);
    let named = settings(&[("TASK_REPLICA_ID", "t0000,t0001")]);
    let all = std::mem::take(&mut fleet.tasks);
    fleet.tasks = all[..2].to_vec();
    let mut plan = plan(&named, &fleet, 1);
    fleet.tasks = all;
    fleet.tasks.remove(0);
    fleet.tasks[0].containers[0].runtime_id = Some("restarted".to_owned());
    let host = instance(&plan, 1);
    let (told, renewed) = renewed(&mut plan, &named, &fleet);
    assert_eq!(told, ["t0001"]);
    assert!(renewed.changes[0].1.instead.is_none());
    let run = &renewed.runs[0];
    assert_eq!(run.instance.to_string(), host);
    assert_eq!(run.spec.targets[0].to_string(), "container restarted");
}
