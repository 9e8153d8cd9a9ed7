//! Commands of the past, by their comments.

use std::collections::BTreeSet;

use aws_sdk_ssm::types::{CommandFilter, CommandFilterKey};
use httpfault_common::contract::ExperimentId;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    config::Cloud,
    dispatch::{Action, Sent, comment_prefix},
    error::ApiError,
    limit::COMMANDS_PAGE,
    rights::Optional,
    scripts::LATEST_START_SECS,
};
use crate::fleet::InstanceId;

/// Clocks may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(10);
/// No fault is on for longer: its duration, and what it may take to start and to end.
const LONGEST: SignedDuration = SignedDuration::from_hours(25);
/// Most pages of one look into the past: an account may send thousands of commands an hour.
const PAGES: usize = 100;

/// How far a look into SSM's memory went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Looked {
    pub(crate) commands: usize,
    pub(crate) back_to: Timestamp,
    /// Further back no fault can still be on.
    pub(crate) far_enough: bool,
}

/// How far back an injection's command matters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Past {
    /// Its fault may still be on.
    MayBeOn,
    /// It does nothing when it begins later than this.
    MayBegin,
}

struct Command {
    command: String,
    comment: String,
    instances: Vec<String>,
    requested: Option<Timestamp>,
}

impl Cloud {
    /// Ids of the commands with exactly this comment, newest last. None where the caller may not look: what is done
    /// for lack of an answer can be done twice.
    pub(crate) async fn commands_with(
        &self,
        comment: &str,
        since: Timestamp,
    ) -> Result<Vec<String>, ApiError> {
        if self.lacks(Optional::ListCommands) {
            return Ok(Vec::new());
        }
        let past = self.past(since - SKEW).await;
        let mut past = self.unless_denied(Optional::ListCommands, past)?.unwrap_or_default();
        past.retain(|command| command.comment == comment);
        Ok(past.into_iter().rev().map(|command| command.command).collect())
    }

    /// The hosts to which an experiment's commands were sent, as far back as its fault may still be on.
    pub(crate) async fn hosts_of_experiment(
        &self,
        experiment: &ExperimentId,
    ) -> Result<(BTreeSet<InstanceId>, Looked), ApiError> {
        let prefix = comment_prefix(Some(experiment));
        let start = Timestamp::now() - LONGEST;
        let mut past = self.past(start).await?;
        let far_enough = past.len() < PAGES * COMMANDS_PAGE as usize;
        let oldest = past.iter().filter_map(|command| command.requested).min();
        let back_to = if far_enough { start } else { oldest.unwrap_or(start) };
        let looked = Looked { commands: past.len(), back_to, far_enough };
        past.retain(|command| command.comment.starts_with(&prefix));
        let hosts = past.iter().flat_map(|command| &command.instances).filter_map(|id| InstanceId::new(id));
        Ok((hosts.collect(), looked))
    }

    /// Status and details of a command as a whole; `None` while SSM does not show it, or to callers who may not look.
    pub(super) async fn command_level(&self, sent: &Sent) -> Result<Option<(String, String)>, ApiError> {
        let Some(command) = sent.command.as_ref().filter(|_| !self.lacks(Optional::ListCommands)) else {
            return Ok(None);
        };
        let request = self.ssm.list_commands().command_id(command);
        let page = self.call("ssm:ListCommands", request.send()).await;
        let Some(page) = self.unless_denied(Optional::ListCommands, page)? else { return Ok(None) };
        let found = page.commands.unwrap_or_default().into_iter().next();
        Ok(found.map(|found| {
            let status = found.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
            (status, found.status_details.unwrap_or_default())
        }))
    }

    /// The commands that hold an experiment's fault, or any fault that may still be on; none where the caller may not
    /// look.
    pub(crate) async fn injections(
        &self,
        experiment: Option<&ExperimentId>,
        past: Past,
    ) -> Result<Vec<Sent>, ApiError> {
        let mark = format!(" {} ", Action::Inject);
        let prefix = experiment.map_or_else(|| "httpfault ".to_owned(), |id| comment_prefix(Some(id)));
        let longest = match past {
            Past::MayBeOn => LONGEST,
            Past::MayBegin => SKEW + SignedDuration::from_secs(LATEST_START_SECS),
        };
        let since = Timestamp::now() - longest;
        let past = self.past(since).await;
        let mut past = self.unless_denied(Optional::ListCommands, past)?.unwrap_or_default();
        past.retain(|command| command.comment.starts_with(&prefix) && command.comment.contains(&mark));
        let sent = |command: Command| Sent {
            comment: command.comment,
            instances: command.instances.iter().filter_map(|id| InstanceId::new(id)).collect(),
            command: Some(command.command),
            since,
            answered: since,
            is_twin: false,
        };
        Ok(past.into_iter().map(sent).collect())
    }

    async fn past(&self, after: Timestamp) -> Result<Vec<Command>, ApiError> {
        let filter = CommandFilter::builder()
            .key(CommandFilterKey::InvokedAfter)
            .value(after.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            .build()
            .ok();
        let mut found = Vec::new();
        let mut token = None;
        for _page in 0..PAGES {
            let request = self
                .ssm
                .list_commands()
                .set_filters(filter.clone().map(|filter| vec![filter]))
                .max_results(COMMANDS_PAGE)
                .set_next_token(token);
            let page = self.call("ssm:ListCommands", request.send()).await?;
            for command in page.commands.unwrap_or_default() {
                let (Some(id), Some(comment)) = (command.command_id, command.comment) else { continue };
                let instances = command.instance_ids.unwrap_or_default();
                let requested =
                    command.requested_date_time.and_then(|at| Timestamp::from_second(at.secs()).ok());
                found.push(Command { command: id, comment, instances, requested });
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok(found)
    }
}
