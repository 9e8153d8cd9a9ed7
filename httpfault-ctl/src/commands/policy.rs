//! `policy`: the IAM side, without a call to AWS.

use httpfault_common::contract::Exit;

use crate::{aws, console::Console, report};

/// Prints a policy document; notes go to standard error so that the output can be used as a file.
pub(super) fn policy(
    cluster: Option<&str>,
    region: Option<&str>,
    reference: bool,
    console: &Console,
) -> anyhow::Result<Exit> {
    let document = if reference { aws::reference() } else { aws::least(cluster, region) };
    report::write_out(&serde_json::to_string_pretty(&document)?);
    if reference {
        console.say("This is the reference fault's policy. httpfault-ctl also needs ssm:ListCommandInvocations and ssm:ListCommands.");
    }
    console.say("For the identity that runs httpfault-ctl. With ASSUME_ROLE_ARN the role gets it, and the caller sts:AssumeRole on the role.");
    console.say(
        "The role of each container instance needs the AWS managed policy AmazonSSMManagedInstanceCore.",
    );
    Ok(Exit::Done)
}
