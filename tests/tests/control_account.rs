//! Whole experiments within what an account allows.

use anyhow::Result;
use httpfault_simulator::{Policy, Role};
use httpfault_tests::{
    command::output,
    docker::Instance,
    experiment::{Account, Web, binary, classified},
};
use std::process::Command;

#[test]
fn the_references_own_policy_is_enough() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let account = Account::open(&instance, &[&web])?;
    let printed = output(Command::new(binary()?).env_clear().args(["policy", "--reference"]))?;
    let role = Role::new("reference").policy(Policy::parse(&printed)?);
    account.simulator.edit(|world| world.roles.push(role));
    let role = account.simulator.world().role_arn("reference");

    let load = web.load();
    load.await_real(10)?;
    let ended = account.run(4)?.env("ASSUME_ROLE_ARN", &role).finish()?.exits(0)?;
    load.await_real(10)?;

    let (_, faults, _) = classified(load)?;
    let task = ended.task(&web.task)?;
    assert_eq!(
        (&task["outcome"], &task["counters"]["faulted"]),
        (&"faulted".into(), &faults.into()),
        "{ended}"
    );
    assert_eq!((&task["verified_on"], &task["verified_off"]), (&true.into(), &true.into()), "{ended}");
    assert!(
        ended.report()?["warnings"].to_string().contains("ssm:ListCommandInvocations is denied"),
        "{ended}"
    );
    account.assert_clean(&[&web])
}
