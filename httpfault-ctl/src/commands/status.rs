//! `status`: asks the hosts which faults are on.

use httpfault_common::contract::Exit;

use super::remove::hosts;
use crate::{
    aws::{Action, Cloud},
    report::{self, HostStatus, StatusOverview},
    tunables::Access,
    verify,
};

/// Prints every fault on every host; one experiment's only when it is named.
pub(super) async fn status(access: &Access) -> anyhow::Result<Exit> {
    let cloud = Cloud::connect(access).await?;
    let asked = hosts(&cloud, access).await?;
    let script = crate::aws::scripts::status(access.experiment.as_ref());
    let mut rows = Vec::new();
    for answer in cloud.ask(Action::Status, access.experiment.as_ref(), &script, &asked.online).await? {
        let instance = answer.instance.to_string();
        rows.push(match verify::status(&answer.stdout).filter(|_| answer.succeeded()) {
            Some(mut report) => {
                report
                    .faults
                    .retain(|fault| access.experiment.as_ref().is_none_or(|id| fault.experiment_id == *id));
                HostStatus { instance, faults: report.faults, error: None }
            }
            None => HostStatus { instance, faults: Vec::new(), error: Some(answer.failure()) },
        });
    }
    let silent = asked.silent.into_iter().chain(asked.gone);
    rows.extend(silent.map(|(id, why)| HostStatus {
        instance: id.to_string(),
        faults: Vec::new(),
        error: Some(why),
    }));
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    let exit = match failed {
        0 => Exit::Done,
        _ if failed == rows.len() => Exit::Failed,
        _ => Exit::Partly,
    };
    report::emit(&StatusOverview { schema: 1, exit, hosts: rows }, access.output);
    Ok(exit)
}
