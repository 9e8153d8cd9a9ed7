//! Reasons against a plan. Every one is found, with what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::{Problem, limit};

use super::{PlannedTask, Window};
use crate::{
    agents::AgentFile,
    aws::limit::SPEC_BYTES,
    fleet::{Fleet, Host, InstanceId, Managed, Task},
    tunables::{Architecture, RunSettings},
};

/// What keeps the hosts of the chosen tasks from being used; each host once, with its tasks.
pub(super) fn hosts(chosen: &[&Task], fleet: &Fleet) -> Vec<Problem> {
    let mut by_host: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in chosen {
        by_host.entry(task.container_instance.as_deref().unwrap_or("")).or_default().push(&task.id);
    }
    let mut problems = Vec::new();
    for (arn, tasks) in by_host {
        let on = |instance: &str| format!("instance {instance} (task {})", tasks.join(", "));
        let Some(host) = fleet.hosts.get(arn) else {
            problems.push(Problem {
                subject: format!("task {}", tasks.join(", ")),
                problem: "ECS does not say on which container instance it runs".to_owned(),
                next: "try again; the instance may just have been deregistered".to_owned(),
            });
            continue;
        };
        let reasons = host_reasons(host, fleet.managed.get(&host.instance_id));
        problems.extend(reasons.into_iter().map(|(problem, next)| Problem {
            subject: on(&host.instance_id),
            problem,
            next: next.to_owned(),
        }));
    }
    problems
}

fn host_reasons(host: &Host, managed: Option<&Managed>) -> Vec<(String, &'static str)> {
    let mut reasons = Vec::new();
    if InstanceId::new(&host.instance_id).is_none() {
        reasons.push((
            "it is not an EC2 instance".to_owned(),
            "ECS Anywhere hosts (mi-…) are not supported; use EC2 container instances",
        ));
        return reasons;
    }
    let windows = host.os_type.as_deref().is_some_and(|os| os.to_ascii_lowercase().starts_with("windows"))
        || managed.is_some_and(|managed| managed.platform_type.eq_ignore_ascii_case("windows"));
    let bottlerocket =
        host.bottlerocket || managed.is_some_and(|managed| managed.platform_name.contains("Bottlerocket"));
    if windows {
        reasons.push(("it runs Windows".to_owned(), "only Linux container instances are supported"));
    } else if bottlerocket {
        reasons.push((
            "it runs Bottlerocket, whose SSM agent is shut in a container of its own".to_owned(),
            "use container instances with an ECS-optimized Amazon Linux AMI",
        ));
    }
    match host.cpu_architecture.as_deref() {
        Some(name) if Architecture::named(name).is_some() => {}
        Some(name) => reasons.push((
            format!("there is no agent for its architecture {name}"),
            "use x86_64 or arm64 container instances",
        )),
        None => reasons.push((
            "it has no ecs.cpu-architecture attribute, so its architecture is unknown".to_owned(),
            "update the ECS agent on it",
        )),
    }
    match managed {
        None => reasons.push((
            "Systems Manager does not manage it".to_owned(),
            "give its instance role AmazonSSMManagedInstanceCore and let it reach the ssm and ssmmessages endpoints",
        )),
        Some(managed) if managed.ping_status != "Online" => reasons.push((
            format!("its SSM agent is {}, not Online", managed.ping_status),
            "look at amazon-ssm-agent on the host (systemctl status amazon-ssm-agent)",
        )),
        Some(_) => {}
    }
    reasons
}

/// Architectures for which there is neither an agent file nor a checksum.
pub(super) fn agents(
    tasks: &[PlannedTask],
    agents: &BTreeMap<Architecture, AgentFile>,
    settings: &RunSettings,
) -> Vec<Problem> {
    let wanted: BTreeSet<Architecture> = tasks.iter().map(|task| task.architecture).collect();
    let missing = wanted.into_iter().filter(|architecture| !agents.contains_key(architecture));
    let dir = settings.agents.dir.as_ref().map(|dir| dir.display().to_string());
    let dir = dir.unwrap_or_else(|| "the directory of httpfault-ctl".to_owned());
    missing
        .map(|architecture| Problem {
            subject: format!("agent for {architecture}"),
            problem: format!(
                "there is no httpfault-agent-{architecture} in {dir}, and AGENT_SHA256 does not name it"
            ),
            next: "set AGENT_DIR, or AGENT_SHA256 when hosts have the agent or download it".to_owned(),
        })
        .collect()
}

/// Limits of one agent process and of one SSM document.
pub(super) fn windows(windows: &[Window]) -> Vec<Problem> {
    let runs = windows.iter().flat_map(|window| &window.runs);
    let mut problems = Vec::new();
    for run in runs {
        let subject = format!("instance {}", run.instance);
        if run.spec.targets.len() > limit::MAX_TARGETS {
            problems.push(Problem {
                subject: subject.clone(),
                problem: format!(
                    "{} tasks on it were chosen, an agent serves at most 100",
                    run.spec.targets.len()
                ),
                next: "lower TASK_REPLICA_AFFECTED_PERC".to_owned(),
            });
        }
        let bytes = run.spec.encode().map_or(usize::MAX, |text| text.len());
        if bytes > SPEC_BYTES {
            problems.push(Problem {
                subject,
                problem: format!("what the agent has to be told is larger than {SPEC_BYTES} bytes"),
                next: "shorten RESPONSE_BODY (control characters count six times), RESPONSE_HEADERS or the filters"
                    .to_owned(),
            });
        }
    }
    problems.dedup_by(|a, b| a.problem == b.problem);
    problems
}
