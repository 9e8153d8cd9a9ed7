//! Injects into every target, and goes on listening to signals and orders meanwhile.

use httpfault_common::contract::{
    FaultStatus, Injected, InjectedTarget, Phase, Problem, RemovedReason, TargetReport,
};
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{hold::Stopper, verdict};
use crate::{
    clock::Deadline,
    control::Order,
    fault::{Fault, Run},
    preflight::{Preflight, Target, Unready},
    signal::Signals,
};

/// What came of it.
pub(super) struct Injecting {
    /// Those that are on, by name.
    pub(super) faults: Vec<Fault>,
    pub(super) injected: Injected,
    pub(super) failed: Vec<TargetReport>,
    /// What ended the run before everything was on, and who asked for it.
    pub(super) ended: Option<RemovedReason>,
    pub(super) stoppers: Vec<Stopper>,
}

/// Injects into every target, as many at once as there are processors: each is little else than work for one. One that
/// fails does not stop the others.
pub(super) async fn inject_all(
    preflight: Preflight,
    run: &Run,
    deadline: Deadline,
    signals: &mut Signals,
    orders: &mut mpsc::Receiver<Order>,
) -> Injecting {
    let mut failed: Vec<_> =
        preflight.targets.iter().filter_map(|target| target.as_ref().err()).map(Unready::report).collect();
    let mut injecting = JoinSet::new();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let slots = std::sync::Arc::new(Semaphore::new(processors));
    let mut placed = Vec::new();
    for target in preflight.targets.into_iter().flatten() {
        match run.responder.enter(&target.netns) {
            Ok(place) => placed.push((target, place)),
            Err(why) => failed.push(refused(&target, &why)),
        }
    }
    // It can't enter more.
    run.responder.confine();
    for (target, place) in placed {
        let (run, slots) = (run.clone(), std::sync::Arc::clone(&slots));
        injecting.spawn(async move {
            let _slot = slots.acquire().await;
            Fault::inject(target, place, &run).await
        });
    }
    let (mut faults, mut ended, mut stoppers) = (Vec::new(), None, Vec::new());
    loop {
        tokio::select! {
            next = injecting.join_next() => match next {
                None => break,
                Some(Ok(Ok(fault))) => faults.push(fault),
                Some(Ok(Err(target))) => failed.push(target),
                Some(Err(why)) => log::error!("an injection was abandoned: {why}"),
            },
            () = signals.received() => {
                ended.get_or_insert(RemovedReason::Signal);
                run.stop.cancel();
            }
            Some(order) = orders.recv() => match order {
                Order::Status(reply) => {
                    // Whoever asked may have gone.
                    let _unread = reply.send(starting(run, deadline));
                }
                Order::Stop(stopper) => {
                    stoppers.push(stopper);
                    ended.get_or_insert(RemovedReason::Request);
                    run.stop.cancel();
                }
            },
        }
    }
    faults.sort_by(|a, b| a.label().cmp(b.label()));
    let last = faults.iter().map(Fault::deadline).max_by_key(|deadline| deadline.boot_ns);
    let targets: Vec<InjectedTarget> =
        faults.iter().map(Fault::report).chain(failed.iter().cloned()).collect();
    let injected = Injected {
        experiment_id: run.spec.experiment_id.clone(),
        at: Timestamp::now(),
        deadline: last.unwrap_or(deadline).at,
        targets,
        warnings: Vec::new(),
    };
    let failed = failed.into_iter().map(verdict::failed).collect();
    Injecting { faults, injected, failed, ended, stoppers }
}

fn starting(run: &Run, deadline: Deadline) -> FaultStatus {
    FaultStatus {
        experiment_id: run.spec.experiment_id.clone(),
        phase: Phase::Starting,
        agent_pid: std::process::id(),
        injected_at: None,
        deadline: Some(deadline.at),
        port: run.spec.port,
        status_code: run.spec.fault.status,
        targets: Vec::new(),
    }
}

fn refused(target: &Target, why: &anyhow::Error) -> InjectedTarget {
    let report = target.report();
    let problem = Problem {
        subject: report.target.clone(),
        problem: format!("{why:#}"),
        next: "run it again; if it fails again, report it".into(),
    };
    InjectedTarget { error: Some(problem), ..report }
}
