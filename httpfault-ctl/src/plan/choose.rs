//! Which tasks, and which container of each.

use httpfault_common::contract::{Problem, TargetSelector};

use super::{PlannedTask, blast_radius};
use crate::{
    fleet::{Fleet, InstanceId, Task},
    tunables::{Architecture, RunSettings, TaskChoice},
};

/// The tasks that could be chosen. Named tasks must all be fit; of a service or cluster, those that are not running
/// are left out.
pub(super) fn candidates<'a>(
    settings: &RunSettings,
    fleet: &'a Fleet,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Vec<&'a Task> {
    let named = matches!(settings.choice, TaskChoice::Tasks(_));
    for (id, reason) in &fleet.unknown_tasks {
        problems.push(Problem {
            subject: format!("task {id}"),
            problem: format!("cluster {} does not know it ({reason})", settings.cluster),
            next: "look up the ids of running tasks, or name the service with SERVICE_NAME".to_owned(),
        });
    }
    let mut fit = Vec::new();
    for task in &fleet.tasks {
        let whole_cluster = settings.choice == TaskChoice::AllTasks;
        match (task.is_running(), task.launch_type == "EC2") {
            (true, true) => fit.push(task),
            (false, _) if !named => warnings.push(format!(
                "task {} is {} (wanted: {}) and is not counted",
                task.id, task.last_status, task.desired_status
            )),
            (true, false) if whole_cluster => {
                warnings.push(format!(
                    "task {} has launch type {} and is not counted",
                    task.id, task.launch_type
                ));
            }
            (_, false) => problems.push(not_ec2(task)),
            (false, true) => problems.push(Problem {
                subject: format!("task {}", task.id),
                problem: format!("it is {} (wanted: {}), not RUNNING", task.last_status, task.desired_status),
                next: "choose a running task".to_owned(),
            }),
        }
    }
    if fit.is_empty() && problems.is_empty() {
        problems.push(Problem {
            subject: match &settings.choice {
                TaskChoice::Service(service) => format!("service {service}"),
                TaskChoice::Tasks(_) | TaskChoice::AllTasks => format!("cluster {}", settings.cluster),
            },
            problem: "no EC2 task is running".to_owned(),
            next: "start the service, or name another one".to_owned(),
        });
    }
    let mut fit = blast_radius::within(fit, settings, fleet, problems, warnings);
    // ECS lists tasks in no order; a seed must mean the same choice every time.
    fit.sort_by(|a, b| a.arn.cmp(&b.arn));
    fit
}

fn not_ec2(task: &Task) -> Problem {
    let next = match task.launch_type.as_str() {
        "FARGATE" => "Fargate offers no host to run on; use a service on EC2 container instances",
        "EXTERNAL" => "ECS Anywhere hosts are not supported; use a service on EC2 container instances",
        _ => "ECS manages these hosts and lets nobody in; use a service on EC2 container instances",
    };
    Problem {
        subject: format!("task {}", task.id),
        problem: format!("its launch type is {}, not EC2", task.launch_type),
        next: next.to_owned(),
    }
}

/// max(1, floor(n * percent / 100)).
pub(super) fn affected(tasks: usize, percent: u8) -> usize {
    (tasks * usize::from(percent) / 100).max(1).min(tasks)
}

/// Draws the share; every subset of that size is equally likely. Named tasks are all taken.
pub(super) fn sample<'a>(
    candidates: Vec<&'a Task>,
    choice: &TaskChoice,
    percent: u8,
    seed: u64,
) -> Vec<&'a Task> {
    if matches!(choice, TaskChoice::Tasks(_)) {
        return candidates;
    }
    let count = affected(candidates.len(), percent);
    if count == candidates.len() {
        return candidates;
    }
    let mut drawn = fastrand::Rng::with_seed(seed).choose_multiple(candidates, count);
    drawn.sort_by(|a, b| a.arn.cmp(&b.arn));
    drawn
}

/// The task with its container and host; `None` where the host was refused already or the container can't be told.
pub(super) fn planned(
    task: &Task,
    settings: &RunSettings,
    fleet: &Fleet,
    problems: &mut Vec<Problem>,
) -> Option<PlannedTask> {
    let container = match container(task, settings, fleet) {
        Ok(container) => container,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let host = fleet.hosts.get(task.container_instance.as_ref()?)?;
    let instance = InstanceId::new(&host.instance_id)?;
    let architecture = Architecture::named(host.cpu_architecture.as_deref()?)?;
    let found = container.and_then(|index| task.containers.get(index));
    let runtime_id = found.and_then(|container| container.runtime_id.clone());
    let selector = match &runtime_id {
        Some(id) => TargetSelector::Container { id: id.clone() },
        None => TargetSelector::Task {
            id: task.id.clone(),
            container: found.map(|container| container.name.clone()).or_else(|| settings.container.clone()),
        },
    };
    Some(PlannedTask {
        task: task.id.clone(),
        arn: task.arn.clone(),
        container: found.map(|container| container.name.clone()),
        runtime_id,
        instance,
        architecture,
        group: task.group.clone(),
        selector,
    })
}

/// Index of the container that serves the port. `Ok(None)` leaves the choice to the agent, which looks at who
/// listens; it proves the choice in every case.
fn container(task: &Task, settings: &RunSettings, fleet: &Fleet) -> Result<Option<usize>, Problem> {
    let port = settings.template.port;
    let subject = || format!("task {}", task.id);
    let names = || task.containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = &settings.container {
        let found = task.containers.iter().position(|container| container.name == *wanted);
        return found.map(Some).ok_or_else(|| Problem {
            subject: subject(),
            problem: format!("it has no container {wanted}; its containers are {}", names()),
            next: "correct CONTAINER_NAME".to_owned(),
        });
    }
    if task.containers.len() == 1 {
        return Ok(Some(0));
    }
    let declared = fleet.declared.get(&task.definition);
    let serving = |by: &dyn Fn(&crate::fleet::Container) -> bool| -> Vec<usize> {
        let matching = task.containers.iter().enumerate().filter(|(_, container)| by(container));
        matching.map(|(index, _)| index).collect()
    };
    let mut found = serving(&|container| container.bound_ports.contains(&port));
    if found.is_empty() {
        found = serving(&|container| {
            declared.and_then(|ports| ports.get(&container.name)).is_some_and(|ports| ports.contains(&port))
        });
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => {
            let names: Vec<&str> =
                several.iter().filter_map(|i| task.containers.get(*i)).map(|c| c.name.as_str()).collect();
            Err(Problem {
                subject: subject(),
                problem: format!("containers {} all map port {port}", names.join(" and ")),
                next: "name one with CONTAINER_NAME".to_owned(),
            })
        }
    }
}
