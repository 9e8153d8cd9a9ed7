//! Taking a fault off hosts and proving that it is off. `remove` asks the agent to end it and looks at once whether it
//! has; where that is not answered soon, the command that holds the fault stands in the way and is cancelled.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use httpfault_common::contract::{self, Exit, ExperimentId, LeftBehind, RemovedFault};
use tokio::time::{Instant, sleep};

use crate::{
    aws::{
        Action, Answer, ApiError, Cloud, Errands, Past, Sent,
        scripts::{self, Work},
    },
    console::Console,
    fleet::InstanceId,
    verify,
};

/// How often `remove` is tried where the fault still shows.
const REMOVALS: u32 = 3;

/// So many looks may fail in a way that is not expected to pass.
const FAILURES: u32 = 3;
/// A call that was throttled or lost is made again at the next step.
const TRYING_AGAIN: &str = "trying again";
/// So many looks follow each other quickly.
const OFTEN: u32 = 6;

/// What is known about a host after all that was tried.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Seen free of the fault.
    Off(Removed),
    /// The fault, or something of it, is still there.
    On(Removed),
    /// It could not be asked.
    Unclear(String),
    /// Systems Manager takes no command for it any more: it is terminated.
    Gone(String),
}

/// What the agent said about its removal.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) faults: Vec<RemovedFault>,
    pub(crate) left: Vec<LeftBehind>,
    /// Experiments that still show.
    pub(crate) still: Vec<ExperimentId>,
    /// What the agent has kept of its report.
    pub(crate) last_word: Option<Box<contract::Removed>>,
}

pub(crate) type Verdicts = BTreeMap<InstanceId, Verdict>;

