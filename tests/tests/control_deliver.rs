//! How hosts come by the real agent: over SSM in pieces, by download, or because it is there. They take their messages as
//! the real SSM agent does.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context, Result};
use httpfault_simulator::{Call, Object, Policy, Role};
use httpfault_tests::{
    command::output,
    docker::Instance,
    experiment::{Account, Ctl, Download, Ended, Registry, Relay, Web, classified, harsh, host, install},
};

/// The fault lasts until it was seen.
const LONG: u64 = 600;

/// An experiment with traffic, whose clients lose nothing.
fn faulted(account: &Account, ctl: Ctl, webs: &[&Web<'_>]) -> Result<Ended> {
    let loads: Vec<_> = webs.iter().map(|web| web.load()).collect();
    let ended = account.end_when_seen(ctl.start()?, &loads, &account.hosts())?.exits(0)?;
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
    let account = Account::empty(&instance, &webs, harsh())?;

    faulted(&account, account.run_and_deliver(LONG)?, &webs)?;
    assert!(is_whole(&account, &host(0))?);
    let pieces = account.commands("piece").len();
    assert!(pieces > 10, "{pieces} pieces");
    let incoming = account.on_host(&host(0), "/var/lib/httpfault/incoming");
    assert_eq!(fs::read_dir(incoming)?.count(), 0, "pieces stay on the host");

    faulted(&account, account.run_and_deliver(LONG)?, &webs)?;
    assert_eq!(account.commands("piece").len(), pieces, "it was sent again");

    let mut damaged = fs::read(account.installed(&host(0)))?;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(account.installed(&host(0)), damaged)?;
    account.run(LONG)?.finish()?.exits(1)?.says("is damaged")?;
    faulted(&account, account.run_and_deliver(LONG)?, &webs)?;
    assert!(is_whole(&account, &host(0))?);
    account.assert_clean(&webs)
}

#[test]
fn over_ssm_to_an_outdated_host_and_not_to_its_current_neighbour() -> Result<()> {
    let instance = Instance::take()?;
    let (outdated, current) = (Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?);
    let webs = [&outdated, &current];
    let account = Account::empty(&instance, &webs, harsh())?;
    account.install(&host(1))?;
    // An executable that works and is another one.
    let files = tempfile::tempdir()?;
    let older = files.path().join("httpfault-agent");
    fs::write(&older, [fs::read(&account.agent().path)?, b"older".to_vec()].concat())?;
    let sum = output(Command::new("sha256sum").arg(&older))?;
    let sum = sum.split_whitespace().next().context("sha256sum said nothing")?;
    let place = account.on_host(&host(0), &format!("/var/lib/httpfault/agents/{sum}/httpfault-agent"));
    install(&older, &place)?;

    faulted(&account, account.run_and_deliver(LONG)?, &webs)?;

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
    let account = Account::empty(&instance, &webs, harsh())?;
    let server = Download::serve(&instance.namespace(), &account.agent().path)?;
    let run = account.run(LONG)?.env("AGENT_DELIVERY", "url").env("AGENT_URL", server.url());
    faulted(&account, run, &webs)?;
    for host in account.hosts() {
        assert!(is_whole(&account, &host)?, "{host}");
    }
    assert_eq!(account.commands("piece").len(), 0);
    // Where it can't be downloaded any more, it is there.
    drop(server);
    let run = account.run(LONG)?.env("AGENT_DELIVERY", "url").env("AGENT_URL", "http://127.0.0.1:1/gone");
    faulted(&account, run, &webs)?;
    account.assert_clean(&webs)
}

/// One command brings the agent to every host, and no piece.
fn assert_fetched(account: &Account) -> Result<()> {
    for host in account.hosts() {
        assert!(is_whole(account, &host)?, "{host}");
    }
    let fetch = account.commands("fetch");
    assert_eq!((account.commands("piece").len(), fetch.len()), (0, 1), "{fetch:#?}");
    Ok(())
}

/// Gives the instances a role with one right, and a way to AWS and to their metadata.
fn serve_apis(instance: &Instance, account: &Account, right: &str) -> Result<Relay> {
    let endpoint = account.simulator.endpoint();
    let address = endpoint.trim_start_matches("http://").parse().context("the simulator's address")?;
    let engine = format!("unix://{}", instance.docker_socket().display());
    account.simulator.edit(|world| {
        world.roles.push(Role::new("ecsInstanceRole").policy(Policy::allow([right])));
        for managed in &mut world.managed_instances {
            for (name, value) in [
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint),
                ("AWS_ENDPOINT_URL_ECR", &endpoint),
                ("DOCKER_HOST", &engine),
            ] {
                managed.host.env.insert(name.to_owned(), value.clone());
            }
        }
    });
    Relay::start(&instance.namespace(), address)
}

