//! Hosts that answer as the agent would, without one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_common::contract::{
    Counters, Event, Exit, FaultStatus, Injected, InjectedTarget, Outcome, Phase, RemoveReport, Removed,
    RemovedFault, RemovedHow, RemovedReason, RunSpec, StatusReport, TargetReport,
};
use httpfault_simulator::{Execution, Finished, StubCall};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// What a script takes on a host.
const SCRIPT: Duration = Duration::from_millis(150);
/// What the agent takes until the fault is on and proved.
const INJECTION: Duration = Duration::from_millis(300);

/// The faults that are on, by instance, and whether hosts have the agent already.
#[derive(Debug)]
pub(crate) struct Fleet {
    on: Mutex<BTreeMap<String, (FaultStatus, Arc<Notify>)>>,
    in_place: bool,
    /// When the first piece came to a host, and when the last agent was put together.
    delivered: Mutex<Option<(Instant, Instant)>>,
}

impl Fleet {
    pub(crate) fn new(in_place: bool) -> Arc<Self> {
        Arc::new(Self { on: Mutex::default(), in_place, delivered: Mutex::default() })
    }

    pub(crate) fn execution(self: &Arc<Self>) -> Execution {
        let fleet = Arc::clone(self);
        Execution::stub(move |call| {
            let fleet = Arc::clone(&fleet);
            async move {
                tokio::time::sleep(SCRIPT).await;
                let answer = fleet.answer(&call).await;
                answer.unwrap_or_else(|error| Finished::failed(1, format!("{error:#}")))
            }
        })
    }

    async fn answer(&self, call: &StubCall) -> Result<Finished> {
        let action = call.comment.split(' ').nth(2).context("a comment names the action")?;
        Ok(match action {
            "probe" if !self.in_place => Finished::ok("httpfault: absent"),
            "probe" => Finished::ok("httpfault: ready x86_64"),
            "piece" => {
                self.note_delivery();
                Finished::ok("httpfault: kept")
            }
            "install" => {
                self.note_delivery();
                Finished::ok("httpfault: ready x86_64")
            }
            "status" => {
                let faults = self.on().get(&call.instance_id).map(|(fault, _)| fault.clone());
                let faults = faults.into_iter().collect();
                Finished::ok(serde_json::to_string(&StatusReport { faults, ended: None })?)
            }
            "remove" => {
                let found = self.on().remove(&call.instance_id);
                let removed = found.map(|(fault, asked)| {
                    asked.notify_one();
                    RemovedFault { experiment_id: fault.experiment_id.to_string(), how: RemovedHow::Ended }
                });
                let removed = removed.into_iter().collect();
                let report = RemoveReport { exit: Exit::Done, removed, left_behind: Vec::new() };
                let status = StatusReport::default();
                Finished::ok(format!(
                    "{}\n{}",
                    serde_json::to_string(&report)?,
                    serde_json::to_string(&status)?
                ))
            }
            _ => self.inject(call).await?,
        })
    }

    async fn inject(&self, call: &StubCall) -> Result<Finished> {
        let spec = spec_of(call)?;
        tokio::time::sleep(INJECTION).await;
        let at = Timestamp::now();
        let deadline = at + SignedDuration::from_secs(i64::try_from(spec.duration_secs)?);
        let counters =
            Counters { connections_inbound: 40, requests_http11: 120, faulted: 120, ..Counters::default() };
        let targets: Vec<TargetReport> = spec
            .targets
            .iter()
            .map(|target| TargetReport {
                target: target.to_string(),
                outcome: Outcome::Faulted,
                counters: counters.clone(),
                causes: Vec::new(),
                error: None,
            })
            .collect();
        let status = FaultStatus {
            experiment_id: spec.experiment_id.clone(),
            phase: Phase::On,
            agent_pid: 4711,
            injected_at: Some(at),
            deadline: Some(deadline),
            port: spec.port,
            status_code: spec.fault.status,
            targets: targets.clone(),
        };
        let asked = Arc::new(Notify::new());
        self.on().insert(call.instance_id.clone(), (status, Arc::clone(&asked)));
        // Also when the command is cancelled, which drops this future.
        let end = End { fleet: self, instance: &call.instance_id };
        let reason = tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(spec.duration_secs)) => RemovedReason::Deadline,
            () = asked.notified() => RemovedReason::Request,
        };
        drop(end);
        let injected = Event::Injected(Injected {
            experiment_id: spec.experiment_id.clone(),
            at,
            deadline,
            targets: spec.targets.iter().map(found).collect(),
            warnings: Vec::new(),
        });
        let removed = Event::Removed(Removed {
            exit: Exit::Done,
            experiment_id: spec.experiment_id,
            reason,
            injected_at: Some(at),
            removed_at: Timestamp::now(),
            counters_at: None,
            targets,
            left_behind: Vec::new(),
            warnings: Vec::new(),
            history: None,
        });
        Ok(Finished::ok(format!(
            "{}\n{}\n",
            serde_json::to_string(&injected)?,
            serde_json::to_string(&removed)?
        )))
    }

    fn note_delivery(&self) {
        let now = Instant::now();
        let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        *delivered = Some((delivered.map_or(now, |(first, _)| first), now));
    }

    /// From the first piece to the last agent.
    pub(crate) fn delivery(&self) -> Option<Duration> {
        let delivered = *self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.map(|(first, last)| last.duration_since(first))
    }

    /// Hosts on which it is on.
    pub(crate) fn count(&self) -> usize {
        self.on().len()
    }

    fn on(&self) -> MutexGuard<'_, BTreeMap<String, (FaultStatus, Arc<Notify>)>> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a fault, however it comes.
struct End<'a> {
    fleet: &'a Fleet,
    instance: &'a str,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.fleet.on().remove(self.instance);
    }
}

fn found(target: &httpfault_common::contract::TargetSelector) -> InjectedTarget {
    let found = "container web (0123456789ab)".to_owned();
    InjectedTarget { target: target.to_string(), found, source: "docker".to_owned(), error: None }
}

/// The spec of the instance's own line in the script.
fn spec_of(call: &StubCall) -> Result<RunSpec> {
    let own = format!("{})", call.instance_id);
    let line = call
        .script
        .lines()
        .find(|line| line.trim_start().starts_with(&own))
        .context("no line for this host")?;
    let spec =
        line.split_whitespace().find_map(|word| word.strip_prefix("spec=")).context("no spec in its line")?;
    RunSpec::decode(spec).context("reading the spec")
}
