//! `status` and `remove` from outside a run.

use httpfault_simulator::{PingStatus, World};
use nix::sys::signal::Signal;

use crate::support::{Site, finish, host, start};

/// A run whose controller is gone: its fault is on until somebody ends it.
fn orphan(site: &Site, experiment: &str) {
    let seen = site.times_on();
    let mut ctl = site.on_service("run");
    let run = start(ctl.env("TOTAL_CHAOS_DURATION", "600").env("EXPERIMENT_ID", experiment));
    site.await_on(seen + 2);
    // Killed, not asked to end.
    drop(run);
}

#[test]
fn status_shows_the_fault_and_remove_ends_it_by_its_id_alone() {
    let site = Site::harsh(World::fleet(2, 1));
    orphan(&site, "orphan-1");
    let status = finish(site.ctl("status").args(["--output", "json"])).exits(0).json();
    assert_eq!(status["hosts"].as_array().unwrap().len(), 2);
    assert_eq!(status["hosts"][0]["faults"][0]["experiment_id"], "orphan-1");
    finish(site.ctl("status").env("EXPERIMENT_ID", "orphan-1")).exits(0).says("2 fault(s) on 2 host(s)");
    finish(site.ctl("status").env("EXPERIMENT_ID", "another")).exits(0).says("0 fault(s) on 2 host(s)");

    let mut ctl = site.ctl("remove");
    ctl.env_remove("CLUSTER_NAME").args(["--experiment-id", "orphan-1", "--output", "json"]);
    let report = finish(&mut ctl).exits(0).json();
    assert_eq!(report["hosts"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(report["hosts"][0]["removed"][0]["how"], "ended");
    // It says how far back it looked for the hosts, here as far as a fault can last.
    let looked = &report["looked"];
    assert_eq!(looked["far_enough"], true, "{report}");
    assert!(looked["commands"].as_u64() >= Some(2) && looked["back_to"].is_string(), "{report}");
    site.assert_clean();
}

/// All that a killed pod leaves is its log.
#[test]
fn the_log_of_a_killed_controller_has_what_removes_its_fault() {
    let site = Site::harsh(World::fleet(1, 1));
    let mut ctl = site.on_service("run");
    let run = start(ctl.env("TOTAL_CHAOS_DURATION", "600").env("EXPERIMENT_ID", "orphan-5"));
    site.await_on(1);
    run.signal(Signal::SIGKILL);
    run.ended().says("or with: httpfault-ctl remove --experiment-id orphan-5 --region ");
    finish(site.ctl("remove").env("EXPERIMENT_ID", "orphan-5")).exits(0);
    site.assert_clean();
}

/// Nothing is on yet, but the command that puts it on is on its way.
#[test]
fn remove_also_ends_what_has_not_begun() {
    let site = Site::harsh(World::fleet(1, 1));
    site.mode(&host(0), "late");
    let mut ctl = site.on_service("run");
    let run = start(ctl.env("TOTAL_CHAOS_DURATION", "600").env("EXPERIMENT_ID", "orphan-6"));
    site.await_command("inject", |command| command.invocations.iter().all(|one| one.started));
    drop(run);
    finish(site.ctl("remove").env("EXPERIMENT_ID", "orphan-6")).exits(0);
    std::fs::write(site.on_host(&host(0), "/run/httpfault/.begin"), "").unwrap();
    site.await_command("inject", |command| command.invocations.iter().all(|one| one.status.is_final()));
    std::fs::remove_file(site.on_host(&host(0), "/run/httpfault/.begin")).unwrap();
    site.assert_clean();
}

#[test]
fn remove_takes_a_whole_cluster_or_only_a_service() {
    let site = Site::harsh(World::fleet(2, 1));
    orphan(&site, "orphan-2");
    finish(site.ctl("remove").env("SERVICE_NAME", "web")).exits(0).says("experiment orphan-2 ended");
    site.assert_clean();
    orphan(&site, "orphan-3");
    finish(&mut site.ctl("remove")).exits(0).says("experiment orphan-3 ended");
    site.assert_clean();
}

/// Recovery by hand asks what a run does not ask: who may do the one may be refused the other.
#[test]
fn a_denied_lookup_is_named_with_the_statement_that_allows_it() {
    let site = Site::harsh(World::fleet(2, 1));
    let denied = |action: &str, ctl: &mut std::process::Command| {
        let name = action.split(':').nth(1).unwrap();
        site.simulator.faults(|faults| faults.deny(name));
        let done = finish(ctl);
        site.simulator.faults(|faults| faults.clear());
        assert_ne!(done.code, 0, "{action}: {done}");
        done.says(&format!("AWS denied {action}")).says(&format!("\"{action}\""));
    };
    denied("ecs:ListContainerInstances", &mut site.ctl("status"));
    denied("ecs:ListContainerInstances", &mut site.ctl("remove"));
    denied(
        "ssm:ListCommands",
        site.ctl("remove").env_remove("CLUSTER_NAME").env("EXPERIMENT_ID", "orphan-4"),
    );
}

#[test]
fn remove_is_content_when_nothing_is_there() {
    let site = Site::harsh(World::fleet(2, 1));
    finish(&mut site.ctl("remove")).exits(0).says("nothing was there to remove");
    finish(site.ctl("remove").env("EXPERIMENT_ID", "never-was")).exits(0).says("nothing was there to remove");
    let mut ctl = site.ctl("remove");
    finish(ctl.env_remove("CLUSTER_NAME").env("EXPERIMENT_ID", "never-was"))
        .exits(0)
        .says("command(s) of Systems Manager, back to ");
    finish(site.ctl("remove").env_remove("CLUSTER_NAME")).exits(64).says("CLUSTER_NAME");
}

#[test]
fn a_host_that_can_not_be_asked_is_said() {
    let site = Site::harsh(World::fleet(2, 1));
    site.simulator.edit(|world| world.ping(&host(1), PingStatus::ConnectionLost));
    // The fault may be on there.
    finish(&mut site.ctl("remove")).exits(3).says("its SSM agent is ConnectionLost");
    finish(&mut site.ctl("status")).exits(2).says(&host(1));
}