/// One experiment's removal, or with `None` every fault's.
pub(crate) struct Removal<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) errands: &'a mut Errands,
    pub(crate) console: &'a Console,
    pub(crate) experiment: Option<&'a ExperimentId>,
    /// The commands that may hold the fault, or put it on later; `None` looks them up when one is in the way.
    pub(crate) holding: Option<Vec<Sent>>,
    /// Hosts whose agent has said that it could not undo everything, although its fault no longer shows.
    pub(crate) damaged: BTreeSet<InstanceId>,
    /// What was found out, also when an error ends it early.
    pub(crate) verdicts: Verdicts,
    /// Hosts on which the commands were cancelled.
    pub(crate) cancelled: BTreeSet<InstanceId>,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(
        cloud: &'a Cloud,
        errands: &'a mut Errands,
        console: &'a Console,
        experiment: Option<&'a ExperimentId>,
    ) -> Self {
        let (damaged, verdicts, cancelled) = (BTreeSet::new(), Verdicts::new(), BTreeSet::new());
        Self { cloud, errands, console, experiment, holding: None, damaged, verdicts, cancelled }
    }

    /// Asks whether the fault is off, and takes it off where it is not.
    pub(crate) async fn prove(&mut self, hosts: BTreeSet<InstanceId>) -> Result<(), ApiError> {
        let asked = self.reachable(hosts).await?;
        self.look(asked).await
    }

    /// Takes the fault off, and makes sure that no command puts it on later.
    pub(crate) async fn remove(&mut self, hosts: BTreeSet<InstanceId>) -> Result<(), ApiError> {
        let asked = self.reachable(hosts).await?;
        self.take_off(asked).await?;
        let was_on = |verdict: &Verdict| match verdict {
            Verdict::Off(removed) => !removed.faults.is_empty(),
            Verdict::On(_) | Verdict::Unclear(_) | Verdict::Gone(_) => true,
        };
        let idle = self.verdicts.iter().filter(|(_, verdict)| !was_on(verdict));
        let idle: BTreeSet<InstanceId> = idle.map(|(host, _)| host.clone()).collect();
        if idle.is_empty() {
            return Ok(());
        }
        // Nothing was on there, but a command that has not ended may begin. A look that is sent after the cancel is
        // taken after it, too. Without an experiment's id, only what is already known is looked through: an account's
        // commands are many.
        if self.holding.is_none() && self.experiment.is_some() {
            self.holding = Some(self.cloud.injections(self.experiment, Past::MayBegin).await?);
        }
        if self.holding.is_some() {
            let cancelled = self.cancel(&idle).await?;
            self.look(cancelled).await?;
        }
        Ok(())
    }

    async fn look(&mut self, hosts: BTreeSet<InstanceId>) -> Result<(), ApiError> {
        if hosts.is_empty() {
            return Ok(());
        }
        let mut on = self.round(Action::Status, &scripts::status(self.experiment), &hosts).await?;
        let off = |host: &&InstanceId| matches!(self.verdicts.get(*host), Some(Verdict::Off(_)));
        on.extend(self.damaged.intersection(&hosts).filter(off).cloned());
        if !on.is_empty() {
            self.console.warn(&format!("the fault is still on at {} host(s); removing it", on.len()));
            self.take_off(on).await?;
        }
        Ok(())
    }

    /// Sorts out hosts that can't be asked.
    async fn reachable(&mut self, hosts: BTreeSet<InstanceId>) -> Result<BTreeSet<InstanceId>, ApiError> {
        let found = self.cloud.reachable(hosts).await?;
        let silent = found.silent.into_iter().map(|(host, why)| (host, Verdict::Unclear(why)));
        self.verdicts.extend(silent);
        self.verdicts.extend(found.gone.into_iter().map(|(host, why)| (host, Verdict::Gone(why))));
        Ok(found.online.into_iter().collect())
    }

    /// `remove`, again where the fault still shows.
    async fn take_off(&mut self, mut hosts: BTreeSet<InstanceId>) -> Result<(), ApiError> {
        let mut before: BTreeMap<InstanceId, Vec<RemovedFault>> = BTreeMap::new();
        for round in 0..REMOVALS {
            if hosts.is_empty() {
                break;
            }
            if round > 0 {
                // It ended neither by itself nor when it was asked to.
                self.cancel(&hosts).await?;
                // An agent that was just killed, or is just ending, may need a moment.
                self.cloud.pause(0).await;
            }
            let on = self.round(Action::Remove, &scripts::remove(self.experiment), &hosts).await?;
            for host in hosts {
                if let Some(Verdict::Off(removed) | Verdict::On(removed)) = self.verdicts.get_mut(&host) {
                    let all = before.entry(host).or_default();
                    all.append(&mut removed.faults);
                    removed.faults.clone_from(all);
                }
            }
            hosts = on;
        }
        Ok(())
    }

    /// One short command on every host. The result is where the fault still shows. Hosts that are busy with an earlier
    /// one are asked when that is answered.
    async fn round(
        &mut self,
        action: Action,
        script: &Work,
        hosts: &BTreeSet<InstanceId>,
    ) -> Result<BTreeSet<InstanceId>, ApiError> {
        let begin = Instant::now();
        let patience = self.cloud.patience();
        let (mut todo, mut unasked) = (hosts.clone(), hosts.clone());
        let mut on = BTreeSet::new();
        let mut in_the_way = true;
        let (mut looks, mut failed) = (0, 0);
        while !todo.is_empty() {
            let sent = self.errands.send(self.cloud, action, self.experiment, script, &unasked).await;
            self.console.unless_passing(sent, TRYING_AGAIN)?;
            unasked.retain(|host| !self.errands.asked_since(host, begin));
            let step = step(self.cloud, looks);
            let left = patience.saturating_sub(begin.elapsed());
            sleep(if in_the_way { step.min(left) } else { step }).await;
            looks += 1;
            let replies = match self.errands.collect(self.cloud).await {
                // Perhaps nothing can be seen any more, but what was not asked for yet can still be done.
                Err(error) if !error.is_passing() && failed < FAILURES => {
                    self.console.warn(&format!("{error}; {TRYING_AGAIN}"));
                    failed += 1;
                    self.errands.forget_before(begin);
                    continue;
                }
                replies => self.console.unless_passing(replies, TRYING_AGAIN)?.unwrap_or_default(),
            };
            for reply in replies.into_iter().filter(|reply| reply.asked >= begin) {
                let host = reply.answer.instance.clone();
                if todo.remove(&host) {
                    let verdict = self.judge(&reply.answer);
                    on.extend(matches!(verdict, Verdict::On(_)).then(|| host.clone()));
                    self.verdicts.insert(host, verdict);
                }
            }
            if begin.elapsed() >= patience && in_the_way && !todo.is_empty() {
                in_the_way = false;
                self.cancel(&todo).await?;
                self.errands.ask_anew(&todo.intersection(&unasked).cloned().collect());
            }
            if begin.elapsed() >= self.cloud.answer_within() {
                for host in std::mem::take(&mut todo) {
                    let why = self.errands.state_of(&host);
                    self.verdicts.insert(host, Verdict::Unclear(why));
                }
            }
        }
        Ok(on)
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        if answer.is_refused() {
            return Verdict::Gone(answer.failure());
        }
        let Some(status) = verify::status(&answer.stdout) else { return Verdict::Unclear(answer.failure()) };
        let ids = status.faults.into_iter().map(|fault| fault.experiment_id);
        let still = ids.filter(|id| self.experiment.is_none_or(|wanted| id == wanted)).collect();
        let mut removed = Removed { still, last_word: status.ended, ..Removed::default() };
        let mut done = true;
        if let Some(report) = verify::removal(&answer.stdout) {
            done = report.exit == Exit::Done;
            removed.faults = report.removed;
            removed.left = report.left_behind;
        }
        match removed.still.is_empty() && removed.left.is_empty() && done {
            true => Verdict::Off(removed),
            false => Verdict::On(removed),
        }
    }

    /// Cancels what holds the fault, where it has not ended. There is no guarantee, and no reply where it had not begun.
    async fn cancel(&mut self, hosts: &BTreeSet<InstanceId>) -> Result<BTreeSet<InstanceId>, ApiError> {
        let holding = match self.holding.take() {
            Some(holding) => holding,
            None => self.cloud.injections(self.experiment, Past::MayBeOn).await?,
        };
        let mut cancelled = BTreeSet::new();
        for sent in &holding {
            let Some(command) = &sent.command else { continue };
            if !sent.instances.iter().any(|host| hosts.contains(host)) {
                continue;
            }
            let states = self.console.unless_passing(self.cloud.look(sent).await, TRYING_AGAIN)?;
            let states = states.unwrap_or_default();
            let open = |host: &&InstanceId| {
                hosts.contains(*host) && !states.get(*host).is_some_and(|state| state.is_final())
            };
            let open: Vec<InstanceId> = sent.instances.iter().filter(open).cloned().collect();
            if open.is_empty() {
                continue;
            }
            self.console
                .say(&format!("cancelling the command that holds the fault on {} host(s)", open.len()));
            self.cloud.cancel(command, &open).await?;
            cancelled.extend(open);
        }
        self.holding = Some(holding);
        self.cancelled.extend(cancelled.iter().cloned());
        Ok(cancelled)
    }
}

/// Between two looks: often while something is on that should be off, then as usual.
fn step(cloud: &Cloud, looks: u32) -> Duration {
    let part = if looks < OFTEN { 0.3 } else { 1.0 };
    cloud.poll().mul_f64(part + fastrand::f64() * part / 3.0)
}
