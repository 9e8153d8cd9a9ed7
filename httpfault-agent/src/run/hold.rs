//! While the fault is on: waits for whatever ends it.

use std::{pin::pin, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use httpfault_common::contract::{FaultStatus, Outcome, Phase, RemovedReason};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    control::Order,
    fault::{Ended, Fault, Run},
    signal::Signals,
    view::View,
};

/// Held until the process ends: by its closing the client of a `stop` knows.
pub(super) type Stopper = oneshot::Sender<()>;

/// Where a run stands when something ended it.
pub(super) struct Held {
    pub(super) reason: RemovedReason,
    /// Still on.
    pub(super) faults: Vec<Fault>,
    /// Ended before, or being ended, because their targets went away.
    pub(super) ended: JoinSet<Ended>,
    /// Those who asked for the end.
    pub(super) stoppers: Vec<Stopper>,
    /// The status at that moment.
    pub(super) status: FaultStatus,
}

/// Waits for the deadline, a signal, an order, a lapsed lease or the end of the last target.
pub(super) async fn hold(
    mut faults: Vec<Fault>,
    run: &Run,
    injected_at: Timestamp,
    signals: &mut Signals,
    orders: &mut mpsc::Receiver<Order>,
    view: &mut View,
) -> Held {
    let mut ended = JoinSet::new();
    let mut stoppers = Vec::new();
    let mut deadline = pin!(tokio::time::sleep(run.deadline.remaining()));
    let mut redraw = tokio::time::interval(Duration::from_millis(500));
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let reason = loop {
        tokio::select! {
            biased;
            () = run.lapsed.notified() => break RemovedReason::Lease,
            () = &mut deadline => break RemovedReason::Deadline,
            () = signals.received() => break RemovedReason::Signal,
            gone = first_gone(&faults) => {
                let fault = faults.swap_remove(gone);
                ended.spawn(end_of_gone(fault));
                if faults.is_empty() {
                    break RemovedReason::TargetGone;
                }
            }
            Some(order) = orders.recv() => match order {
                Order::Status(reply) => {
                    // Whoever asked may have gone.
                    let _unread = reply.send(status(&faults, run, injected_at));
                }
                Order::Stop(stopper) => {
                    stoppers.push(stopper);
                    break RemovedReason::Request;
                }
            },
            _ = redraw.tick() => view.draw(&faults),
        }
    };
    let status = status(&faults, run, injected_at);
    Held { reason, faults, ended, stoppers, status }
}

/// Goes on answering orders while the faults are being removed, until the process ends.
pub(super) fn answer_to_the_end(
    mut orders: mpsc::Receiver<Order>,
    last: FaultStatus,
    mut stoppers: Vec<Stopper>,
) {
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Status(reply) => {
                    let _unread = reply.send(FaultStatus { phase: Phase::Ending, ..last.clone() });
                }
                Order::Stop(stopper) => stoppers.push(stopper),
            }
        }
    });
}

/// Index of the first fault whose target has ended.
async fn first_gone(faults: &[Fault]) -> usize {
    let mut watches: FuturesUnordered<_> = faults
        .iter()
        .enumerate()
        .map(|(index, fault)| async move {
            fault.target_gone().await;
            index
        })
        .collect();
    match watches.next().await {
        Some(index) => index,
        None => std::future::pending().await,
    }
}

/// The namespace must not be kept alive for a dead container, so its sockets go at once.
async fn end_of_gone(fault: Fault) -> Ended {
    let mut ended = fault.end().await;
    ended.report.outcome = Outcome::TargetGone;
    ended.report.causes.clear();
    ended
}

fn status(faults: &[Fault], run: &Run, injected_at: Timestamp) -> FaultStatus {
    FaultStatus {
        experiment_id: run.spec.experiment_id.clone(),
        phase: Phase::On,
        agent_pid: std::process::id(),
        injected_at: Some(injected_at),
        deadline: Some(run.deadline.at),
        port: run.spec.port,
        status_code: run.spec.fault.status,
        targets: faults.iter().map(Fault::target_report).collect(),
    }
}
