//! Limits of the AWS APIs.

/// Instances of one SendCommand (API reference, SendCommand).
pub(crate) const INSTANCES_PER_COMMAND: usize = 50;
/// Bytes of the compressed agent in one command: with base64 and the script around it below the 64 KB of an SSM
/// document.
const PIECE_BYTES: usize = 44_000;
/// The same with a document of one's own, whose text counts too.
const OWN_PIECE_BYTES: usize = 30_000;
/// Longest spec that leaves room for the rest of a script in one SSM document of 64 KB, bytes.
pub(crate) const SPEC_BYTES: usize = 48 * 1024;
/// Room for specs in one script: an SSM document with its parameters is at most 64 KB, and a document of one's own is
/// longer than AWS-RunShellScript.
pub(super) const CASES_BYTES: usize = 44_000;
/// An SSM agent takes a message every 2 to 2.5 s; nothing that is sent in several comes faster.
pub(crate) const SECS_PER_MESSAGE: f64 = 2.25;
/// How long SSM may take to bring a command to a host, seconds (30 is the least).
pub(super) const DELIVERY_SECS: i32 = 60;
/// AWS-RunShellScript makes anything below 5 seconds an hour.
pub(super) const LEAST_EXECUTION_SECS: u64 = 5;
/// Longest comment, characters.
pub(super) const COMMENT_CHARS: usize = 100;
/// Most commands of one page of ListCommands.
pub(super) const COMMANDS_PAGE: i32 = 50;
/// Most tasks or container instances of one call.
pub(super) const ECS_BATCH: usize = 100;
/// Most names of one DescribeAlarms.
pub(super) const ALARMS_BATCH: usize = 100;
/// Most services of one call.
pub(super) const SERVICES_BATCH: usize = 10;
/// Most instances of one DescribeInstanceInformation page.
pub(super) const SSM_BATCH: usize = 50;

/// How much of the agent goes in one command.
pub(crate) fn piece_bytes(own_document: bool) -> usize {
    if own_document { OWN_PIECE_BYTES } else { PIECE_BYTES }
}
