//! What goes wrong, switched on and off by a test through [`Simulator::faults`](crate::Simulator::faults).

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// The faults in force. Actions are named as in the API: `ListTasks`, `SendCommand`, `AssumeRole`.
#[derive(Debug, Default)]
pub struct Faults {
    buckets: HashMap<String, Bucket>,
    denied: HashSet<String>,
    latency: HashMap<String, Duration>,
    failing: HashMap<String, usize>,
    after: HashMap<String, VecDeque<AfterCall>>,
    lost_next: usize,
    lost_hosts: HashSet<String>,
    undeliverable_hosts: HashSet<String>,
    stopped_agents: HashSet<String>,
    doubled_next: usize,
    document_bytes: Option<usize>,
    rate_exceeded_next: usize,
    names_no_instance: bool,
}

/// What happens to the answer of a call that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCall {
    /// A 500 InternalServerError.
    InternalServerError,
    /// A 500 with this code.
    ServerError(&'static str),
    /// The connection is closed without an answer.
    DropConnection,
    /// The answer comes this much later.
    AnswerLate(Duration),
}

/// What becomes of a command on its way to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    Lost,
    Doubled,
    RateExceeded,
}

#[derive(Debug)]
struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

/// For tests.
impl Faults {
    /// Throttles an action: a token bucket of `burst` tokens that fills at `per_second`. A call without a token is
    /// answered with 400 ThrottlingException "Rate exceeded" (STS: 400 Throttling).
    pub fn throttle(&mut self, action: &str, per_second: f64, burst: u32) {
        let burst = f64::from(burst);
        let bucket = Bucket { per_second, burst, tokens: burst, filled: Instant::now() };
        self.buckets.insert(action.to_owned(), bucket);
    }

    /// Ends throttling of an action.
    pub fn unthrottle(&mut self, action: &str) {
        self.buckets.remove(action);
    }

    /// Refuses an action to everybody: AccessDeniedException in AWS's words.
    pub fn deny(&mut self, action: &str) {
        self.denied.insert(action.to_owned());
    }

    /// Allows it again, as far as policies do.
    pub fn allow(&mut self, action: &str) {
        self.denied.remove(action);
    }

    /// Delays every call of an action before it is looked at.
    pub fn delay(&mut self, action: &str, by: Duration) {
        self.latency.insert(action.to_owned(), by);
    }

    /// Answers the next `times` calls of an action with 500 InternalServerError; they are not carried out.
    pub fn fail_next(&mut self, action: &str, times: usize) {
        self.failing.insert(action.to_owned(), times);
    }

    /// Carries out the next call of an action and then does this with the answer. Calls queue up: two times
    /// this method is the next two calls.
    pub fn after_next(&mut self, action: &str, what: AfterCall) {
        self.after.entry(action.to_owned()).or_default().push_back(what);
    }

    /// Accepts the next `commands` SendCommand calls, but delivers nothing to any of their hosts: Pending, then
    /// Delivery Timed Out.
    pub fn lose_next_commands(&mut self, commands: usize) {
        self.lost_next = commands;
    }

    /// From now on nothing sent to this host is delivered, while it goes on to show as Online.
    pub fn lose_commands_to(&mut self, instance: &str) {
        self.lost_hosts.insert(instance.to_owned());
    }

    /// Commands to this host end as Failed with details Undeliverable.
    pub fn undeliverable(&mut self, instance: &str) {
        self.undeliverable_hosts.insert(instance.to_owned());
    }

    /// Delivers to this host again: also commands that wait for it.
    pub fn deliver_to(&mut self, instance: &str) {
        self.lost_hosts.remove(instance);
        self.undeliverable_hosts.remove(instance);
    }

    /// Every host of the next `commands` SendCommand calls runs the script twice, at the same time.
    pub fn run_next_commands_twice(&mut self, commands: usize) {
        self.doubled_next = commands;
    }

    /// Accepts the next `commands` SendCommand calls and then cancels them for the account's limit of pending
    /// invocations: the command says "Rate Exceeded", and there are no invocations.
    pub fn exceed_rate_of_next_commands(&mut self, commands: usize) {
        self.rate_exceeded_next = commands;
    }

    /// The SSM agent of this instance is down, as during an upgrade: scripts go on, messages and results wait, and it
    /// still shows as Online.
    pub fn stop_agent(&mut self, instance: &str) {
        self.stopped_agents.insert(instance.to_owned());
    }

    /// It is up again and takes what has waited.
    pub fn start_agent(&mut self, instance: &str) {
        self.stopped_agents.remove(instance);
    }

    /// InvalidInstanceId does not say which instances are meant.
    pub fn name_no_instance(&mut self) {
        self.names_no_instance = true;
    }

    /// Takes no document that is larger than this with its parameters. AWS does not say what exactly it counts.
    pub fn document_limit(&mut self, bytes: usize) {
        self.document_bytes = Some(bytes);
    }

    /// Switches everything off.
    pub fn clear(&mut self) {
        *self = Faults::default();
    }
}

/// For the simulator.
impl Faults {
    pub(crate) fn latency(&self, action: &str) -> Duration {
        self.latency.get(action).copied().unwrap_or_default()
    }

    pub(crate) fn denies(&self, action: &str) -> bool {
        self.denied.contains(action)
    }

    /// Takes a token; false if there is none.
    pub(crate) fn admit(&mut self, action: &str, now: Instant) -> bool {
        let Some(bucket) = self.buckets.get_mut(action) else { return true };
        let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * bucket.per_second).min(bucket.burst);
        bucket.filled = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }

    pub(crate) fn take_failure(&mut self, action: &str) -> bool {
        self.failing.get_mut(action).is_some_and(take)
    }

    pub(crate) fn take_after(&mut self, action: &str) -> Option<AfterCall> {
        self.after.get_mut(action)?.pop_front()
    }

    pub(crate) fn take_fate(&mut self) -> Fate {
        if take(&mut self.lost_next) {
            Fate::Lost
        } else if take(&mut self.doubled_next) {
            Fate::Doubled
        } else if take(&mut self.rate_exceeded_next) {
            Fate::RateExceeded
        } else {
            Fate::Delivered
        }
    }

    pub(crate) fn document_bytes(&self) -> Option<usize> {
        self.document_bytes
    }

    pub(crate) fn loses(&self, instance: &str) -> bool {
        self.lost_hosts.contains(instance)
    }

    pub(crate) fn agent_is_stopped(&self, instance: &str) -> bool {
        self.stopped_agents.contains(instance)
    }

    pub(crate) fn names_instances(&self) -> bool {
        !self.names_no_instance
    }

    pub(crate) fn is_undeliverable(&self, instance: &str) -> bool {
        self.undeliverable_hosts.contains(instance)
    }
}

/// Counts down; false at zero.
fn take(left: &mut usize) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let mut faults = Faults::default();
        faults.throttle("ListTasks", 2.0, 2);
        let now = Instant::now();
        let mut admitted = |at| faults.admit("ListTasks", at);
        assert!(admitted(now) && admitted(now) && !admitted(now));
        assert!(admitted(now + Duration::from_millis(500)));
        assert!(!admitted(now + Duration::from_millis(500)));
        assert!(faults.admit("DescribeTasks", now), "other actions are not affected");
    }
}
