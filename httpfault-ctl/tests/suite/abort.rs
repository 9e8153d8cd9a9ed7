//! SIGINT and SIGTERM at each phase.

use std::process::Child;

use httpfault_simulator::World;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{PATIENCE, STUB, Site, ended, host};

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn long(site: &Site) -> Child {
    site.on_service("run").env("TOTAL_CHAOS_DURATION", "600").spawn().unwrap()
}

#[test]
fn while_the_fault_is_on_it_is_removed_and_proved() {
    for which in [Signal::SIGINT, Signal::SIGTERM] {
        let site = Site::new(World::fleet(2, 1));
        let child = long(&site);
        site.await_command("status", |c| c.invocations.iter().all(|i| i.stdout.contains("\"phase\":\"on\"")));
        signal(&child, which);
        let report = ended(child).exits(130).json();
        assert_eq!(report["aborted"], true);
        for task in report["tasks"].as_array().unwrap() {
            assert_eq!(
                (&task["reason"], &task["verified_off"]),
                (&"request".into(), &true.into()),
                "{report}"
            );
        }
        // Graceful: the agents ended themselves, nothing was cancelled.
        assert_eq!(site.simulator.count("CancelCommand"), 0);
        site.assert_clean();
    }
}

#[test]
fn before_anything_was_sent_nothing_has_to_be_removed() {
    let site = Site::new(World::fleet(1, 1));
    let child = site.on_service("run").env("RAMP_TIME", "600").spawn().unwrap();
    let resolved = site.simulator.wait_for_calls(PATIENCE, |calls| {
        calls.iter().any(|c| c.action == "DescribeInstanceInformation" && c.outcome.is_some()).then_some(())
    });
    assert!(resolved.is_some());
    signal(&child, Signal::SIGTERM);
    ended(child).exits(130);
    assert_eq!(site.simulator.count("SendCommand"), 0);
}

#[test]
fn during_delivery_nothing_is_on() {
    let site = Site::new(World::fleet(1, 1));
    site.simulator.faults(|faults| faults.lose_commands_to(&host(0)));
    let child = long(&site);
    site.await_command("probe", |_| true);
    signal(&child, Signal::SIGINT);
    ended(child).exits(130);
    assert!(site.commands("inject").is_empty());
}

#[test]
fn a_command_that_has_not_begun_is_cancelled() {
    let site = Site::new(World::fleet(1, 1));
    crate::support::finish(&mut site.on_service("run")).exits(0);
    // From here on commands are lost on their way, until the abort is through with `inject`.
    let child = long(&site);
    site.await_command("inject", |c| c.parameters["executionTimeout"][0] == "645");
    signal(&child, Signal::SIGINT);
    ended(child).exits(130);
    let inject = site.commands("inject").pop().unwrap();
    assert!(inject.invocations.iter().all(|i| i.status.is_final()), "{inject:#?}");
    site.assert_clean();
}

#[test]
fn an_agent_that_does_not_hear_is_cancelled_and_swept_up() {
    let site = Site::new(World::fleet(1, 1));
    // It does not look at the stop mark; `remove` then finds it alive and gives up the first time.
    let deaf = STUB.replace("[ ! -f \"$state/stop\" ] || { reason=request; break; }", ":").replace(
        "rm -rf \"$state\"\n        removed=",
        "[ \"$how\" = swept ] || continue\n        rm -rf \"$state\"\n        removed=",
    );
    site.agent(&deaf.replace("tries=100", "tries=3"));
    let child = long(&site);
    site.await_command("status", |c| c.invocations.iter().all(|i| i.stdout.contains("\"phase\":\"on\"")));
    signal(&child, Signal::SIGTERM);
    let done = ended(child).exits(130);
    assert!(site.simulator.count("CancelCommand") > 0, "{done}");
    site.assert_clean();
}

#[test]
fn a_second_signal_does_not_skip_the_proof_and_a_third_leaves_with_the_command() {
    let site = Site::new(World::fleet(1, 1));
    let slow = STUB.replace("remove)\n", "remove)\n    sleep 2\n");
    site.agent(&slow);
    let twice = long(&site);
    let on = |site: &Site, count: usize| {
        site.simulator.wait_for_commands(PATIENCE, |commands| {
            let on = commands
                .iter()
                .flat_map(|c| &c.invocations)
                .filter(|i| i.stdout.contains("\"phase\":\"on\""));
            (on.count() >= count).then_some(())
        })
    };
    assert!(on(&site, 1).is_some());
    signal(&twice, Signal::SIGINT);
    site.await_command("remove", |_| true);
    signal(&twice, Signal::SIGINT);
    ended(twice).exits(130).says("a third signal leaves without proof");
    site.assert_clean();

    let seen = site
        .commands("status")
        .iter()
        .flat_map(|c| c.invocations.clone())
        .filter(|i| i.stdout.contains("\"phase\":\"on\""))
        .count();
    let removed = site.commands("remove").len();
    let thrice = long(&site);
    assert!(on(&site, seen + 1).is_some());
    signal(&thrice, Signal::SIGINT);
    let second = site.simulator.wait_for_commands(PATIENCE, |commands| {
        (commands.iter().filter(|c| c.comment.contains(" remove ")).count() > removed).then_some(())
    });
    assert!(second.is_some());
    signal(&thrice, Signal::SIGINT);
    signal(&thrice, Signal::SIGTERM);
    let done = ended(thrice);
    // Two signals of one kind that come together are one to the kernel; these differ.
    done.exits(3).says("make sure with: httpfault-ctl remove --experiment-id ");
}

#[test]
fn an_error_in_the_middle_takes_the_fault_off_too() {
    let site = Site::new(World::fleet(1, 1));
    let child = long(&site);
    site.await_command("status", |c| c.invocations.iter().all(|i| i.stdout.contains("\"phase\":\"on\"")));
    site.simulator.faults(|faults| faults.deny("ListCommandInvocations"));
    site.await_command("remove", |_| true);
    site.simulator.faults(|faults| faults.clear());
    let done = ended(child);
    assert!([2, 3].contains(&done.code), "{done}");
    done.says("AWS denied ssm:ListCommandInvocations");
    site.assert_clean();
}
