//! The way of a command to its instances and of the results back: pending, queued by the agent, run, reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command::{Command, Status, details};
use super::execution::{Execution, StubCall};
use super::finish::{self, Ended, How};
use crate::faults::Fate;
use crate::host::Job;
use crate::state::{Shared, State};
use crate::world::PingStatus;

/// Often enough to see a script through its reboots, as RunCount in the agent.
const MAX_RUNS: usize = 15;

/// What all invocations of a command share.
struct Batch {
    /// MaxConcurrency.
    slots: Semaphore,
    errors: AtomicUsize,
    max_errors: usize,
}

/// One command for one instance.
struct Delivery {
    shared: Arc<Shared>,
    batch: Arc<Batch>,
    command_id: String,
    instance_id: String,
    script: String,
    comment: String,
    working_directory: Option<String>,
    execution_timeout: Duration,
    deadline: Instant,
    fate: Fate,
    cancel: CancellationToken,
    worker_died: CancellationToken,
}

/// Starts a task for each invocation.
pub(super) fn start(shared: Arc<Shared>, command: &Command) {
    let total = command.invocations.len();
    let batch = Arc::new(Batch {
        slots: Semaphore::new(share(&command.max_concurrency, total).max(1)),
        errors: AtomicUsize::new(0),
        max_errors: share(&command.max_errors, total),
    });
    let delivery_seconds = u64::from(command.timeout_seconds) + command.execution_timeout();
    let delivery_timeout = shared.timing.delivery_second.as_secs_f64() * delivery_seconds as f64;
    for invocation in &command.invocations {
        let delivery = Delivery {
            shared: Arc::clone(&shared),
            batch: Arc::clone(&batch),
            command_id: command.id.clone(),
            instance_id: invocation.instance_id.clone(),
            script: command.script(),
            comment: command.comment.clone(),
            working_directory: command
                .parameters
                .get("workingDirectory")
                .and_then(|values| values.first().cloned()),
            execution_timeout: Duration::from_secs(command.execution_timeout()),
            deadline: Instant::now() + Duration::from_secs_f64(delivery_timeout),
            fate: command.fate,
            cancel: invocation.cancel.clone(),
            worker_died: invocation.worker_died.clone(),
        };
        tokio::spawn(delivery.run());
    }
}

/// A number, or a percentage of `total` rounded up.
fn share(text: &str, total: usize) -> usize {
    match text.strip_suffix('%') {
        Some(percent) => (percent.parse().unwrap_or(0) * total).div_ceil(100),
        None => text.parse().unwrap_or(0),
    }
}

impl Delivery {
    async fn run(self) {
        let Ok(_slot) = self.batch.slots.acquire().await else { return };
        if self.cancel.is_cancelled() {
            return; // CancelCommand has already written the final state of what was pending.
        }
        if self.batch.errors.load(Ordering::Relaxed) > self.batch.max_errors {
            return self.end_undelivered(Status::Cancelled, details::TERMINATED);
        }
        let queue = self.shared.hosts.queue(&self.instance_id);
        let messages = self.shared.timing.messages;
        let delivered = async {
            tokio::time::sleep(self.shared.timing.delivery).await;
            match self.reach().await {
                true => (true, queue.accept(messages).await),
                false => (false, None),
            }
        };
        let (reached, place) = tokio::select! {
            delivered = delivered => delivered,
            () = self.cancel.cancelled() => return,
            () = tokio::time::sleep_until(self.deadline) => {
                return self.end_undelivered(Status::TimedOut, details::DELIVERY);
            }
        };
        if !reached {
            return self.end_undelivered(Status::Failed, details::UNDELIVERABLE);
        }
        // Acknowledged: InProgress from here, even while all workers are busy.
        if place.is_none() || !self.acknowledge() {
            return;
        }
        let ended = tokio::select! {
            worker = queue.workers.acquire() => match worker {
                Ok(_worker) => self.execute().await,
                Err(_) => return,
            },
            () = self.cancel_arrives() => match messages {
                None => Ended {
                    how: How::Cancelled, stdout: String::new(), stderr: String::new(), cancel_requested: true,
                },
                // A worker drops it when its turn comes, and nobody hears of it.
                Some(_) => return drop(queue.workers.acquire().await),
            },
        };
        self.travels().await;
        self.report(ended);
    }

    /// Waits until the instance's agent takes messages. False if AWS finds out that it can't be reached at all.
    async fn reach(&self) -> bool {
        if self.fate == Fate::Lost {
            std::future::pending::<()>().await;
        }
        let instance = self.instance_id.as_str();
        self.shared
            .until(|state| {
                if state.faults.is_undeliverable(instance) || state.world.managed_instance(instance).is_none()
                {
                    return Some(false);
                }
                (is_heard(state, instance) && !state.faults.loses(instance)).then_some(true)
            })
            .await
    }

