//! How hosts come by the real agent: over SSM in pieces, by download, or because it is there.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use httpfault_simulator::Timing;
use httpfault_tests::{
    command::output,
    docker::Instance,
    experiment::{Account, Download, Ended, Web, classified, host, install},
};

/// A short experiment with traffic, whose clients lose nothing.
fn faulted(ctl: httpfault_tests::experiment::Ctl, webs: &[&Web<'_>]) -> Result<Ended> {
    let loads: Vec<_> = webs.iter().map(|web| web.load()).collect();
    let ended = ctl.finish()?.exits(0)?;
    for (web, load) in webs.iter().zip(loads) {
        let (tally, faults, _) = classified(load)?;
        assert!(faults > 0, "{}: {}", web.task, tally.summary());
        assert_eq!(ended.task(&web.task)?["counters"]["faulted"], faults, "{ended}");
    }
    Ok(ended)
}

fn is_whole(account: &Account, host: &str) -> Result<bool> {
    Ok(fs::read(account.installed(host))? == fs::read(&account.agent().path)?)
}

#[test]
fn over_ssm_to_an_empty_host_then_not_again_then_in_place_of_a_damaged_one() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let webs = [&web];
    let account = Account::empty(&instance, &webs, Timing::default())?;

    faulted(account.run_and_deliver(2)?, &webs)?;
    assert!(is_whole(&account, &host(0))?);
    let pieces = account.commands("piece").len();
    assert!(pieces > 10, "{pieces} pieces");
    let incoming = account.on_host(&host(0), "/var/lib/httpfault/incoming");
    assert_eq!(fs::read_dir(incoming)?.count(), 0, "pieces stay on the host");

    faulted(account.run_and_deliver(2)?, &webs)?;
    assert_eq!(account.commands("piece").len(), pieces, "it was sent again");

    let mut damaged = fs::read(account.installed(&host(0)))?;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(account.installed(&host(0)), damaged)?;
    account.run(2)?.finish()?.exits(1)?.says("is damaged")?;
    faulted(account.run_and_deliver(2)?, &webs)?;
    assert!(is_whole(&account, &host(0))?);
    account.assert_clean(&webs)
}

#[test]
fn over_ssm_to_an_outdated_host_and_not_to_its_current_neighbour() -> Result<()> {
    let instance = Instance::take()?;
    let (outdated, current) = (Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?);
    let webs = [&outdated, &current];
    let account = Account::empty(&instance, &webs, Timing::default())?;
    account.install(&host(1))?;
    // An executable that works and is another one.
    let files = tempfile::tempdir()?;
    let older = files.path().join("httpfault-agent");
    fs::write(&older, [fs::read(&account.agent().path)?, b"older".to_vec()].concat())?;
    let sum = output(Command::new("sha256sum").arg(&older))?;
    let sum = sum.split_whitespace().next().context("sha256sum said nothing")?;
    let place = account.on_host(&host(0), &format!("/var/lib/httpfault/agents/{sum}/httpfault-agent"));
    install(&older, &place)?;

    faulted(account.run_and_deliver(2)?, &webs)?;

    assert!(is_whole(&account, &host(0))?);
    assert!(place.exists(), "a version that was there today is kept");
    let pieces = account.commands("piece");
    let hosts = pieces.iter().flat_map(|command| &command.invocations).map(|one| one.instance_id.as_str());
    assert!(
        pieces.len() > 10 && hosts.into_iter().all(|id| id == host(0)),
        "the current host was sent pieces"
    );
    account.assert_clean(&webs)
}

#[test]
fn by_download() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::empty(&instance, &webs, Timing::default())?;
    let server = Download::serve(&instance.namespace(), &account.agent().path)?;
    let run = account.run(2)?.env("AGENT_DELIVERY", "url").env("AGENT_URL", server.url());
    faulted(run, &webs)?;
    for host in account.hosts() {
        assert!(is_whole(&account, &host)?, "{host}");
    }
    assert_eq!(account.commands("piece").len(), 0);
    // Where it can't be downloaded any more, it is there.
    drop(server);
    let run = account.run(2)?.env("AGENT_DELIVERY", "url").env("AGENT_URL", "http://127.0.0.1:1/gone");
    faulted(run, &webs)?;
    account.assert_clean(&webs)
}

#[test]
fn out_of_the_image_without_leave_to_install() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let webs = [&web];
    let account = Account::empty(&instance, &webs, Timing::default())?;
    let bin = "/usr/local/bin";
    account.simulator.edit(|world| {
        let managed = world.managed_mut(&host(0)).expect("the host is there");
        managed.host.private_dirs.push(bin.into());
    });
    install(&account.agent().path, &account.on_host(&host(0), &format!("{bin}/httpfault-agent")))?;
    let run = account.run(2)?.env("AGENT_DELIVERY", "ssm").env("INSTALL_DEPENDENCIES", "false");
    faulted(run, &webs)?;
    assert!(!account.installed(&host(0)).exists());
    account.assert_clean(&webs)
}

#[test]
fn a_host_without_it_fails_alone() -> Result<()> {
    let instance = Instance::take()?;
    let (lacking, ready) = (Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?);
    let account = Account::empty(&instance, &[&lacking, &ready], Timing::default())?;
    account.install(&host(1))?;
    let loads = [lacking.load(), ready.load()];
    let ended = account.run(2)?.finish()?.exits(2)?.says("is missing")?;
    assert_eq!(ended.task(&lacking.task)?["outcome"], "failed", "{ended}");
    assert_eq!(ended.task(&ready.task)?["outcome"], "faulted", "{ended}");
    let [lacking_load, ready_load] = loads;
    assert_eq!(classified(lacking_load)?.1, 0, "a fault on the host without an agent");
    assert!(classified(ready_load)?.1 > 0);
    account.assert_clean(&[&lacking, &ready])
}
