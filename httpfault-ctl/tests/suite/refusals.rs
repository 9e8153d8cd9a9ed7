//! Every reason against a plan, with what to do, and all of them at once.

use httpfault_simulator::{
    Arch, ContainerInstance, LaunchType, PingStatus, Policy, Task, TaskStatus, User, World,
};

use crate::support::{Site, finish, host};

#[test]
fn hosts_that_can_not_be_used_are_all_named() {
    let site = Site::new(World::fleet(8, 1));
    site.simulator.edit(|world| {
        world.ping(&host(1), PingStatus::ConnectionLost);
        world.managed_instances.retain(|managed| managed.id != host(2));
        let cluster = &mut world.clusters[0];
        let mut set = |number: usize, change: &dyn Fn(ContainerInstance) -> ContainerInstance| {
            let old = cluster.container_instances[number].clone();
            cluster.container_instances[number] = change(old);
        };
        set(3, &|instance| instance.windows());
        set(4, &|instance| instance.bottlerocket("aws-ecs-2"));
        set(5, &|instance| instance.attribute("ecs.cpu-architecture", "riscv64"));
        set(6, &|instance| instance.without_attribute("ecs.cpu-architecture"));
        set(7, &|instance| instance.arch(Arch::Arm64));
    });
    std::fs::remove_file(site.agent_path("aarch64")).unwrap();
    finish(&mut site.on_service("run"))
        .exits(1)
        .says("its SSM agent is ConnectionLost, not Online")
        .says("Systems Manager does not manage it")
        .says("AmazonSSMManagedInstanceCore")
        .says("it runs Windows")
        .says("it runs Bottlerocket")
        .says("no agent for its architecture riscv64")
        .says("it has no ecs.cpu-architecture attribute")
        .says("there is no httpfault-agent-aarch64 in");
    assert_eq!(site.simulator.count("SendCommand"), 0);
}

#[test]
fn tasks_that_can_not_be_used_are_all_named() {
    let site = Site::new(World::fleet(1, 1));
    let (pending, fargate) = ("a".repeat(32), "b".repeat(32));
    site.simulator.edit(|world| {
        let stopped = Task::on(&host(0)).id(&pending).last_status(TaskStatus::Pending);
        world.clusters[0].tasks.push(stopped);
        world.clusters[0].tasks.push(Task::fargate().id(&fargate).service("web"));
        let external = Task::on(&host(0)).id(&"c".repeat(32)).launch_type(LaunchType::External);
        world.clusters[0].tasks.push(external);
    });
    let missing = "d".repeat(32);
    let ids = [&pending, &fargate, &"c".repeat(32), &missing].map(String::as_str).join(",");
    finish(site.ctl("plan").env("TASK_REPLICA_ID", ids))
        .exits(1)
        .says("it is PENDING (wanted: RUNNING), not RUNNING")
        .says("its launch type is FARGATE, not EC2")
        .says("its launch type is EXTERNAL, not EC2")
        .says(&format!("task {missing}: cluster shop does not know it (MISSING)"));
    // A whole service of Fargate tasks is refused; in a whole cluster they are left out.
    finish(&mut site.on_service("plan")).exits(1).says("FARGATE");
    let all = finish(site.ctl("plan").args(["--all-tasks", "--output", "json"]))
        .exits(0)
        .says("is not counted")
        .json();
    assert_eq!(all["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_wrong_cluster_or_service_is_named() {
    let site = Site::new(World::fleet(1, 1));
    finish(site.on_service("plan").env("CLUSTER_NAME", "none")).exits(1).says("cluster none does not exist");
    finish(site.on_service("plan").env("SERVICE_NAME", "none"))
        .exits(1)
        .says("service none does not exist in cluster shop");
    let empty = Site::new(World::fleet(1, 0));
    finish(&mut empty.on_service("plan")).exits(1).says("no EC2 task is running");
}

#[test]
fn the_printed_policy_is_enough_and_each_of_its_actions_is_missed() {
    let policy = finish(crate::support::bare("policy").env("CLUSTER_NAME", "shop")).exits(0);
    let document = policy.json();
    let actions: Vec<String> = document["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap().clone())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect();
    let user =
        User::new("chaos", "AKIDCHAOS0000000000A", "secret").policy(Policy::parse(&policy.stdout).unwrap());
    let site = Site::new(World::fleet(1, 1).user(user));
    finish(&mut site.on_service("run")).exits(0);
    let used: std::collections::BTreeSet<String> =
        site.simulator.calls().iter().map(|call| call.iam_action()).collect();
    for action in &used {
        assert!(actions.contains(action), "{action} is used and not in the policy");
        let name = action.split(':').nth(1).unwrap();
        site.simulator.faults(|faults| faults.deny(name));
        let done = finish(&mut site.on_service("run"));
        site.simulator.faults(|faults| faults.clear());
        if ["ssm:ListCommands", "ssm:ListCommandInvocations"].contains(&action.as_str()) {
            done.exits(0).says(&format!("{action} is denied: "));
            continue;
        }
        assert_ne!(done.code, 0, "{action}: {done}");
        done.says(&format!("AWS denied {action}"))
            .says(&format!("\"{action}\""))
            .says("\"Effect\": \"Allow\"");
    }
}
