//! While the fault is on: waits for whatever ends it.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use httpfault_common::contract::{FaultStatus, Outcome, Phase, Problem, RemovedReason, TargetReport};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::MissedTickBehavior,
};

use super::verdict;
use crate::{
    control::Order,
    fault::{Ended, Fault, Over, Run},
    last_word::LastWord,
    signal::Signals,
    view::View,
};

/// How often a person sees how it stands, and how old the last word of a killed agent may be.
const REDRAW: Duration = Duration::from_millis(500);

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

/// A run whose faults are on.
pub(super) struct On<'a> {
    pub(super) run: &'a Run,
    pub(super) injected_at: Timestamp,
    /// Of the target that came on last.
    pub(super) deadline: Timestamp,
}

impl On<'_> {
    /// Waits for a signal, an order, or until the last fault is over. A fault that is over before the others is ended
    /// meanwhile.
    pub(super) async fn hold(
        &self,
        mut faults: Vec<Fault>,
        signals: &mut Signals,
        orders: &mut mpsc::Receiver<Order>,
        view: &mut View,
        last_word: &mut LastWord,
    ) -> Held {
        let mut ended = JoinSet::new();
        let mut stoppers = Vec::new();
        let mut redraw = tokio::time::interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);

        let reason = loop {
            tokio::select! {
                biased;
                (index, over) = first_over(&faults) => {
                    ended.spawn(end_of_one(faults.swap_remove(index), over));
                    if faults.is_empty() {
                        break match over {
                            Over::Deadline => RemovedReason::Deadline,
                            Over::Gone => RemovedReason::TargetGone,
                            Over::Lapsed | Over::Unanswered => RemovedReason::Lease,
                        };
                    }
                }
                () = signals.received() => break RemovedReason::Signal,
                Some(order) = orders.recv() => match order {
                    Order::Status(reply) => {
                        // Whoever asked may have gone.
                        let _unread = reply.send(self.status(&faults));
                    }
                    Order::Stop(stopper) => {
                        stoppers.push(stopper);
                        break RemovedReason::Request;
                    }
                },
                _ = redraw.tick() => {
                    view.draw(&faults);
                    faults.iter().for_each(Fault::print_log);
                    last_word.keep_so_far(verdict::so_far(&self.run.spec, self.injected_at, &faults));
                }
            }
        };
        Held { reason, status: self.status(&faults), faults, ended, stoppers }
    }

    /// A run that was ended before everything was on.
    pub(super) fn ended(&self, reason: RemovedReason, faults: Vec<Fault>, stoppers: Vec<Stopper>) -> Held {
        Held { reason, status: self.status(&faults), faults, ended: JoinSet::new(), stoppers }
    }

    fn status(&self, faults: &[Fault]) -> FaultStatus {
        FaultStatus {
            experiment_id: self.run.spec.experiment_id.clone(),
            phase: Phase::On,
            agent_pid: std::process::id(),
            injected_at: Some(self.injected_at),
            deadline: Some(self.deadline),
            port: self.run.spec.port,
            status_code: self.run.spec.fault.status,
            targets: faults.iter().map(Fault::target_report).collect(),
        }
    }
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

/// Index of the first fault that is over, and why. Asked anew at every redraw, so that a sleeping host is noticed: the
/// runtime's timers stand still while it sleeps, the kernel's deadline does not.
async fn first_over(faults: &[Fault]) -> (usize, Over) {
    let mut watches: FuturesUnordered<_> =
        faults.iter().enumerate().map(|(index, fault)| async move { (index, fault.over().await) }).collect();
    match watches.next().await {
        Some(first) => first,
        None => std::future::pending().await,
    }
}

/// A dead container's namespace must not be kept alive, so its sockets go at once; a target whose lease ran out had real
/// answers meanwhile, so its fault is not called done.
async fn end_of_one(fault: Fault, over: Over) -> Ended {
    let mut ended = fault.end().await;
    let report = &mut ended.report;
    match over {
        Over::Deadline => {}
        Over::Gone => {
            report.outcome = Outcome::TargetGone;
            report.causes.clear();
        }
        Over::Lapsed => failed(
            report,
            "the agent was stopped or starved for longer than its lease, so the kernel gave the traffic back to the \
             application before the end",
            "run it again on a host that is less busy",
        ),
        Over::Unanswered => failed(
            report,
            "the agent's process that answers requests was killed, or ended by itself, so the kernel gave the traffic \
             back to the application before the end",
            "look in the kernel's log for who killed httpfault-http, and run it again",
        ),
    }
    ended
}

fn failed(report: &mut TargetReport, problem: &str, next: &str) {
    report.outcome = Outcome::Failed;
    report.causes.clear();
    report.error =
        Some(Problem { subject: report.target.clone(), problem: problem.into(), next: next.into() });
}
