//! Many targets of one agent.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use httpfault_common::contract::{Outcome, RemovedReason};
use httpfault_tests::{
    agent::{Agent, agent, experiment, run_args, status_of},
    clean::Traces,
    inside::ask,
    machine::Machine,
    netns::Netns,
    site::{Application, PORT},
};
use jiff::{SignedDuration, Timestamp};

/// The most of one run.
const TARGETS: usize = 100;
const PROXY_PORT: u16 = 20000;

/// The leases of the first hold while the last are put on, and every target has the whole of its time.
#[test]
fn a_hundred_targets_hold_their_leases() -> Result<()> {
    let _machine = Machine::take()?;
    let before = Traces::now()?;
    let start = |_| -> Result<(Application, Netns)> {
        let namespace = Netns::create("crowd")?;
        Ok((Application::start("crowd", &namespace, PORT)?, namespace))
    };
    let targets = (0..TARGETS).map(start).collect::<Result<Vec<_>>>()?;
    let pids: Vec<String> = targets.iter().map(|(application, _)| application.pid().to_string()).collect();
    let (first, others) = pids.split_first().context("no target")?;
    let mut more: Vec<&str> = others.iter().flat_map(|pid| ["--pid", pid]).collect();
    more.extend(["--duration", "600"]);
    let id = experiment("crowd");
    let started = Timestamp::now();
    let mut agent = Agent::start(agent(run_args(["--pid", first], &id, &more))?)?;
    let injected = agent.injected()?;
    assert!(injected.targets.iter().all(|target| target.error.is_none()), "{injected:?}");

    // The last one's time counts from when it came on, not from when the agent began.
    let injecting = injected.at.duration_since(started);
    let lost = SignedDuration::from_secs(600) - injected.deadline.duration_since(injected.at);
    assert!(lost < injecting / 2, "{lost:#} of its time were gone, injecting took {injecting:#}");

    // A lease that lapsed while others were put on would be over for good.
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    for (application, namespace) in &targets {
        let seen = ask(application.in_task(namespace)?, here)?;
        assert_eq!((seen.status, seen.marker.as_deref()), (503, Some(id.as_str())), "{seen:?}");
    }
    let status = status_of(&id)?.context("the run's status")?;
    assert_eq!(status.targets.len(), TARGETS, "every target is on");
    assert!(status.targets.iter().all(|target| target.counters.passed_open == 0), "{status:?}");

    let ended = agent.terminate()?;
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.reason), (130, RemovedReason::Signal), "{removed:?}");
    assert!(removed.targets.iter().all(|target| target.outcome == Outcome::Faulted), "{removed:?}");
    let namespaces: Vec<_> = targets.iter().map(|(_, namespace)| (&**namespace, PROXY_PORT)).collect();
    before.none_but_these(&namespaces)
}