/// By the role of the instances, and by a presigned URL where that has no right.
#[test]
fn out_of_s3() -> Result<()> {
    for right in ["s3:GetObject", "ecr:*"] {
        let instance = Instance::take()?;
        let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
        let webs: Vec<&Web<'_>> = webs.iter().collect();
        let account = Account::empty(&instance, &webs, harsh())?;
        let _way = serve_apis(&instance, &account, right)?;
        account.simulator.edit(|world| {
            world.objects.push(Object {
                bucket: "tools".to_owned(),
                key: format!("httpfault-agent-{}", std::env::consts::ARCH),
                file: account.agent().path.clone(),
            });
        });
        let run = account.run(LONG)?.env("AGENT_DELIVERY", "s3");
        faulted(&account, run.env("AGENT_S3_URI", "s3://tools/httpfault-agent-{arch}"), &webs)?;
        assert_fetched(&account)?;
        let signed = |call: &Call| call.request["Uri"].to_string().contains("X-Amz-Signature");
        let presigned = account.simulator.calls_of("GetObject").iter().filter(|call| signed(call)).count();
        assert_eq!(presigned, if right == "s3:GetObject" { 0 } else { 2 });
        account.assert_clean(&webs)?;
    }
    Ok(())
}

/// The instance logs in with what ECR gives to its role, pulls, and keeps nothing of it.
#[test]
fn out_of_an_image_in_ecr() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::empty(&instance, &webs, harsh())?;
    let _way = serve_apis(&instance, &account, "ecr:GetAuthorizationToken")?;
    let registry = Registry::start(&instance)?;
    let packed = Packed::image(&instance, &account)?;
    let image = registry.take(Packed::NAME)?;
    drop(packed);
    let there = || output(instance.docker().args(["image", "inspect", &image])).is_ok();
    assert!(!there());

    let run = account.run(LONG)?.env("AGENT_DELIVERY", "ecr").env("AGENT_IMAGE", &image);
    faulted(&account, run, &webs)?;
    assert_fetched(&account)?;
    assert!(!there(), "the image stays");
    assert!(!account.simulator.calls_of("GetAuthorizationToken").is_empty(), "nobody logged in");
    account.assert_clean(&webs)
}

/// With the engine of the instance: `docker create` and `docker cp`.
#[test]
fn out_of_an_image_that_the_host_has() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::empty(&instance, &webs, harsh())?;
    let image = Packed::image(&instance, &account)?;
    account.simulator.edit(|world| {
        for managed in &mut world.managed_instances {
            let engine = format!("unix://{}", instance.docker_socket().display());
            managed.host.env.insert("DOCKER_HOST".to_owned(), engine);
        }
    });
    let run = account.run(LONG)?.env("AGENT_DELIVERY", "ecr").env("AGENT_IMAGE", Packed::NAME);
    faulted(&account, run, &webs)?;
    assert_fetched(&account)?;
    let ancestor = format!("ancestor={}", Packed::NAME);
    let left = output(instance.docker().args(["ps", "--all", "--quiet", "--filter", &ancestor]))?;
    assert_eq!(left.trim(), "", "a container stays");
    drop(image);
    account.assert_clean(&webs)
}

/// An image with nothing but the agent in it, as the pod's has it.
struct Packed<'a>(&'a Instance);

