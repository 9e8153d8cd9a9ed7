//! Short commands, at most one on each host at a time. An SSM agent runs five commands at once and lets five wait; where
//! they pile up it takes no message any more, cancels included.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use httpfault_common::contract::ExperimentId;
use tokio::time::Instant;

use super::{
    config::Cloud,
    dispatch::{Action, Sent},
    error::ApiError,
    limit::INSTANCES_PER_COMMAND,
    scripts::Work,
    wait::Answer,
};
use crate::fleet::InstanceId;

/// How long a short script may run on a host.
const EXECUTION: Duration = Duration::from_secs(100);

/// What a host may take that is not busy: up to 2.5 s until its SSM agent takes the message, and the end of an agent
/// with open connections. After this, what has not been answered waits behind something, or the host is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was sent and not yet answered by every host.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    open: Vec<Errand>,
    ready: Vec<Reply>,
    /// Hosts that are asked a second time although they have not answered the first.
    asked_anew: BTreeSet<InstanceId>,
}

#[derive(Debug)]
struct Errand {
    asked: Instant,
    sent: Sent,
    /// The hosts that have not answered, as they were seen last.
    waiting: BTreeMap<InstanceId, Answer>,
}

/// One host's answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// When the command was sent: what it saw is not older than that.
    pub(crate) asked: Instant,
    pub(crate) answer: Answer,
}

impl Errands {
    /// Whether an earlier command has not been answered here.
    pub(crate) fn is_waiting(&self, host: &InstanceId) -> bool {
        self.open.iter().any(|errand| errand.waiting.contains_key(host))
    }

    /// Whether a command that was sent since then waits or has been answered here.
    pub(crate) fn asked_since(&self, host: &InstanceId, then: Instant) -> bool {
        let open = self.open.iter().any(|one| one.asked >= then && one.waiting.contains_key(host));
        open || self.ready.iter().any(|reply| reply.asked >= then && reply.answer.instance == *host)
    }

    /// Sends a short script to the hosts that have answered everything before; the others are left out. Hosts for which
    /// SSM takes no command have their reply at once.
    pub(crate) async fn send(
        &mut self,
        cloud: &Cloud,
        action: Action,
        experiment: Option<&ExperimentId>,
        script: &Work,
        hosts: &BTreeSet<InstanceId>,
    ) -> Result<(), ApiError> {
        let free: Vec<InstanceId> = hosts.iter().filter(|host| !self.is_waiting(host)).cloned().collect();
        for chunk in free.chunks(INSTANCES_PER_COMMAND) {
            let mut ledger = Vec::new();
            let asked = Instant::now();
            let gone = cloud.send(action, experiment, script, chunk, EXECUTION, &mut ledger).await?;
            self.ready.extend(gone.into_iter().map(|(host, why)| {
                let answer = Answer::refused(host, &why);
                Reply { asked, answer }
            }));
            for sent in ledger {
                let waiting =
                    sent.instances.iter().map(|host| (host.clone(), Answer::unseen(host))).collect();
                self.open.push(Errand { asked, sent, waiting });
            }
        }
        Ok(())
    }

    /// One look at everything that is open: what has been answered since the last one.
    pub(crate) async fn collect(&mut self, cloud: &Cloud) -> Result<Vec<Reply>, ApiError> {
        for errand in &mut self.open {
            errand.sent.instances.retain(|host| errand.waiting.contains_key(host));
            for answer in cloud.outputs(&errand.sent).await? {
                if answer.state.is_final() {
                    errand.waiting.remove(&answer.instance);
                    self.asked_anew.remove(&answer.instance);
                    self.ready.push(Reply { asked: errand.asked, answer });
                } else {
                    errand.waiting.insert(answer.instance.clone(), answer);
                }
            }
        }
        self.open.retain(|errand| !errand.waiting.is_empty());
        Ok(std::mem::take(&mut self.ready))
    }

    /// Lets hosts be asked again that have not answered: of one that was terminated meanwhile SSM tells only when it is
    /// sent something. Once until a host answers, so that nothing piles up where it is only busy.
    pub(crate) fn ask_anew(&mut self, hosts: &BTreeSet<InstanceId>) {
        let unanswered: BTreeSet<&InstanceId> = hosts.iter().filter(|host| self.is_waiting(host)).collect();
        for host in unanswered {
            if self.asked_anew.insert(host.clone()) {
                self.open.iter_mut().for_each(|errand| drop(errand.waiting.remove(host)));
            }
        }
        self.open.retain(|errand| !errand.waiting.is_empty());
    }

    /// Gives up what was sent before and not answered.
    pub(crate) fn forget_before(&mut self, then: Instant) {
        self.open.retain(|errand| errand.asked >= then);
    }

    /// What is known of a host that has not answered.
    pub(crate) fn state_of(&self, host: &InstanceId) -> String {
        let waiting = self.open.iter().find_map(|errand| errand.waiting.get(host));
        waiting.map_or_else(|| "nothing was asked of it".to_owned(), Answer::failure)
    }
}

impl Cloud {
    /// After this time a host that has not answered a short script is busy or gone.
    pub(crate) fn patience(&self) -> Duration {
        PATIENCE.min(self.answer_within() / 2)
    }

    /// Sends a short script and waits for every host's answer. Hosts that don't answer in time, and those for which SSM
    /// takes no command, are in the result with the state they were seen in last.
    pub(crate) async fn ask(
        &self,
        action: Action,
        experiment: Option<&ExperimentId>,
        script: &Work,
        instances: &[InstanceId],
    ) -> Result<Vec<Answer>, ApiError> {
        let mut errands = Errands::default();
        errands.send(self, action, experiment, script, &instances.iter().cloned().collect()).await?;
        let end = Instant::now() + self.answer_within();
        let mut answers = Vec::new();
        let mut looks = 0;
        loop {
            self.pause(looks).await;
            looks += 1;
            match errands.collect(self).await {
                Ok(replies) => answers.extend(replies.into_iter().map(|reply| reply.answer)),
                // A look that failed says nothing about the hosts.
                Err(error) if error.is_passing() && Instant::now() < end => {}
                Err(error) => return Err(error),
            }
            if errands.open.is_empty() || Instant::now() >= end {
                break;
            }
        }
        answers.extend(errands.open.into_iter().flat_map(|errand| errand.waiting.into_values()));
        Ok(answers)
    }
}
