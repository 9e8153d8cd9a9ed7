//! The reports of `status` and `remove`.

use httpfault_common::contract::{Exit, FaultStatus, LeftBehind, RemovedFault};
use serde::Serialize;

use super::{Report, table};
use crate::{aws::Looked, fleet::InstanceId};

/// What is on, host by host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatusOverview {
    /// Version of this schema.
    pub(crate) schema: u32,
    pub(crate) exit: Exit,
    pub(crate) hosts: Vec<HostStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostStatus {
    pub(crate) instance: String,
    pub(crate) faults: Vec<FaultStatus>,
    /// Why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// What `remove` did, host by host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RemovalOverview {
    /// Version of this schema.
    pub(crate) schema: u32,
    pub(crate) exit: Exit,
    pub(crate) hosts: Vec<HostRemoval>,
    /// How far back commands were looked at to find the hosts, where only the experiment was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) looked: Option<Looked>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct HostRemoval {
    pub(crate) instance: String,
    pub(crate) removed: Vec<RemovedFault>,
    pub(crate) left_behind: Vec<LeftBehind>,
    /// Why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Why Systems Manager no longer knows it: it is terminated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<String>,
}

impl HostRemoval {
    /// A host about which nothing is known.
    pub(crate) fn failed(instance: &InstanceId, error: String) -> Self {
        Self { instance: instance.to_string(), error: Some(error), ..Self::default() }
    }

    pub(crate) fn gone(instance: &InstanceId, why: String) -> Self {
        Self { instance: instance.to_string(), gone: Some(why), ..Self::default() }
    }
}

impl Report for StatusOverview {
    fn text(&self) -> String {
        let on: usize = self.hosts.iter().map(|host| host.faults.len()).sum();
        let mut text = format!("{on} fault(s) on {} host(s)\n", self.hosts.len());
        if on > 0 {
            let mut rows = table(&["instance", "experiment", "phase", "status", "port", "until", "faulted"]);
            for host in &self.hosts {
                for fault in &host.faults {
                    let faulted: u64 = fault.targets.iter().map(|target| target.counters.faulted).sum();
                    rows.add_row([
                        host.instance.clone(),
                        fault.experiment_id.to_string(),
                        format!("{:?}", fault.phase).to_lowercase(),
                        fault.status_code.to_string(),
                        fault.port.to_string(),
                        fault
                            .deadline
                            .map_or_else(|| "-".to_owned(), |at| at.strftime("%F %T UTC").to_string()),
                        faulted.to_string(),
                    ]);
                }
            }
            text.push_str(&format!("{rows}\n"));
        }
        for host in &self.hosts {
            if let Some(error) = &host.error {
                text.push_str(&format!("warning: instance {} could not be asked: {error}\n", host.instance));
            }
        }
        text
    }
}

impl Report for RemovalOverview {
    fn text(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            for fault in &host.removed {
                let how = format!("{:?}", fault.how).to_lowercase();
                text.push_str(&format!("{}: experiment {} {how}\n", host.instance, fault.experiment_id));
            }
            for left in &host.left_behind {
                text.push_str(&format!(
                    "{}: LEFT BEHIND: {} ({}); remove it with: {}\n",
                    host.instance, left.what, left.error, left.remove_with
                ));
            }
            if let Some(error) = &host.error {
                text.push_str(&format!("warning: instance {} could not be asked: {error}\n", host.instance));
            }
            if let Some(why) = &host.gone {
                text.push_str(&format!("warning: instance {} went away: {why}\n", host.instance));
            }
        }
        if text.is_empty() {
            text.push_str("nothing was there to remove\n");
        }
        if let Some(looked) = &self.looked {
            text.push_str(&format!(
                "the hosts were found among {} command(s) of Systems Manager, back to {}\n",
                looked.commands,
                looked.back_to.strftime("%F %T UTC")
            ));
        }
        text
    }
}
