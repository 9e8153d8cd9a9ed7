//! Hosts that go away while Systems Manager still shows them as Online: one never costs the others.

use httpfault_simulator::{Status, World};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Site, finish, host, start};

fn task(report: &Value, number: usize) -> Value {
    let tasks = report["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["instance"] == host(number)).unwrap().clone()
}

fn none_left(report: &Value) {
    assert_eq!(report["left_behind"].as_array().map(Vec::len), Some(0), "{report}");
}

#[test]
fn before_the_fault_it_costs_its_own_tasks_only() {
    for named in [true, false] {
        let site = Site::new(World::fleet(5, 1));
        site.install();
        if !named {
            site.simulator.faults(|faults| faults.name_no_instance());
        }
        let run = start(site.on_service("run").env("HTTPFAULT_POLL_MS", "600"));
        site.await_command("probe", |command| {
            command.invocations.iter().all(|one| one.status == Status::Success)
        });
        site.simulator.terminate(&host(1));
        site.simulator.terminate(&host(3));
        let done = run.ended().exits(2).says(&host(1)).says(&host(3));
        let report = done.json();
        for number in [0, 2, 4] {
            assert_eq!(task(&report, number)["outcome"], "faulted", "named {named}: {done}");
        }
        none_left(&report);
        site.assert_clean();
    }
}

#[test]
fn during_the_fault_it_is_a_warning_of_its_tasks() {
    for named in [true, false] {
        let site = Site::new(World::fleet(3, 1));
        if !named {
            site.simulator.faults(|faults| faults.name_no_instance());
        }
        let run = start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "5"));
        site.await_on(3);
        site.simulator.terminate(&host(1));
        let begin = std::time::Instant::now();
        let done = run.ended();
        let report = done.json();
        assert_eq!(task(&report, 1)["outcome"], "target_gone", "{done}");
        for number in [0, 2] {
            let task = task(&report, number);
            assert_eq!(
                (&task["outcome"], &task["verified_off"]),
                (&"faulted".into(), &true.into()),
                "{done}"
            );
        }
        assert!(report["warnings"].to_string().contains(&host(1)), "{done}");
        none_left(&report);
        assert!(begin.elapsed().as_secs() < 50, "it waited for the dead host: {:?}", begin.elapsed());
        done.exits(0);
    }
}

/// SSM takes no more commands for it, but one that was sent before stays unanswered for minutes.
#[test]
fn with_a_look_on_its_way_it_is_found_out_nevertheless() {
    for aborted in [false, true] {
        let site = Site::new(World::fleet(2, 1));
        site.install();
        let mut ctl = site.on_service("run");
        ctl.env("TOTAL_CHAOS_DURATION", if aborted { "600" } else { "6" })
            .env("HTTPFAULT_ANSWER_SECS", "300");
        let run = start(&mut ctl);
        site.await_on(2);
        site.simulator.faults(|faults| faults.lose_commands_to(&host(1)));
        site.await_command("status", |command| {
            command.invocations.iter().any(|one| one.instance_id == host(1) && one.status == Status::Pending)
        });
        site.simulator.terminate(&host(1));
        if aborted {
            run.signal(Signal::SIGTERM);
        }
        let begin = std::time::Instant::now();
        let done = run.ended().exits(if aborted { 130 } else { 0 });
        assert!(begin.elapsed().as_secs() < 150, "it waited for the dead host: {:?}", begin.elapsed());
        let report = done.json();
        assert!(report["warnings"].to_string().contains(&host(1)), "{done}");
        assert_eq!(task(&report, 0)["verified_off"], true, "{done}");
        none_left(&report);
        site.assert_clean();
    }
}

#[test]
fn an_abort_takes_the_fault_off_all_others() {
    let site = Site::new(World::fleet(3, 1));
    let run = start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "600"));
    site.await_on(3);
    site.simulator.terminate(&host(1));
    run.signal(Signal::SIGTERM);
    let done = run.ended().exits(130);
    none_left(&done.json());
    for number in [0, 2] {
        assert_eq!(task(&done.json(), number)["verified_off"], true, "{done}");
    }
    site.assert_clean();
}

#[test]
fn remove_and_status_ask_the_others() {
    let site = Site::new(World::fleet(3, 1));
    let run = start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "600").env("EXPERIMENT_ID", "orphan"));
    site.await_on(3);
    drop(run);
    site.simulator.terminate(&host(1));
    let status = finish(site.ctl("status").args(["--output", "json"])).json();
    let faults = |report: &Value| {
        let hosts = report["hosts"].as_array().unwrap();
        hosts.iter().map(|host| host["faults"].as_array().map_or(0, Vec::len)).sum::<usize>()
    };
    assert_eq!(faults(&status), 2, "{status}");
    finish(site.ctl("remove").env("EXPERIMENT_ID", "orphan")).exits(0).says(&host(1));
    site.assert_clean();
}

/// The plan is as old as RAMP_TIME, or as the windows before.
#[test]
fn a_task_that_was_replaced_during_the_ramp_is_found_again_by_its_service() {
    let site = Site::new(World::fleet(2, 1));
    let run = start(site.on_service("run").env("RAMP_TIME", "3"));
    site.await_command("install", |command| command.status.is_final());
    let old = site.simulator.world().clusters[0].tasks[0].id.clone();
    let new = site.simulator.edit(|world| world.replace_task(&old)).unwrap();
    let done = run.ended().exits(0).says("is taken instead");
    let report = done.json();
    let of = |id: &str| {
        let tasks = report["tasks"].as_array().unwrap();
        tasks.iter().find(|task| task["task"] == id).unwrap_or_else(|| panic!("no {id} in {report}")).clone()
    };
    assert_eq!(
        (&of(&old)["outcome"], &of(&old)["replaced_by"][0]["task"]),
        (&"replaced".into(), &new.as_str().into())
    );
    assert_eq!(
        (&of(&new)["outcome"], &of(&new)["verified_on"]),
        (&"faulted".into(), &true.into()),
        "{report}"
    );
    assert_eq!(site.specs().len(), 2);
}
