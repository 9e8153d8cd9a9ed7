//! Commands of the past, by their comments.

use std::collections::BTreeSet;

use aws_sdk_ssm::types::{CommandFilter, CommandFilterKey};
use httpfault_common::contract::ExperimentId;
use jiff::{SignedDuration, Timestamp};

use super::{config::Cloud, dispatch::comment_prefix, error::ApiError, rights::Optional};
use crate::fleet::InstanceId;

/// Clocks may differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(10);
/// SSM keeps commands for 30 days.
const HISTORY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Most commands of one page (AWS API limit).
const PAGE: i32 = 50;

struct Past {
    command: String,
    comment: String,
    instances: Vec<String>,
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

    /// The hosts to which an experiment's commands were sent.
    pub(crate) async fn hosts_of_experiment(
        &self,
        experiment: &ExperimentId,
    ) -> Result<BTreeSet<InstanceId>, ApiError> {
        let prefix = comment_prefix(Some(experiment));
        let mut past = self.past(Timestamp::now() - HISTORY).await?;
        past.retain(|command| command.comment.starts_with(&prefix));
        Ok(past.iter().flat_map(|command| &command.instances).filter_map(|id| InstanceId::new(id)).collect())
    }

    async fn past(&self, after: Timestamp) -> Result<Vec<Past>, ApiError> {
        let filter = CommandFilter::builder()
            .key(CommandFilterKey::InvokedAfter)
            .value(after.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            .build()
            .ok();
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let request = self
                .ssm
                .list_commands()
                .set_filters(filter.clone().map(|filter| vec![filter]))
                .max_results(PAGE)
                .set_next_token(token);
            let page = self.call("ssm:ListCommands", request.send()).await?;
            for command in page.commands.unwrap_or_default() {
                let (Some(id), Some(comment)) = (command.command_id, command.comment) else { continue };
                let instances = command.instance_ids.unwrap_or_default();
                found.push(Past { command: id, comment, instances });
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}
