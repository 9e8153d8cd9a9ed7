//! Waiting for commands: one page per command and look, every final state, outputs once at the end.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{config::Cloud, dispatch::Sent, error::ApiError, rights::Optional};
use crate::fleet::InstanceId;

/// SSM cuts the output in ListCommandInvocations at 2,500 characters; from here on the whole is fetched.
const PERHAPS_CUT: usize = 2_300;
/// Details of a command that no host was told (API reference, Command). With all others an invocation shows some time.
const TOLD_NOBODY: [&str; 4] = ["Rate Exceeded", "Undeliverable", "Terminated", "Delivery Timed Out"];
/// In the place of details.
const UNSEEN: &str = "not shown by SSM yet";
/// Between output and error text in that field.
const ERROR_MARK: &str = "----------ERROR-------";

/// Where a command is on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not there yet, or not shown yet.
    Waiting,
    /// Delivered; it may still queue behind others on the host.
    InProgress,
    Succeeded,
    /// It ended with this code, or SSM could not run it.
    Failed {
        code: Option<i32>,
    },
    Cancelled,
    /// It ran too long, or was never delivered.
    TimedOut,
    /// SSM took no command for this host: it is terminated, or not managed any more.
    Refused,
}

/// What one host answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) instance: InstanceId,
    pub(crate) state: State,
    /// SSM's own words: `Undeliverable`, `Delivery Timed Out`.
    pub(crate) details: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cloud {
    /// Waits until a command is over on every host, at most `limit`, and fetches its outputs.
    pub(crate) async fn finish(&self, sent: &Sent, limit: Duration) -> Result<Vec<Answer>, ApiError> {
        let end = Instant::now() + limit;
        let mut looks = 0;
        loop {
            match looks {
                0 => self.until_first_look(sent).await,
                _ => self.pause(looks).await,
            }
            looks += 1;
            let states = match self.look(sent).await {
                Ok(states) => states,
                // A look that failed says nothing about the host.
                Err(error) if error.is_passing() && Instant::now() < end => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if states.values().all(State::is_final) || Instant::now() >= end {
                return self.outputs(sent).await;
            }
        }
    }

    /// One look. Every host is in the result: SSM may take a moment to show it.
    pub(crate) async fn look(&self, sent: &Sent) -> Result<BTreeMap<InstanceId, State>, ApiError> {
        let seen = self.invocations(sent, false).await?;
        Ok(seen.into_iter().map(|answer| (answer.instance, answer.state)).collect())
    }

    /// What every host has printed; empty for those that still run.
    pub(crate) async fn outputs(&self, sent: &Sent) -> Result<Vec<Answer>, ApiError> {
        let mut answers = self.invocations(sent, true).await?;
        for answer in &mut answers {
            let perhaps_cut = answer.stdout.len() + answer.stderr.len() >= PERHAPS_CUT;
            let whole = self.lacks(Optional::ListCommandInvocations);
            if answer.state.is_final() && perhaps_cut && !whole {
                self.fetch_whole(sent, answer).await?;
            }
        }
        Ok(answers)
    }

    async fn invocations(&self, sent: &Sent, details: bool) -> Result<Vec<Answer>, ApiError> {
        let mut answers: BTreeMap<InstanceId, Answer> =
            sent.instances.iter().map(|instance| (instance.clone(), Answer::unseen(instance))).collect();
        let Some(command) = &sent.command else { return Ok(answers.into_values().collect()) };
        if self.lacks(Optional::ListCommandInvocations) {
            self.look_one_by_one(command, &mut answers).await?;
            return Ok(answers.into_values().collect());
        }
        let mut token = None;
        loop {
            let request = self
                .ssm
                .list_command_invocations()
                .command_id(command)
                .details(details)
                .max_results(50)
                .set_next_token(token);
            let page = self.call("ssm:ListCommandInvocations", request.send()).await;
            let Some(page) = self.unless_denied(Optional::ListCommandInvocations, page)? else {
                self.look_one_by_one(command, &mut answers).await?;
                return Ok(answers.into_values().collect());
            };
            for seen in page.command_invocations.unwrap_or_default() {
                let Some(answer) = seen.instance_id.as_deref().and_then(InstanceId::new) else { continue };
                let Some(answer) = answers.get_mut(&answer) else { continue };
                let plugin = seen.command_plugins.unwrap_or_default().into_iter().next();
                let code = plugin.as_ref().map(|plugin| plugin.response_code);
                answer.state = State::of(seen.status.as_ref().map_or("", |status| status.as_str()), code);
                answer.details = seen.status_details.unwrap_or_default();
                let output = plugin.and_then(|plugin| plugin.output).unwrap_or_default();
                let (stdout, stderr) = output.split_once(ERROR_MARK).unwrap_or((&output, ""));
                answer.stdout = stdout.trim_end().to_owned();
                answer.stderr = stderr.trim().to_owned();
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        self.ended_as_a_whole(sent, &mut answers).await?;
        Ok(answers.into_values().collect())
    }

    /// SSM may have given a command up before any host was told: the command alone shows that.
    async fn ended_as_a_whole(
        &self,
        sent: &Sent,
        answers: &mut BTreeMap<InstanceId, Answer>,
    ) -> Result<(), ApiError> {
        let overdue = Timestamp::now().duration_since(sent.answered).unsigned_abs() >= self.poll();
        if !overdue || answers.values().any(|answer| !answer.is_unseen()) {
            return Ok(());
        }
        let Some((status, details)) = self.command_level(sent).await? else { return Ok(()) };
        let state = State::of(&status, None);
        if state.is_final() && TOLD_NOBODY.contains(&details.as_str()) {
            for answer in answers.values_mut() {
                answer.state = state.clone();
                answer.details.clone_from(&details);
            }
        }
        Ok(())
    }

    /// GetCommandInvocation shows up to 24,000 characters.
    async fn fetch_whole(&self, sent: &Sent, answer: &mut Answer) -> Result<(), ApiError> {
        let Some(command) = &sent.command else { return Ok(()) };
        if let Some(whole) = self.invocation(command, &answer.instance).await? {
            answer.stdout = whole.stdout;
            answer.stderr = whole.stderr;
        }
        Ok(())
    }

    /// Counts from when the command was sent: of several in a row the first is waited for, the others are over by then.
    async fn until_first_look(&self, sent: &Sent) {
        let gone = Timestamp::now().duration_since(sent.answered).unsigned_abs();
        sleep((self.poll() * 2 / 5).saturating_sub(gone)).await;
    }

    /// The time until the next look: short before the first one, then the poll interval and up to a third more, so
    /// that many controllers don't look at the same moment.
    pub(crate) async fn pause(&self, looks: u32) {
        let poll = self.poll();
        let wait = if looks == 0 { poll * 2 / 5 } else { poll + poll.mul_f64(fastrand::f64() / 3.0) };
        sleep(wait).await;
    }
}

// === impl State ===

impl State {
    /// `status` of an invocation (API reference, CommandInvocation). A word that is new to this program counts as
    /// not ended.
    pub(super) fn of(status: &str, code: Option<i32>) -> Self {
        match status {
            "Success" => Self::Succeeded,
            "Failed" => Self::Failed { code: code.filter(|code| *code >= 0) },
            "Cancelled" => Self::Cancelled,
            "TimedOut" => Self::TimedOut,
            "Pending" | "Delayed" | "" => Self::Waiting,
            _ => Self::InProgress,
        }
    }

    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Waiting | Self::InProgress => false,
            Self::Succeeded | Self::Failed { .. } | Self::Cancelled | Self::TimedOut | Self::Refused => true,
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn unseen(host: &InstanceId) -> Self {
        Self::new(host.clone(), State::Waiting, UNSEEN)
    }

    /// For a host that SSM refused to tell.
    pub(super) fn refused(host: InstanceId, why: &str) -> Self {
        Self::new(host, State::Refused, why)
    }

    fn is_unseen(&self) -> bool {
        self.details == UNSEEN
    }

    fn new(instance: InstanceId, state: State, details: &str) -> Self {
        Self { instance, state, details: details.to_owned(), stdout: String::new(), stderr: String::new() }
    }

    /// The first line that is not the agent's JSON. SSM's own words about a script that it lost come as its output.
    fn said(&self) -> Option<&str> {
        let lines = self.stderr.lines().chain(self.stdout.lines()).map(str::trim);
        { lines }.find(|line| !line.is_empty() && !line.starts_with('{') && !line.starts_with("httpfault: "))
    }

    /// Whether SSM takes no command for this host any more.
    pub(crate) fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.state == State::Succeeded
    }

    /// What went wrong, in a sentence.
    pub(crate) fn failure(&self) -> String {
        let said = self.said().map(|said| format!(": {said}")).unwrap_or_default();
        match &self.state {
            State::Waiting => "SSM has not delivered the command".to_owned(),
            State::InProgress => {
                "the command has not ended, or waits behind others: an SSM agent runs five at once".to_owned()
            }
            State::Succeeded => format!("its answer can't be read{said}"),
            State::Failed { code: Some(code) } => format!("the command ended with code {code}{said}"),
            State::Failed { code: None } if self.details == "Rate Exceeded" => {
                "SSM gave the command up (Rate Exceeded): the account has too many commands pending; wait, or raise the \
                 limit"
                    .to_owned()
            }
            State::Failed { code: None } => format!("SSM could not run the command ({}){said}", self.details),
            State::Cancelled => "the command was cancelled".to_owned(),
            State::TimedOut => format!("the command timed out ({}){said}", self.details),
            State::Refused => self.details.clone(),
        }
    }
}
