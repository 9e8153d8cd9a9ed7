//! The Systems Manager document for AWS FIS: a fault on the tasks of a host, asked by parameters that a person fills in.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::sums;
use crate::{agents::AgentFile, aws::scripts, tunables::Architecture};

/// The name that `document --fis` gives it.
pub(crate) const NAME: &str = "httpfault-fault";

/// FIS ends an action of `aws:ssm:send-command` after twelve hours at the latest. The fault has a deadline of its own.
const LONGEST: &str = "43200";
const NAME_OF_ECS: &str = "^[A-Za-z0-9_-]{0,255}$";
const PORT: &str = "^[0-9]{1,5}$";
const PATHS: &str = "^[A-Za-z0-9/._~%,-]*$";

/// Name, meaning, default and pattern. A pattern allows nothing that ends a word between single quotes.
const PARAMETERS: &[(&str, &str, &str, &str)] = &[
    (
        "action",
        "run: the fault, in the foreground; prove: is it on? remove: end it",
        "run",
        "^(run|prove|remove)$",
    ),
    ("containerName", "(Required to run) Container of the task definition", "", NAME_OF_ECS),
    ("taskFamily", "Family of the task definition: its tasks on this host are faulted", "", NAME_OF_ECS),
    (
        "tasks",
        "Ids of tasks, joined by commas: those of them on this host are faulted",
        "",
        "^[A-Za-z0-9,-]*$",
    ),
    ("durationSeconds", "How long the fault is on; 15 s less than the action of FIS", "285", "^[0-9]{1,5}$"),
    ("statusCode", "Status that is answered, 200 to 599", "503", "^[2-5][0-9]{2}$"),
    ("port", "Port that the container listens on", "80", PORT),
    ("proxyPort", "Loopback port of the responder in the task's network namespace", "20000", PORT),
    (
        "modifyResponseBody",
        "false: the application is called, only its status is replaced",
        "true",
        "^(true|false)$",
    ),
    ("percent", "Share of the requests, decided for each", "100", "^[0-9]{1,3}(\\.[0-9]{1,3})?$"),
    ("paths", "Path prefixes that can be faulted, joined by commas", "", PATHS),
    ("excludePaths", "Path prefixes that are spared, joined by commas", "", PATHS),
    (
        "existingConnections",
        "What becomes of connections that clients hold already",
        "auto",
        "^(auto|take|drain|keep|reset)$",
    ),
    (
        "agentSource",
        "Where a host that lacks the agent gets it: s3://bucket/key, an image, https://...; {arch} is its architecture",
        "",
        "^([A-Za-z0-9:/._@+-]|\\{arch\\})*$",
    ),
    (
        "experimentId",
        "Names the fault; of the command where it is empty",
        "",
        "^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$",
    ),
];

/// The document's content (schema 2.2), with the checksums of these agents in it.
pub(super) fn content(agents: &BTreeMap<Architecture, AgentFile>) -> Value {
    let parameters = PARAMETERS.iter().map(|(name, description, default, pattern)| {
        let parameter = json!({
            "type": "String", "description": description, "default": default, "allowedPattern": pattern,
        });
        ((*name).to_owned(), parameter)
    });
    json!({
        "schemaVersion": "2.2",
        "description": "An HTTP status fault on ECS tasks of this host, for AWS FIS (httpfault)",
        "parameters": parameters.collect::<Map<_, _>>(),
        "mainSteps": [{
            "action": "aws:runShellScript",
            "name": "httpfault",
            "precondition": { "StringEquals": ["platformType", "Linux"] },
            "inputs": {
                "timeoutSeconds": LONGEST,
                "runCommand": scripts::fis(&sums(agents)).lines().collect::<Vec<_>>(),
            },
        }],
    })
}
