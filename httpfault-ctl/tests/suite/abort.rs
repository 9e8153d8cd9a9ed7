//! SIGINT and SIGTERM at each phase.

use httpfault_simulator::World;
use nix::sys::signal::Signal;

use crate::support::{PATIENCE, Running, STUB, Site, finish, host, start};

fn long(site: &Site) -> Running {
    start(site.on_service("run").env("TOTAL_CHAOS_DURATION", "600"))
}

#[test]
fn while_the_fault_is_on_it_is_removed_and_proved() {
    for which in [Signal::SIGINT, Signal::SIGTERM] {
        let site = Site::harsh(World::fleet(2, 1));
        let run = long(&site);
        site.await_on(2);
        run.signal(which);
        let report = run.ended().exits(130).json();
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
fn before_the_fault_nothing_has_to_be_removed() {
    let site = Site::harsh(World::fleet(1, 1));
    let run = start(site.on_service("run").env("RAMP_TIME", "600"));
    // The agent is brought before the ramp: nothing comes between the ramp and the fault.
    site.await_command("install", |command| command.status.is_final());
    run.signal(Signal::SIGTERM);
    run.ended().exits(130);
    assert!(site.commands("inject").is_empty() && site.commands("remove").is_empty());
}

#[test]
fn during_delivery_nothing_is_on() {
    let site = Site::harsh(World::fleet(1, 1));
    site.simulator.faults(|faults| faults.lose_commands_to(&host(0)));
    let run = long(&site);
    site.await_command("probe", |_| true);
    run.signal(Signal::SIGINT);
    run.ended().exits(130);
    assert!(site.commands("inject").is_empty());
}

#[test]
fn a_command_that_has_not_begun_is_cancelled() {
    let site = Site::harsh(World::fleet(1, 1));
    finish(&mut site.on_service("run")).exits(0);
    // From here on commands are lost on their way, until the abort is through with `inject`.
    let run = long(&site);
    site.await_command("inject", |c| c.parameters["executionTimeout"][0] == "645");
    run.signal(Signal::SIGINT);
    run.ended().exits(130);
    // The host's last word of it comes at its own pace.
    site.await_command("inject", |command| {
        command.parameters["executionTimeout"][0] == "645"
            && command.invocations.iter().all(|one| one.status.is_final())
    });
    site.assert_clean();
}

#[test]
fn an_agent_that_does_not_hear_is_cancelled_and_swept_up() {
    let site = Site::harsh(World::fleet(1, 1));
    // It does not look at the stop mark; `remove` then finds it alive and gives up the first time.
    let deaf = STUB.replace("[ ! -f \"$state/stop\" ] || { reason=request; break; }", ":").replace(
        "rm -rf \"$state\"\n        removed=",
        "[ \"$how\" = swept ] || continue\n        rm -rf \"$state\"\n        removed=",
    );
    site.agent(&deaf.replace("tries=100", "tries=3"));
    let run = long(&site);
    site.await_on(1);
    run.signal(Signal::SIGTERM);
    let done = run.ended();
    assert_eq!(done.code, 130, "{done}");
    assert!(site.simulator.count("CancelCommand") > 0, "{done}");
    site.assert_clean();
}

#[test]
fn a_second_signal_does_not_skip_the_proof_and_a_third_leaves_with_the_command() {
    let site = Site::harsh(World::fleet(1, 1));
    let slow = STUB.replace("remove)\n", "remove)\n    sleep 2\n");
    site.agent(&slow);
    let twice = long(&site);
    site.await_on(1);
    twice.signal(Signal::SIGINT);
    site.await_command("remove", |_| true);
    twice.signal(Signal::SIGINT);
    twice.ended().exits(130).says("a third signal leaves without proof");
    site.assert_clean();

    let (seen, removed) = (site.times_on(), site.commands("remove").len());
    let thrice = long(&site);
    site.await_on(seen + 1);
    thrice.signal(Signal::SIGINT);
    let second = site.simulator.wait_for_commands(PATIENCE, |commands| {
        (commands.iter().filter(|c| c.comment.contains(" remove ")).count() > removed).then_some(())
    });
    assert!(second.is_some());
    thrice.signal(Signal::SIGINT);
    thrice.signal(Signal::SIGTERM);
    let done = thrice.ended();
    // Two signals of one kind that come together are one to the kernel; these differ.
    done.exits(3).says("make sure with: httpfault-ctl remove --experiment-id ");
}

#[test]
fn an_error_in_the_middle_takes_the_fault_off_too() {
    let site = Site::harsh(World::fleet(1, 1));
    let run = long(&site);
    site.await_on(1);
    let looks = ["ListCommandInvocations", "GetCommandInvocation"];
    site.simulator.faults(|faults| looks.iter().for_each(|action| faults.deny(action)));
    site.await_command("remove", |_| true);
    site.simulator.faults(|faults| faults.clear());
    let done = run.ended();
    assert!([2, 3].contains(&done.code), "{done}");
    done.says("AWS denied ssm:GetCommandInvocation");
    site.assert_clean();
}
