//! What an account allows: the reference's own policy, and policies that are narrower than IAM's own documents.

use httpfault_simulator::{
    AfterCall, Cluster, Container, ContainerInstance, ManagedInstance, NetworkMode, Policy, Service, Task,
    User, World,
};
use serde_json::{Value, json};

use crate::support::{Finished, Site, bare, finish, host, start};

const KEY: &str = "AKIDCHAOS0000000000A";

/// A world whose one user has what `policy` printed.
fn allowed(world: World, printed: &str) -> Site {
    Site::new(world.user(User::new("chaos", KEY, "secret").policy(Policy::parse(printed).unwrap())))
}

fn reference() -> Finished {
    finish(bare("policy").arg("--reference")).exits(0)
}

/// Two containers of which the task definition alone tells who serves the port.
fn awsvpc_with_sidecar(hosts: usize) -> World {
    let mut cluster = Cluster::new("shop").service(Service::new("web"));
    let mut world = World::new();
    for number in 0..hosts {
        let id = host(number);
        let task = Task::on(&id).service("web").network_mode(NetworkMode::Awsvpc);
        let task = task.container(Container::new("log")).container(Container::new("app").port(80, 80));
        cluster = cluster.container_instance(ContainerInstance::new(&id)).task(task);
        world = world.managed(ManagedInstance::amazon_linux(&id));
    }
    world.cluster(cluster)
}

fn warnings(report: &Value) -> String {
    report["warnings"].to_string()
}

#[test]
fn the_references_policy_is_printed_to_the_letter() {
    let all = |actions: &[&str]| json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
    let page = json!({ "Version": "2012-10-17", "Statement": [
        all(&[
            "ecs:DescribeClusters", "ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListTasks",
            "ecs:ListContainerInstances", "ecs:DescribeContainerInstances",
        ]),
        all(&["ssm:SendCommand", "ssm:CancelCommand", "ssm:GetCommandInvocation", "ssm:DescribeInstanceInformation"]),
        all(&[
            "ec2:DescribeInstances", "ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage",
            "ec2messages:FailMessage", "ec2messages:GetEndpoint", "ec2messages:GetMessages",
            "ec2messages:SendReply",
        ]),
    ]});
    assert_eq!(reference().json(), page);
}

#[test]
fn a_whole_run_works_with_the_references_policy() {
    let site = allowed(awsvpc_with_sidecar(3), &reference().stdout);
    let plan = finish(&mut site.on_service("plan")).exits(0).json();
    for action in ["ssm:ListCommandInvocations", "ssm:ListCommands", "ecs:DescribeTaskDefinition"] {
        assert!(warnings(&plan).contains(&format!("{action} is denied")), "{action}: {plan}");
    }
    let made = site.simulator.calls().len();
    assert_eq!(plan["api_calls"]["resolve"], made);

    let report = finish(&mut site.on_service("run")).exits(0).json();
    for task in report["tasks"].as_array().unwrap() {
        assert_eq!(task["outcome"], "faulted", "{report}");
        assert!(task["verified_on"] == true && task["verified_off"] == true, "{report}");
    }
    // Nobody told which container it is, so the agent looks.
    assert!(site.specs().iter().all(|spec| spec["targets"][0]["kind"] == "task"), "{:?}", site.specs());
    // What is denied is tried once and not again at every look.
    for action in ["ListCommandInvocations", "ListCommands"] {
        assert_eq!(site.simulator.count(action), 2, "{action}");
    }
    assert!(site.simulator.count("GetCommandInvocation") > 9);
    site.assert_clean();
}

#[test]
fn an_abort_and_a_removal_work_with_the_references_policy() {
    let site = allowed(World::fleet(2, 1), &reference().stdout);
    let run = start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "300"));
    site.await_on(2);
    run.signal(nix::sys::signal::Signal::SIGTERM);
    run.ended().exits(130);
    site.assert_clean();

    let run = start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "300").env("EXPERIMENT_ID", "lost"));
    site.await_on(4);
    run.signal(nix::sys::signal::Signal::SIGKILL);
    run.ended();
    // Without ListCommands nobody knows where an experiment is; with the cluster every host of it is asked.
    let mut alone = site.ctl("remove");
    finish(alone.env_remove("CLUSTER_NAME").args(["--experiment-id", "lost"]))
        .exits(1)
        .says("AWS denied ssm:ListCommands")
        .says("CLUSTER_NAME");
    finish(site.ctl("remove").args(["--experiment-id", "lost"])).exits(0);
    site.assert_clean();
}

#[test]
fn a_lost_answer_is_survived_without_the_right_to_look_it_up() {
    let site = allowed(World::fleet(1, 1), &reference().stdout);
    site.simulator.faults(|faults| {
        (0..4).for_each(|_| faults.after_next("SendCommand", AfterCall::InternalServerError))
    });
    let report = finish(&mut site.on_service("run")).exits(0).json();
    assert_eq!(report["tasks"][0]["outcome"], "faulted", "{report}");
    site.assert_clean();
}

#[test]
fn commands_can_be_kept_to_the_hosts_with_a_tag() {
    let mut ctl = bare("policy");
    let printed =
        finish(ctl.args(["--instance-tag", "chaos=allowed", "--instance-tag", "team=shop"])).exits(0);
    let site = allowed(World::fleet(2, 1), &printed.stdout);
    let tag = |number: usize| {
        site.simulator.edit(|world| {
            let tags = &mut world.managed_mut(&host(number)).unwrap().tags;
            tags.insert("chaos".to_owned(), "allowed".to_owned());
            tags.insert("team".to_owned(), "shop".to_owned());
        });
    };
    tag(0);
    finish(&mut site.on_service("run"))
        .exits(1)
        .says("AWS denied ssm:SendCommand")
        .says(&format!("instance/{}", host(1)));
    tag(1);
    finish(&mut site.on_service("run")).exits(0);

    for (wrong, why) in [("chaos", "key=value"), ("=x", "key=value"), ("a=b*", "key=value")] {
        finish(bare("policy").args(["--instance-tag", wrong])).exits(64).says(why);
    }
}
