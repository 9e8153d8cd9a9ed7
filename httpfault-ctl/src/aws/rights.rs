//! Rights that a caller may lack because something else stands in. What is denied is remembered, so that it is asked
//! for once and not at every look.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use aws_sdk_ssm::types::{CommandFilter, CommandFilterKey};
use jiff::Timestamp;

use super::{config::Cloud, error::ApiError};

/// A right that is good to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Optional {
    ListCommandInvocations,
    ListCommands,
    DescribeTaskDefinition,
}

/// What was denied so far.
#[derive(Debug, Default)]
pub(super) struct Rights(Mutex<BTreeSet<Optional>>);

impl Cloud {
    /// Finds out before a run what its caller may not do: two calls that name nothing and show nothing.
    pub(super) async fn learn_rights(&self, calls: &mut u32) -> Result<(), ApiError> {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let after = CommandFilter::builder().key(CommandFilterKey::InvokedAfter).value(now).build().ok();
        let filters = after.map(|filter| vec![filter]);
        let request = self.ssm.list_command_invocations().max_results(1).set_filters(filters.clone()).send();
        let seen = self.call(Optional::ListCommandInvocations.action(), request).await;
        self.unless_denied(Optional::ListCommandInvocations, seen)?;
        let request = self.ssm.list_commands().max_results(1).set_filters(filters).send();
        let seen = self.call(Optional::ListCommands.action(), request).await;
        self.unless_denied(Optional::ListCommands, seen)?;
        *calls += 2;
        Ok(())
    }

    /// `None` where the right is missing, which is remembered.
    pub(super) fn unless_denied<T>(
        &self,
        right: Optional,
        result: Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        match result {
            Err(ApiError::Denied { action, .. }) if action == right.action() => {
                self.rights.0.lock().unwrap_or_else(PoisonError::into_inner).insert(right);
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    pub(super) fn lacks(&self, right: Optional) -> bool {
        self.rights.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&right)
    }

    /// Everything that was denied so far.
    pub(super) fn lacking(&self) -> BTreeSet<Optional> {
        self.rights.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl Optional ===

impl Optional {
    /// Its name in IAM.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::ListCommandInvocations => "ssm:ListCommandInvocations",
            Self::ListCommands => "ssm:ListCommands",
            Self::DescribeTaskDefinition => "ecs:DescribeTaskDefinition",
        }
    }

    /// What the run is worse for, for the plan.
    pub(crate) fn without(self) -> String {
        let instead = match self {
            Self::ListCommandInvocations => {
                "each look asks host by host with ssm:GetCommandInvocation, up to 50 calls in place of one: looks \
                 take longer, and many hosts can be throttled"
            }
            Self::ListCommands => {
                "a command whose answer is lost can't be looked up and is sent again (the agent starts an experiment \
                 only once), and `remove --experiment-id` needs CLUSTER_NAME"
            }
            Self::DescribeTaskDefinition => {
                "the agent finds out on the host which container of a task listens on the port, so a wrong choice \
                 shows only there"
            }
        };
        format!("{} is denied: {instead}", self.action())
    }
}
