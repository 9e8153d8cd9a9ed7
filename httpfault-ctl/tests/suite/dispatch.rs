//! Run Command on a bad day.

use std::time::Duration;

use httpfault_simulator::{AfterCall, PingStatus, Simulator, Timing, World};

use crate::support::{Site, finish, host, start};

#[test]
fn throttling_slows_the_run_and_fails_nothing() {
    let site = Site::new(World::fleet(2, 1));
    site.simulator.faults(|faults| {
        for action in
            ["SendCommand", "ListCommandInvocations", "DescribeTasks", "DescribeInstanceInformation"]
        {
            faults.throttle(action, 2.0, 1);
        }
    });
    let report =
        finish(site.on_service("run").env("HTTPFAULT_POLL_MS", "1500").env("TOTAL_CHAOS_DURATION", "20"))
            .exits(0)
            .json();
    assert_eq!(report["tasks"][0]["outcome"], "faulted");
    let throttled = site.simulator.calls().iter().filter(|call| call.error_code().is_some()).count();
    assert!(throttled > 0, "nothing was throttled");
}

#[test]
fn a_command_whose_answer_is_lost_is_found_and_not_sent_again() {
    for what in [AfterCall::InternalServerError, AfterCall::DropConnection] {
        let site = Site::new(World::fleet(1, 1));
        // The first command is the probe, which then finds the agent missing; every send is lost once.
        site.simulator.faults(|faults| (0..12).for_each(|_| faults.after_next("SendCommand", what)));
        finish(&mut site.on_service("run")).exits(0);
        for action in ["probe", "piece", "install", "inject"] {
            assert_eq!(site.commands(action).len(), 1, "{what:?}: {action} was sent again");
        }
    }
}

#[test]
fn a_command_that_runs_twice_is_one_fault() {
    let site = Site::new(World::fleet(1, 1));
    finish(&mut site.on_service("run")).exits(0);
    site.take_specs();
    site.simulator.faults(|faults| faults.run_next_commands_twice(50));
    finish(&mut site.on_service("run")).exits(0);
    site.assert_clean();
}

#[test]
fn an_agent_host_that_answers_nothing_fails_alone_and_is_not_forgotten() {
    let timing = Timing { delivery_second: Duration::from_millis(20), ..Timing::default() };
    let site = Site::with(Simulator::builder(World::fleet(2, 1)).timing(timing).start().unwrap());
    site.simulator.faults(|faults| faults.lose_commands_to(&host(1)));
    let done = finish(site.on_service("run").env("HTTPFAULT_ANSWER_SECS", "8"));
    let report = done.exits(2).json();
    let task = |number: usize| {
        report["tasks"].as_array().unwrap().iter().find(|t| t["instance"] == host(number)).unwrap()
    };
    assert_eq!(task(0)["outcome"], "faulted", "{report}");
    assert_eq!(task(1)["outcome"], "failed", "{report}");
    let problem = task(1)["error"]["problem"].as_str().unwrap();
    assert!(problem.contains("Delivery Timed Out") || problem.contains("not delivered"), "{problem}");
}

#[test]
fn an_undeliverable_command_is_named() {
    let site = Site::new(World::fleet(2, 1));
    site.simulator.faults(|faults| faults.undeliverable(&host(1)));
    finish(&mut site.on_service("run")).exits(2).says("Undeliverable");
}

#[test]
fn a_host_that_goes_offline_during_the_fault_can_not_be_proved_to_be_free_of_it() {
    let site = Site::new(World::fleet(1, 1));
    let run = start(site.on_service("run").env("HTTPFAULT_ANSWER_SECS", "3"));
    site.await_on(1);
    site.simulator.edit(|world| world.ping(&host(0), PingStatus::ConnectionLost));
    run.ended()
        .exits(3)
        .says("its SSM agent is ConnectionLost")
        .says("its agent ends the fault by itself")
        .says("remove it with: httpfault-ctl remove");
}

#[test]
fn a_command_that_is_not_shown_at_once_is_waited_for() {
    let timing = Timing { invisible_lookups: 3, ..Timing::default() };
    let site = Site::with(Simulator::builder(World::fleet(1, 1)).timing(timing).start().unwrap());
    finish(&mut site.on_service("run")).exits(0);
}

#[test]
fn a_host_that_reboots_has_lost_the_fault() {
    let site = Site::new(World::fleet(2, 1));
    let run = start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "6"));
    site.await_on(2);
    site.simulator.reboot(&host(1));
    let report = run.ended().exits(2).json();
    assert_eq!(report["left_behind"].as_array().unwrap().len(), 0, "{report}");
}

/// Invocations alone never show it: there are none.
#[test]
fn a_command_that_ssm_gave_up_as_a_whole_is_named() {
    let site = Site::new(World::fleet(2, 1));
    site.install();
    let run = start(site.on_service("run").env("HTTPFAULT_POLL_MS", "1000"));
    site.await_command("probe", |command| command.status.is_final());
    site.simulator.faults(|faults| faults.exceed_rate_of_next_commands(1));
    let done = run.ended().exits(1).says("Rate Exceeded");
    assert_eq!(done.json()["left_behind"].as_array().map(Vec::len), Some(0), "{done}");
}

/// A server that fails may have done what it was asked, whatever it calls its failure.
#[test]
fn every_server_error_is_a_doubt() {
    let site = Site::new(World::fleet(1, 1));
    site.simulator.faults(|faults| {
        (0..12).for_each(|_| faults.after_next("SendCommand", AfterCall::ServerError("DependencyFailure")));
    });
    finish(&mut site.on_service("run")).exits(0);
    for action in ["probe", "piece", "install", "inject"] {
        assert_eq!(site.commands(action).len(), 1, "{action} was sent again");
    }
}
