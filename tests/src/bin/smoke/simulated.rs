//! The stack as the simulator has it: the template's cluster and role, with real containers as its tasks and this
//! machine as its instances. The arm64 instance is one by its attributes only.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use httpfault_simulator::{
    Arch, Cluster, Container, ContainerInstance, ManagedInstance, NetworkMode, Policy, Role, Service, Task,
    Timing, World,
};
use httpfault_tests::{
    docker::Instance,
    experiment::{Account, AgentFile, Web, host},
};

use crate::{
    Args,
    pass::{Pass, Row},
    template::{self, Template},
};

pub(crate) fn pass(template: &Template, args: &Args, files: &Path) -> Result<Vec<Row>> {
    let instance = Instance::take()?;
    let services = template.services()?;
    let hosts = template.hosts()?;
    let mut webs = Vec::new();
    for service in &services {
        for number in 0..service.tasks {
            let web = Web::start(&instance, u16::try_from(webs.len() + 1)?, number % hosts.len())?;
            webs.push((service, web));
        }
    }
    let tasks: Vec<&Web<'_>> = webs.iter().map(|(_, web)| web).collect();
    let account = Account::empty(&instance, &tasks, Timing::default())?;
    let before = account.simulator.world();
    let cluster = template.cluster()?;
    let policy = template.controller_policy(&before.region, &before.account)?;
    let shaped = world(&cluster, &before, &hosts, &webs)?;
    let shaped = shaped.role(Role::new("controller").policy(Policy::parse(&policy)?));
    let role = shaped.role_arn("controller");
    account.simulator.edit(|world| *world = shaped);

    let agents = agents(files)?;
    let mut environment = account.simulator.env();
    environment.push(("ASSUME_ROLE_ARN".to_owned(), role));
    environment.push(("AGENT_DIR".to_owned(), agents));
    let loads: Vec<_> = tasks.iter().map(|web| web.load()).collect();
    let pass = Pass { environment, cluster, files: files.to_owned(), duration: args.duration };
    let rows = pass.all(&services);
    for load in loads {
        load.stop()?;
    }
    account.assert_clean(&tasks)?;
    rows
}

fn world(
    cluster: &str,
    before: &World,
    hosts: &[template::Host],
    webs: &[(&template::Service, Web<'_>)],
) -> Result<World> {
    let mut shaped = World { region: before.region.clone(), account: before.account.clone(), ..World::new() };
    let mut stack = Cluster::new(cluster);
    for (number, found) in hosts.iter().enumerate() {
        let arch = if found.arm { Arch::Arm64 } else { Arch::X86_64 };
        stack = stack.container_instance(ContainerInstance::new(&host(number)).arch(arch));
        let managed = before.managed_instance(&host(number)).context("an instance has no task")?.clone();
        let tagged = |one: ManagedInstance, (key, value): &(String, String)| one.tag(key, value);
        shaped = shaped.managed(found.tags.iter().fold(managed, tagged));
    }
    let mut known = Vec::new();
    for (service, web) in webs {
        if !known.contains(&&service.name) {
            known.push(&service.name);
            stack = stack.service(Service::new(&service.name).desired_count(service.tasks));
        }
        let mode = if service.network == "awsvpc" { NetworkMode::Awsvpc } else { NetworkMode::Bridge };
        let mut task = Task::on(&web.host).id(&web.task).service(&service.name).network_mode(mode);
        for (number, name) in service.containers.iter().enumerate() {
            let container = Container::new(name);
            task = task.container(match number {
                0 => container.runtime_id(&web.container.id).port(80, web.address.port()),
                _ => container,
            });
        }
        stack = stack.task(task);
    }
    Ok(shaped.cluster(stack))
}

/// Every instance is this machine, so its agent stands under both names.
fn agents(files: &Path) -> Result<String> {
    let native = AgentFile::stripped()?.path;
    let agents = files.join("agents");
    fs::create_dir(&agents).context("making a directory for the agents")?;
    for name in ["x86_64", "aarch64"] {
        let to = agents.join(format!("httpfault-agent-{name}"));
        fs::copy(&native, &to).with_context(|| format!("copying {}", native.display()))?;
    }
    Ok(agents.display().to_string())
}
