//! How hosts that lack the agent come by it, and how long that takes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Window;
use crate::{
    agents::AgentFile,
    aws::limit::{INSTANCES_PER_COMMAND, SECS_PER_MESSAGE, piece_bytes},
    tunables::{Architecture, Delivery, RunSettings},
};

/// What looking now and then adds to that, at most.
const OVERHEAD: f64 = 1.2;

/// For the hosts that lack the agent; the others get nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DeliveryPlan {
    pub(crate) how: String,
    /// Messages that a host takes for it.
    pub(crate) commands: usize,
    /// Expected for an empty host.
    pub(crate) seconds: u64,
}

/// The plan, and a warning where there is a better way.
pub(super) fn plan(
    settings: &RunSettings,
    agents: &BTreeMap<Architecture, AgentFile>,
    windows: &[Window],
) -> (DeliveryPlan, Option<String>) {
    let piece = piece_bytes(settings.access.document.is_some());
    let settings = &settings.agents;
    if !settings.install || settings.delivery == Delivery::Preinstalled {
        let how = "not brought: hosts must have it".to_owned();
        return (DeliveryPlan { how, commands: 0, seconds: 0 }, None);
    }
    let one = |from: String| {
        let how = format!("in one command, {from}");
        (DeliveryPlan { how, commands: 1, seconds: 5 }, None)
    };
    match &settings.delivery {
        Delivery::Url(url) => return one(format!("from {url}")),
        Delivery::S3(object) => return one(format!("from {object} by the instance role, else presigned")),
        Delivery::Image(image) => return one(format!("out of the image {image}")),
        Delivery::Pieces | Delivery::Preinstalled => {}
    }
    let sizes = agents.values().filter_map(|agent| agent.compressed_bytes);
    let pieces = sizes.map(|bytes| bytes.div_ceil(piece)).max().unwrap_or(0);
    let commands = pieces + 1;
    let floor = commands as f64 * SECS_PER_MESSAGE;
    let seconds = (floor * OVERHEAD).ceil() as u64;
    let how = format!(
        "in pieces over Run Command, {commands} commands; at least {floor:.0} s, because an SSM agent takes a message every 2 to 2.5 s, and at most {OVERHEAD} times that"
    );
    let hosts = windows.iter().map(|window| window.runs.len()).max().unwrap_or(0);
    let warning = (hosts > INSTANCES_PER_COMMAND).then(|| {
        let calls = commands * hosts.div_ceil(INSTANCES_PER_COMMAND);
        format!(
            "{hosts} host(s) may lack the agent: in pieces that is about {seconds} s and {calls} SendCommands, each in \
             CloudTrail; AGENT_S3_URI or AGENT_IMAGE brings it in one command, and an AMI that has it in none"
        )
    });
    (DeliveryPlan { how, commands, seconds }, warning)
}
