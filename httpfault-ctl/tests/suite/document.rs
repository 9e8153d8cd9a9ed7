//! A document of the account's own in place of AWS-RunShellScript.

use std::{collections::BTreeSet, io::Write, process::Command, process::Stdio};

use httpfault_simulator::{Object, Policy, User, World};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{STUB, Site, bare, finish, host, sha256, start};

const NAME: &str = "httpfault-run";
const URI: &str = "s3://tools/httpfault-agent-{arch}";

/// A world whose user may send this document and nothing else, and presign.
fn site() -> Site {
    let policy = finish(bare("policy").args(["--cluster-name", "shop", "--ssm-document", NAME])).exits(0);
    let mut document = policy.json();
    assert!(!policy.stdout.contains("AWS-RunShellScript"), "{policy}");
    let read = serde_json::json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" });
    document["Statement"].as_array_mut().unwrap().push(read);
    let narrow = Policy::parse(&document.to_string()).unwrap();
    let world = World::fleet(2, 1)
        .user(User::new("chaos", "AKIDCHAOS0000000000A", "secret").policy(narrow))
        .user(User::new("admin", "AKIDADMIN0000000000A", "secret"));
    let site = Site::new(world);
    site.simulator.edit(|world| {
        world.objects.push(Object {
            bucket: "tools".to_owned(),
            key: "httpfault-agent-x86_64".to_owned(),
            file: site.agent_path("x86_64"),
        });
    });
    site
}

fn register(site: &Site) -> crate::support::Finished {
    let admin = site.simulator.world().users[1].clone();
    finish(site.ctl("document").arg("--register").envs(site.simulator.env_for(&admin)))
}

fn documents(site: &Site) -> BTreeSet<String> {
    site.simulator.commands().into_iter().map(|command| command.document).collect()
}

#[test]
fn it_is_printed_and_kept_in_the_account() {
    let site = site();
    let printed = finish(&mut site.ctl("document")).exits(0).json();
    let text = printed.to_string();
    assert!(text.contains(&sha256(&site.agent_path("x86_64"))));
    assert_eq!(printed["parameters"]["request"]["allowedPattern"], "^[A-Za-z0-9+/=]+$");
    assert_eq!(text.matches("{{").count(), 2, "the two parameters and no other syntax of SSM");
    assert!(text.len() < 20_500, "{} bytes", text.len());

    finish(site.ctl("document").arg("--register")).exits(1).says("AWS denied ssm:GetDocument");
    register(&site).exits(0).says("created").says("SSM_DOCUMENT=httpfault-run");
    register(&site).exits(0).says("as it should be already");
    let kept = |site: &Site| site.simulator.world().documents[0].clone();
    assert_eq!(serde_json::from_str::<Value>(&kept(&site).versions[0]).unwrap(), printed);
    site.agent(&format!("{STUB}\n# second version\n"));
    register(&site).exits(0).says("updated");
    assert_eq!((kept(&site).versions.len(), kept(&site).default_version), (2, 2));
}

#[test]
fn a_role_with_this_document_alone_does_everything() {
    let site = site();
    register(&site).exits(0);
    let with = |command: &str| {
        let mut ctl = site.on_service(command);
        ctl.env("SSM_DOCUMENT", NAME).env("AGENT_S3_URI", URI);
        ctl
    };
    finish(&mut site.on_service("run")).exits(1).says("AWS denied ssm:SendCommand");
    // An empty host: looked at, brought, faulted, proved.
    let report = finish(&mut with("run")).exits(0).json();
    for task in report["tasks"].as_array().unwrap() {
        assert!(task["outcome"] == "faulted" && task["verified_off"] == true, "{report}");
    }
    assert!(site.commands("piece").is_empty());
    // Abort, status and removal.
    let before = site.times_on();
    let run = start(with("run").env("TOTAL_CHAOS_DURATION", "300").env("EXPERIMENT_ID", "long.one"));
    site.await_on(before + 2);
    let status = finish(site.ctl("status").env("SSM_DOCUMENT", NAME)).exits(0);
    status.says("long.one");
    run.signal(Signal::SIGTERM);
    run.ended().exits(130);
    let before = site.times_on();
    let run = start(with("run").env("TOTAL_CHAOS_DURATION", "300").env("EXPERIMENT_ID", "lost"));
    site.await_on(before + 2);
    run.signal(Signal::SIGKILL);
    run.ended();
    finish(site.ctl("remove").env("SSM_DOCUMENT", NAME).args(["--experiment-id", "lost"])).exits(0);
    site.assert_clean();
    assert_eq!(documents(&site), BTreeSet::from([NAME.to_owned()]));
}

#[test]
fn pieces_and_images_and_urls_go_through_it_too() {
    let site = site();
    let mut random = fastrand::Rng::with_seed(1);
    let ballast: String = (0..120_000).map(|_| random.alphanumeric()).collect();
    site.agent(&format!("{STUB}\nexit\n# {ballast}\n"));
    register(&site).exits(0);
    finish(site.on_service("run").env("SSM_DOCUMENT", NAME)).exits(0);
    assert!(site.commands("piece").len() >= 3);
    let sum = sha256(&site.agent_path("x86_64"));
    let installed = site.on_host(&host(0), &format!("/var/lib/httpfault/agents/{sum}/httpfault-agent"));
    assert_eq!(sha256(&installed), sum);
    assert_eq!(documents(&site), BTreeSet::from([NAME.to_owned()]));
}

#[test]
fn a_document_for_another_agent_is_named() {
    let site = site();
    register(&site).exits(0);
    site.agent(&format!("{STUB}\n# second version\n"));
    finish(site.on_service("run").env("SSM_DOCUMENT", NAME))
        .exits(1)
        .says("this document is for the agent")
        .says("httpfault-ctl document --register");
    let admin = site.simulator.world().users[1].clone();
    let mut unknown = site.on_service("run");
    unknown.envs(site.simulator.env_for(&admin)).env("SSM_DOCUMENT", "nobody-has-it");
    finish(&mut unknown).exits(1).says("InvalidDocument");
    finish(site.on_service("plan").env("SSM_DOCUMENT", "AWS-RunShellScript")).exits(64).says("SSM_DOCUMENT");
}

/// What the document's script does with a request, without a host.
fn asked(site: &Site, request: &str) -> std::process::Output {
    let printed = finish(&mut site.ctl("document")).exits(0).json();
    let lines = printed["mainSteps"][0]["inputs"]["runCommand"].as_array().unwrap().iter();
    let script = lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n");
    let mut pack = Command::new("sh");
    let mut pack = pack
        .args(["-c", "gzip -c | base64 -w0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    pack.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let packed = String::from_utf8(pack.wait_with_output().unwrap().stdout).unwrap();
    let script = script.replace("{{ request }}", packed.trim());
    Command::new("sh").arg("-c").arg(script).current_dir(site.files.path()).output().unwrap()
}

#[test]
fn a_request_that_would_like_to_be_a_command_is_refused() {
    let site = site();
    for hostile in [
        "status $(touch trap)",
        "status `touch trap`",
        "touch trap",
        "status;touch trap",
        "do_run",
        "",
        "run\ntouch",
        "*",
    ] {
        let done = asked(&site, hostile);
        assert_eq!(done.status.code(), Some(64), "{hostile:?}: {done:?}");
        assert!(done.stdout.is_empty() && !site.files.path().join("trap").exists(), "{hostile:?}");
    }
    let done = asked(&site, "url 00 aHR0cDovLzEyNy4wLjAuMTox");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("this document is for the agent"));
}