impl<'a> Packed<'a> {
    const NAME: &'static str = "httpfault-tests/packed:1";

    fn image(instance: &'a Instance, account: &Account) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let name = format!("httpfault-agent-{}", std::env::consts::ARCH);
        install(&account.agent().path, &files.path().join("usr/local/bin").join(name))?;
        let archive = files.path().join("image.tar");
        output(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(files.path()).arg("usr"))?;
        output(instance.docker().arg("import").arg(&archive).arg(Self::NAME))?;
        Ok(Self(instance))
    }
}

impl Drop for Packed<'_> {
    fn drop(&mut self) {
        if let Err(error) = output(self.0.docker().args(["image", "rm", Self::NAME])) {
            eprintln!("{error:#}");
        }
    }
}

/// The account's own document in place of AWS-RunShellScript, from the first look to the last.
#[test]
fn through_a_document_of_the_accounts_own() -> Result<()> {
    let instance = Instance::take()?;
    let webs = [Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?];
    let webs: Vec<&Web<'_>> = webs.iter().collect();
    let account = Account::empty(&instance, &webs, harsh())?;
    // One agent is at hand; the document wants the checksums of both.
    let sum = &account.agent().sha256;
    let sums = format!("x86_64={sum},aarch64={sum}");
    let ctl = account.ctl("document")?.without("HTTPFAULT_OUTPUT").without("AGENT_DELIVERY");
    ctl.env("AGENT_SHA256", sums).argument("--register").finish()?.exits(0)?;
    let own = |ctl: Ctl| ctl.env("SSM_DOCUMENT", "httpfault-run");

    let server = Download::serve(&instance.namespace(), &account.agent().path)?;
    let run = own(account.run(LONG)?).env("AGENT_DELIVERY", "url").env("AGENT_URL", server.url());
    faulted(&account, run, &webs)?;
    assert_fetched(&account)?;
    let documents: BTreeSet<String> =
        account.simulator.commands().into_iter().map(|command| command.document).collect();
    assert_eq!(documents, BTreeSet::from(["httpfault-run".to_owned()]));
    account.assert_clean(&webs)
}

#[test]
fn out_of_the_image_without_leave_to_install() -> Result<()> {
    let instance = Instance::take()?;
    let web = Web::start(&instance, 1, 0)?;
    let webs = [&web];
    let account = Account::empty(&instance, &webs, harsh())?;
    let bin = "/usr/local/bin";
    account.simulator.edit(|world| {
        let managed = world.managed_mut(&host(0)).expect("the host is there");
        managed.host.private_dirs.push(bin.into());
    });
    install(&account.agent().path, &account.on_host(&host(0), &format!("{bin}/httpfault-agent")))?;
    let run = account.run(LONG)?.env("AGENT_DELIVERY", "ssm").env("INSTALL_DEPENDENCIES", "false");
    faulted(&account, run, &webs)?;
    assert!(!account.installed(&host(0)).exists());
    account.assert_clean(&webs)
}

#[test]
fn a_host_without_it_fails_alone() -> Result<()> {
    let instance = Instance::take()?;
    let (lacking, ready) = (Web::start(&instance, 1, 0)?, Web::start(&instance, 2, 1)?);
    let account = Account::empty(&instance, &[&lacking, &ready], harsh())?;
    account.install(&host(1))?;
    let (lacking_load, ready_loads) = (lacking.load(), [ready.load()]);
    let run = account.run(LONG)?.start()?;
    let ended = account.end_when_seen(run, &ready_loads, &[host(1)])?.exits(2)?.says("is missing")?;
    assert_eq!(ended.task(&lacking.task)?["outcome"], "failed", "{ended}");
    assert_eq!(ended.task(&ready.task)?["outcome"], "faulted", "{ended}");
    let [ready_load] = ready_loads;
    assert_eq!(classified(lacking_load)?.1, 0, "a fault on the host without an agent");
    assert!(classified(ready_load)?.1 > 0);
    account.assert_clean(&[&lacking, &ready])
}
