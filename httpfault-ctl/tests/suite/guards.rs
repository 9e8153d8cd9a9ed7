//! Guards of the blast radius: each refusal names the guard, the numbers and what to do, and nothing is sent.

use std::process::Command;

use httpfault_simulator::{Service, Task, World};
use serde_json::{Value, json};

use crate::support::{Site, finish, host};

/// Two hosts in two zones, with two tasks of the service on each.
fn two_zones() -> Site {
    let site = Site::new(World::fleet(2, 2));
    site.simulator.edit(|world| {
        let second = &mut world.clusters[0].container_instances[1];
        *second = second.clone().attribute("ecs.availability-zone", "eu-central-1b");
    });
    site
}

fn edit_service(site: &Site, change: impl Fn(Service) -> Service) {
    site.simulator.edit(|world| {
        let service = world.clusters[0].services[0].clone();
        world.clusters[0].services[0] = change(service);
    });
}

fn edit_tasks(site: &Site, change: impl Fn(usize, Task) -> Task) {
    site.simulator.edit(|world| {
        let tasks = &mut world.clusters[0].tasks;
        tasks.iter_mut().enumerate().for_each(|(number, task)| *task = change(number, task.clone()));
    });
}

fn balanced(service: Service) -> Service {
    service.target_group("arn:aws:elasticloadbalancing:x:1:targetgroup/web/1", "web", 80)
}

fn file(site: &Site, content: &Value) -> String {
    let path = site.files.path().join("guards.json");
    std::fs::write(&path, content.to_string()).unwrap();
    path.display().to_string()
}

/// Refused with this line, by `plan` and by `run`, and no host was told anything.
fn refused(site: &Site, set: impl Fn(&mut Command) -> &mut Command, line: &str) {
    for command in ["plan", "run"] {
        let mut ctl = site.on_service(command);
        set(&mut ctl);
        finish(&mut ctl).exits(1).says(line);
    }
    assert_eq!(site.simulator.count("SendCommand"), 0);
}

