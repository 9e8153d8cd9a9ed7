//! `plan` shows what `run` does and changes nothing.

use httpfault_simulator::{
    Cluster, Container, ContainerInstance, ManagedInstance, NetworkMode, Service, Task, World,
};

use crate::support::{Site, finish, host};

#[test]
fn two_hundred_and_fifty_tasks_are_paged_and_batched() {
    let site = Site::new(World::fleet(125, 2));
    let plan = finish(&mut site.on_service("plan")).exits(0).json();
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 250);
    assert_eq!(plan["population"], 250);
    assert_eq!(plan["windows"][0]["commands"].as_array().unwrap().len(), 125);
    assert_eq!(site.simulator.count("ListTasks"), 3);
    assert_eq!(site.simulator.count("DescribeTasks"), 3);
    assert_eq!(site.simulator.count("DescribeContainerInstances"), 2);
    assert_eq!(site.simulator.count("DescribeInstanceInformation"), 3);
    assert_eq!(site.simulator.count("SendCommand"), 0);
    let calls = site.simulator.calls().len();
    assert_eq!(plan["api_calls"]["resolve"], calls, "{}", plan["api_calls"]);
}

#[test]
fn the_share_is_drawn_by_the_seed() {
    let site = Site::new(World::fleet(5, 2));
    let drawn = |percent: &str, seed: &str| {
        let mut ctl = site.on_service("plan");
        let plan = finish(ctl.env("TASK_REPLICA_AFFECTED_PERC", percent).env("SEED", seed)).exits(0).json();
        assert_eq!(plan["seed"].to_string(), seed);
        let tasks = plan["tasks"].as_array().unwrap().iter();
        tasks.map(|task| task["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(drawn("35", "7").len(), 3);
    assert_eq!(drawn("1", "7").len(), 1);
    assert_eq!(drawn("35", "7"), drawn("35", "7"));
    let choices: std::collections::BTreeSet<_> = (0..6).map(|seed| drawn("35", &seed.to_string())).collect();
    assert!(choices.len() > 1, "six seeds, one choice: {choices:?}");
}

#[test]
fn the_table_shows_tasks_commands_seed_and_time() {
    let site = Site::new(World::fleet(1, 1));
    let task = site.simulator.world().clusters[0].tasks[0].clone();
    let mut ctl = site.ctl("plan");
    ctl.args([
        "--service-name",
        "web",
        "--sequence",
        "serial",
        "--ramp-time",
        "10",
        "--total-chaos-duration",
        "30",
    ]);
    finish(&mut ctl)
        .exits(0)
        .says(&task.id)
        .says(&host(0))
        .says("/httpfault-agent run --output json --spec ")
        .says("50 s in all")
        .says("seed ");
    assert_eq!(site.simulator.count("SendCommand"), 0);
}

/// A host with a task of an application and a sidecar.
fn two_containers(mode: NetworkMode, app: Container, sidecar: Container) -> World {
    let id = host(0);
    let task = Task::on(&id).service("web").network_mode(mode).container(sidecar).container(app);
    let cluster = Cluster::new("shop")
        .container_instance(ContainerInstance::new(&id))
        .service(Service::new("web"))
        .task(task);
    World::new().cluster(cluster).managed(ManagedInstance::amazon_linux(&id))
}

#[test]
fn the_container_with_the_port_is_taken() {
    for mode in [NetworkMode::Bridge, NetworkMode::Awsvpc, NetworkMode::Host] {
        let site = Site::new(two_containers(mode, Container::new("app").port(80, 80), Container::new("log")));
        let plan = finish(&mut site.on_service("plan")).exits(0).json();
        assert_eq!(plan["tasks"][0]["container"], "app", "{mode:?}");
        let looked = site.simulator.count("DescribeTaskDefinition");
        assert!(looked <= 1, "{mode:?}: {looked}");
    }
}

#[test]
fn nobody_declares_the_port_so_the_agent_looks() {
    let world = two_containers(NetworkMode::Host, Container::new("app"), Container::new("log"));
    let site = Site::new(world);
    let task = site.simulator.world().clusters[0].tasks[0].id.clone();
    finish(&mut site.on_service("run")).exits(0);
    let spec = site.specs().remove(0);
    assert_eq!(spec["targets"][0], serde_json::json!({"kind": "task", "id": task}));
}

#[test]
fn two_containers_with_the_port_need_a_name() {
    let world = || {
        two_containers(
            NetworkMode::Bridge,
            Container::new("a").port(80, 1001),
            Container::new("b").port(80, 1002),
        )
    };
    let site = Site::new(world());
    finish(&mut site.on_service("plan")).exits(1).says("b and a all map port 80").says("CONTAINER_NAME");
    let plan = finish(site.on_service("plan").env("CONTAINER_NAME", "a")).exits(0).json();
    assert_eq!(plan["tasks"][0]["container"], "a");
    finish(site.on_service("plan").env("CONTAINER_NAME", "c")).exits(1).says("it has no container c");
}

/// Tasks of a capacity provider may show no launch type, and old ones have ARNs without the cluster's name.
#[test]
fn what_has_a_container_instance_is_on_ec2_whatever_its_arns_look_like() {
    let site = Site::new(World::fleet(2, 1));
    site.simulator.edit(|world| {
        for task in &mut world.clusters[0].tasks {
            *task = task.clone().capacity_provider("spot").short_arns();
        }
    });
    finish(&mut site.on_service("run")).exits(0);
}
