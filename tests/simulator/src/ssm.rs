//! Systems Manager: Run Command and the inventory of managed instances.

mod command;
mod document;
mod documents;
mod execution;
mod send;

mod cancel;
mod deliver;
mod finish;

mod information;
mod lookup;
mod shapes;

use serde_json::Value;

pub use command::{CommandView, InvocationView, Status};
pub use documents::Document;
pub use execution::{Execution, Finished, Messages, Stub, StubCall, Timing};

pub(crate) use command::{Command, Invocation};
pub(crate) use finish::{Ended, How};

use crate::http::{ApiError, Context};

/// Carries out one action.
pub(crate) fn dispatch(context: &mut Context<'_>, action: &str, request: Value) -> Result<Value, ApiError> {
    match action {
        "DescribeInstanceInformation" => information::describe(context, request),
        "SendCommand" => send::send(context, request),
        "GetCommandInvocation" => lookup::get_invocation(context, request),
        "ListCommandInvocations" => lookup::list_invocations(context, request),
        "ListCommands" => lookup::list_commands(context, request),
        "CancelCommand" => cancel::cancel(context, request),
        "CreateDocument" | "GetDocument" | "UpdateDocument" | "UpdateDocumentDefaultVersion" => {
            documents::dispatch(context, action, request)
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the simulator does not model ssm:{action}"),
        )),
    }
}
