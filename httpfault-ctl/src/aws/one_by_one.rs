//! Looks at a command host by host, for callers without ssm:ListCommandInvocations. A host that is done is not asked
//! again: a look at 50 hosts is 50 calls.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{
    config::Cloud,
    error::ApiError,
    wait::{Answer, State},
};
use crate::fleet::InstanceId;

/// Final answers by command id and host.
#[derive(Debug, Default)]
pub(super) struct Done(Mutex<BTreeMap<(String, InstanceId), Answer>>);

impl Cloud {
    /// Fills in what is known of a command on each host.
    pub(super) async fn look_one_by_one(
        &self,
        command: &str,
        answers: &mut BTreeMap<InstanceId, Answer>,
    ) -> Result<(), ApiError> {
        for (instance, answer) in answers.iter_mut() {
            let key = (command.to_owned(), instance.clone());
            if let Some(done) = self.done.get(&key) {
                *answer = done;
                continue;
            }
            let Some(seen) = self.invocation(command, instance).await? else { continue };
            *answer = seen;
            if answer.state.is_final() {
                self.done.keep(key, answer.clone());
            }
        }
        Ok(())
    }

    /// One host's state and output, up to 24,000 characters; `None` while SSM does not show it.
    pub(super) async fn invocation(
        &self,
        command: &str,
        instance: &InstanceId,
    ) -> Result<Option<Answer>, ApiError> {
        let request = self.ssm.get_command_invocation().command_id(command).instance_id(instance.as_str());
        let seen = match self.call("ssm:GetCommandInvocation", request.send()).await {
            // Right after SendCommand this is the usual answer.
            Err(ApiError::Service { code, .. }) if code == "InvocationDoesNotExist" => return Ok(None),
            seen => seen?,
        };
        let status = seen.status.as_ref().map_or("", |status| status.as_str());
        Ok(Some(Answer {
            instance: instance.clone(),
            state: State::of(status, Some(seen.response_code)),
            details: seen.status_details.unwrap_or_default(),
            stdout: seen.standard_output_content.unwrap_or_default().trim_end().to_owned(),
            stderr: seen.standard_error_content.unwrap_or_default().trim().to_owned(),
        }))
    }
}

// === impl Done ===

impl Done {
    fn get(&self, key: &(String, InstanceId)) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: (String, InstanceId), answer: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer);
    }
}