fn tasks_of(plan: &Value) -> Vec<String> {
    let tasks = plan["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["instance"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn more_tasks_than_allowed_are_refused() {
    let site = two_zones();
    refused(
        &site,
        |ctl| ctl.env("MAX_TASKS", "3"),
        "MAX_TASKS: 4 task(s) would be taken, at most 3 may be; lower TASK_REPLICA_AFFECTED_PERC or name fewer tasks, \
         or change MAX_TASKS",
    );
    let mut half = site.on_service("plan");
    let plan = finish(half.env("MAX_TASKS", "3").env("TASK_REPLICA_AFFECTED_PERC", "75")).exits(0).json();
    assert_eq!(plan["guards"], json!([{"guard": "MAX_TASKS", "limit": "3", "from": "MAX_TASKS"}]));
}

#[test]
fn a_larger_share_of_a_service_than_allowed_is_refused_however_the_tasks_are_chosen() {
    let site = two_zones();
    edit_service(&site, |service| service.tag("chaos", "allowed"));
    refused(
        &site,
        |ctl| ctl.env("MAX_PERCENT", "50").env("TASK_REPLICA_AFFECTED_PERC", "75"),
        "MAX_PERCENT: 3 of 4 running task(s) of service web would be taken, at most 50 percent may be",
    );
    // By name, from among all of the service's; and with the whole cluster, where another service is larger.
    let ids: Vec<String> =
        site.simulator.world().clusters[0].tasks.iter().map(|task| task.id.clone()).collect();
    site.simulator.edit(|world| {
        let cluster = &mut world.clusters[0];
        cluster.services.push(Service::new("other"));
        let others = (0..8).map(|_| cluster.tasks[0].clone().id(&uuid()).service("other"));
        let others: Vec<Task> = others.collect();
        cluster.tasks.extend(others);
    });
    let named = |count: usize| {
        let mut ctl = site.ctl("plan");
        ctl.env("TASK_REPLICA_ID", ids[..count].join(",")).env("MAX_PERCENT", "50");
        finish(&mut ctl)
    };
    named(3).exits(1).says("MAX_PERCENT: 3 of 4 running task(s) of service web would be taken");
    named(2).exits(0);
    finish(site.ctl("plan").arg("--all-tasks").env("MAX_PERCENT", "99"))
        .exits(1)
        .says("MAX_PERCENT: 4 of 4 running task(s) of service web would be taken")
        .says("MAX_PERCENT: 8 of 8 running task(s) of service other would be taken");
}

fn uuid() -> String {
    Task::fargate().id
}

#[test]
fn a_task_needs_the_tag_or_its_service_does() {
    let site = two_zones();
    edit_tasks(&site, |number, task| if number == 0 { task } else { task.tag("chaos", "allowed") });
    let id = site.simulator.world().clusters[0].tasks[0].id.clone();
    refused(
        &site,
        |ctl| ctl.env("REQUIRE_TAG", "chaos=allowed"),
        &format!(
            "REQUIRE_TAG: 1 of 4 chosen task(s) lack the tag chaos=allowed, and so does their service: task {id} of \
             service web, for one; give the task or its service the tag"
        ),
    );
    edit_service(&site, |service| service.tag("chaos", "never"));
    refused(&site, |ctl| ctl.env("REQUIRE_TAG", "chaos=allowed"), "1 of 4 chosen task(s) lack the tag");
    // The key alone is met by any value; the service's tag counts for tasks by name too.
    finish(site.on_service("plan").env("REQUIRE_TAG", "chaos")).exits(0);
    finish(site.ctl("plan").env("TASK_REPLICA_ID", &id).env("REQUIRE_TAG", "chaos")).exits(0);
    finish(site.on_service("plan").env("REQUIRE_TAG", "chaos\nteam"))
        .exits(1)
        .says("4 of 4 chosen task(s) lack the tag team");
}

#[test]
fn zones_and_instances_are_a_choice_and_what_is_named_elsewhere_is_refused() {
    let site = two_zones();
    let plan = finish(site.on_service("plan").env("AVAILABILITY_ZONE", "eu-central-1b")).exits(0);
    let plan = plan
        .says("2 of 4 running task(s) are left out: they run on eu-central-1a, and AVAILABILITY_ZONE is eu-central-1b")
        .json();
    assert_eq!(tasks_of(&plan), [host(1), host(1)]);
    let plan = finish(site.on_service("plan").env("INSTANCE_IDS", host(0))).exits(0).json();
    assert_eq!(tasks_of(&plan), [host(0), host(0)]);
    assert_eq!(plan["population"], 2);

    refused(
        &site,
        |ctl| ctl.env("AVAILABILITY_ZONE", "eu-central-1c"),
        "AVAILABILITY_ZONE: 4 of 4 running task(s) run on eu-central-1a, eu-central-1b, and only eu-central-1c may be taken",
    );
    refused(
        &site,
        |ctl| ctl.env("AVAILABILITY_ZONE", "eu-central-1a").env("INSTANCE_IDS", host(1)),
        &format!(
            "INSTANCE_IDS: 2 of 2 running task(s) run on {}, and only {} may be taken",
            host(0),
            host(1)
        ),
    );
    let id = site.simulator.world().clusters[0].tasks[0].id.clone();
    finish(site.ctl("plan").env("TASK_REPLICA_ID", id).env("AVAILABILITY_ZONE", "eu-central-1b"))
        .exits(1)
        .says("AVAILABILITY_ZONE: 1 of 1 named task(s) run on eu-central-1a, and only eu-central-1b may be taken");
}

#[test]
fn a_mounted_file_holds_and_settings_only_make_it_stricter() {
    let site = two_zones();
    let path = file(&site, &json!({"max_tasks": 2, "max_percent": 80, "require_tag": ["chaos=allowed"]}));
    edit_service(&site, |service| service.tag("chaos", "allowed"));
    let with = |more: &[(&str, &str)]| {
        let mut ctl = site.on_service("plan");
        ctl.env("HTTPFAULT_GUARDS", &path).envs(more.iter().copied());
        finish(&mut ctl)
    };
    with(&[("MAX_TASKS", "100"), ("MAX_PERCENT", "100")])
        .exits(1)
        .says(&format!("MAX_TASKS in {path}: 4 task(s) would be taken, at most 2 may be"))
        .says(&format!("MAX_PERCENT in {path}: 4 of 4 running task(s)"))
        .says("settings can't widen a mounted guard");
    let plan = with(&[("MAX_TASKS", "1"), ("TASK_REPLICA_AFFECTED_PERC", "25"), ("REQUIRE_TAG", "chaos")]);
    let plan = plan.exits(0).json();
    assert_eq!(
        plan["guards"],
        json!([
            {"guard": "MAX_TASKS", "limit": "1", "from": "MAX_TASKS"},
            {"guard": "MAX_PERCENT", "limit": "80", "from": path},
            {"guard": "REQUIRE_TAG", "limit": "chaos", "from": "REQUIRE_TAG"},
            {"guard": "REQUIRE_TAG", "limit": "chaos=allowed", "from": path},
        ])
    );
    let text =
        finish(site.on_service("run").args(["--guards", &path]).env("TASK_REPLICA_AFFECTED_PERC", "50"));
    text.exits(0).says(&format!("guard MAX_TASKS 2 (from {path})"));

    let zone =
        file(&site, &json!({"availability_zone": ["eu-central-1a"], "instance_ids": [host(0), host(1)]}));
    finish(site.on_service("plan").env("HTTPFAULT_GUARDS", &zone).env("AVAILABILITY_ZONE", "eu-central-1b"))
        .exits(1)
        .says(&format!("AVAILABILITY_ZONE in {zone}: 2 of 2 running task(s) run on eu-central-1b"));
}

#[test]
fn a_file_that_is_not_understood_whole_is_wrong_input() {
    let site = two_zones();
    for (content, why) in [
        (json!({"max_task": 2}), "unknown field `max_task`"),
        (json!({"max_tasks": "two"}), "invalid type"),
        (json!({"max_tasks": 0}), "max_tasks in "),
        (json!({"max_percent": 101, "require_tag": ["a=*"]}), "max_percent in "),
        (json!({"require_tag": ["a=*"]}), "require_tag in "),
        (json!({"availability_zone": ["a zone"]}), "availability_zone in "),
        (json!({"instance_ids": ["mi-1"]}), "instance_ids in "),
        (json!(["max_tasks"]), "a JSON object of max_tasks"),
    ] {
        let path = file(&site, &content);
        finish(site.on_service("run").env("HTTPFAULT_GUARDS", path)).exits(64).says(why);
    }
    finish(site.on_service("run").env("HTTPFAULT_GUARDS", "/nowhere.json")).exits(64).says("No such file");
    finish(
        site.on_service("run")
            .env("MAX_TASKS", "0")
            .env("MAX_PERCENT", "0")
            .env("REQUIRE_TAG", "=x")
            .env("AVAILABILITY_ZONE", "a b")
            .env("INSTANCE_IDS", "x"),
    )
    .exits(64)
    .says("5 setting(s) are wrong");
    assert_eq!(site.simulator.calls().len(), 0);
}

/// Who can set variables can't take this one away.
#[test]
fn the_file_at_its_own_place_holds_whatever_is_set() {
    let site = two_zones();
    let wide = file(&site, &json!({"max_tasks": 100}));
    let plan = site.on_service("plan");
    let mut inside = Command::new("unshare");
    let script = "mount -t tmpfs none /etc && mkdir /etc/httpfault && \
                  printf '{\"max_tasks\": 1}' >/etc/httpfault/guards.json && exec \"$@\"";
    inside.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    inside.arg(plan.get_program()).args(plan.get_args()).env_clear();
    inside.envs(plan.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // What hides /etc hides the roots of TLS, which the program reads for AWS.
    let roots = site.files.path().join("roots.pem");
    std::fs::write(&roots, rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem()).unwrap();
    inside.env("SSL_CERT_FILE", roots);
    inside.env("HTTPFAULT_GUARDS", wide).env("MAX_TASKS", "100");
    inside.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(&mut inside)
        .exits(1)
        .says("MAX_TASKS in /etc/httpfault/guards.json: 4 task(s) would be taken, at most 1 may be");
}

#[test]
fn a_whole_service_behind_a_target_group_needs_a_yes_without_a_terminal_too() {
    let site = two_zones();
    edit_service(&site, balanced);
    let line = "nobody can be asked: all 4 running task(s) of web will answer 503";
    finish(&mut site.on_service("run")).exits(1).says(line).says("HTTPFAULT_YES=true");
    assert_eq!(site.simulator.count("SendCommand"), 0);
    // The same tasks by name, and the whole cluster.
    let ids: Vec<String> =
        site.simulator.world().clusters[0].tasks.iter().map(|task| task.id.clone()).collect();
    finish(site.ctl("run").env("TASK_REPLICA_ID", ids.join(","))).exits(1).says(line);
    finish(site.ctl("run").env("TASK_REPLICA_ID", ids.join(",")).env("AVAILABILITY_ZONE", "eu-central-1a"))
        .exits(1)
        .says("AVAILABILITY_ZONE: ");
    finish(site.ctl("run").arg("--all-tasks")).exits(1).says(line);
    assert_eq!(site.simulator.count("SendCommand"), 0);
    // A zone of it is not the whole service.
    let zone = finish(site.on_service("plan").env("AVAILABILITY_ZONE", "eu-central-1a")).exits(0).json();
    assert_eq!(zone["danger"], Value::Null);
    let named = finish(site.ctl("plan").env("TASK_REPLICA_ID", &ids[0]).args(["--output", "json"])).exits(0);
    assert_eq!(named.json()["danger"], Value::Null);
    finish(site.on_service("run").env("HTTPFAULT_YES", "true")).exits(0).says("target group");
}

/// Tasks that come in the place of others are under the same guards.
#[test]
fn a_service_that_shrank_before_the_fault_is_not_taken_whole() {
    let site = Site::new(World::fleet(1, 4));
    let mut ctl = site.on_service("run");
    ctl.env("TASK_REPLICA_AFFECTED_PERC", "50")
        .env("MAX_PERCENT", "50")
        .env("RAMP_TIME", "2")
        .env("SEED", "1");
    let run = crate::support::start(&mut ctl);
    site.await_command("install", |_| true);
    site.simulator.edit(|world| world.clusters[0].tasks.truncate(1));
    run.ended().exits(1).says("MAX_PERCENT: 1 of 1 running task(s) of service web would be taken");
    assert!(site.commands("inject").is_empty());
}