    /// Messages travel only while the instance's agent is there.
    async fn travels(&self) {
        self.shared.until(|state| is_heard(state, &self.instance_id).then_some(())).await;
    }

    async fn cancel_arrives(&self) {
        self.cancel.cancelled().await;
        let arrival = async {
            tokio::time::sleep(self.shared.timing.delivery).await;
            self.travels().await;
        };
        match self.shared.timing.messages {
            Some(pace) => drop(self.shared.hosts.queue(&self.instance_id).turn_after(arrival, pace).await),
            None => arrival.await,
        }
    }

    /// False if CancelCommand was faster.
    fn acknowledge(&self) -> bool {
        self.change(|invocation| {
            let pending = invocation.status == Status::Pending;
            if pending {
                invocation.status = Status::InProgress;
                invocation.details = "InProgress";
            }
            pending
        })
        .unwrap_or(false)
    }

    async fn execute(&self) -> Ended {
        self.change(|invocation| invocation.started = Some(Timestamp::now()));
        let execution = self.shared.execution.clone();
        match execution {
            Execution::Stub(stub) => {
                let call = StubCall {
                    command_id: self.command_id.clone(),
                    instance_id: self.instance_id.clone(),
                    script: self.script.clone(),
                    comment: self.comment.clone(),
                };
                if self.fate == Fate::Doubled {
                    tokio::spawn(stub(call.clone()));
                }
                self.stubbed(stub(call)).await
            }
            Execution::Shell if self.fate == Fate::Doubled => {
                let (first, _second) = tokio::join!(self.shell("awsrunShellScript"), self.shell("again"));
                first
            }
            Execution::Shell => self.shell("awsrunShellScript").await,
        }
    }

    async fn stubbed(&self, stub: impl Future<Output = super::Finished>) -> Ended {
        let ended = |how| Ended {
            how,
            stdout: String::new(),
            stderr: String::new(),
            cancel_requested: self.cancel.is_cancelled(),
        };
        tokio::select! {
            finished = stub => Ended {
                stdout: finished.stdout,
                stderr: finished.stderr,
                ..ended(How::Exited(finished.exit_code))
            },
            () = self.cancel_arrives() => ended(How::Cancelled),
            () = tokio::time::sleep(self.execution_timeout) => ended(How::TimedOut),
        }
    }

    /// Runs the script, again after each reboot that it asks for.
    async fn shell(&self, plugin: &str) -> Ended {
        let mut runs = 0;
        loop {
            let boots = self.shared.hosts.boots(&self.instance_id);
            let job = Job {
                shared: &self.shared,
                instance_id: &self.instance_id,
                command_id: &self.command_id,
                plugin,
                script: &self.script,
                working_directory: self.working_directory.as_deref(),
                timeout: self.execution_timeout,
                cancelled: &self.cancel,
                worker_died: &self.worker_died,
            };
            let ended = job.run(self.cancel_arrives()).await;
            runs += 1;
            if ended.how == How::Lost || self.shared.hosts.boots(&self.instance_id) != boots {
                tokio::time::sleep(self.shared.timing.lost_worker).await;
                return Ended { how: How::Lost, ..ended };
            }
            if ended.how != How::Exited(finish::REBOOT) || runs == MAX_RUNS {
                return ended;
            }
            self.shared.hosts.reboot(&self.instance_id);
        }
    }

    fn report(&self, ended: Ended) {
        let shown = finish::show(ended);
        if matches!(shown.status, Status::Failed | Status::TimedOut) {
            self.batch.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.change(|invocation| {
            invocation.status = shown.status;
            invocation.details = shown.details;
            invocation.response_code = shown.response_code;
            invocation.stdout = shown.stdout;
            invocation.stderr = shown.stderr;
            invocation.output = shown.output;
            invocation.finished = Some(Timestamp::now());
        });
    }

    fn end_undelivered(&self, status: Status, details: &'static str) {
        self.change(|invocation| {
            if !invocation.status.is_final() {
                invocation.status = status;
                invocation.details = details;
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut super::Invocation) -> T) -> Option<T> {
        self.shared.update(|state| {
            let invocation = state.command_mut(&self.command_id)?.invocation_mut(&self.instance_id)?;
            Some(change(invocation))
        })
    }
}

fn is_heard(state: &State, instance: &str) -> bool {
    let managed = state.world.managed_instance(instance);
    let online = managed.is_some_and(|one| one.ping_status == PingStatus::Online && !one.terminated);
    online && !state.faults.agent_is_stopped(instance)
}
