//! `policy`: the IAM side, without a call to AWS.

use httpfault_common::contract::Exit;

use crate::{aws, console::Console, report, tunables::PolicyScope};

/// Prints a policy document; notes go to standard error so that the output can be used as a file.
pub(super) fn policy(scope: &PolicyScope, reference: bool, console: &Console) -> anyhow::Result<Exit> {
    if reference {
        report::write_out(aws::REFERENCE);
        console.say(
            "This is the reference fault's policy. A whole run works with it; `httpfault-ctl plan` says what is slower \
             or less certain than with the policy that `httpfault-ctl policy` prints.",
        );
    } else {
        report::write_out(&serde_json::to_string_pretty(&aws::least(scope))?);
    }
    console.say("For the identity that runs httpfault-ctl. With ASSUME_ROLE_ARN the role gets it, and the caller sts:AssumeRole on the role.");
    console.say(
        "The role of each container instance needs the AWS managed policy AmazonSSMManagedInstanceCore.",
    );
    Ok(Exit::Done)
}
