//! The agent without root: as a user of its own, with exactly the capabilities that docs/install-on-hosts.md names.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use httpfault_common::contract::{Exit, Outcome};
use httpfault_tests::{
    agent::{Agent, binary, experiment, run_args},
    clean::Traces,
    command::said,
    site::Site,
};

/// `nobody`.
const USER: &str = "65534";
/// Of the systemd unit in the document, without the part that only kernels before 6.6 ask for.
const CAPABILITIES: [&str; 3] = ["sys_admin", "sys_ptrace", "dac_read_search"];

/// Runs a command with a /run/httpfault that belongs to the user, as `RuntimeDirectory=` makes it, in the mount
/// namespace of this script alone; then as that user, who can't gain anything by running a program.
const AS_USER: &str = r#"
mkdir -p /run/httpfault && mount -t tmpfs -o "uid=$0,gid=$0,mode=0700" tmpfs /run/httpfault || exit 1
user=$0 capabilities=$1; shift
exec setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --bounding-set="-all,$capabilities" \
    --inh-caps="-all,$capabilities" --ambient-caps="-all,$capabilities" "$@""#;

fn as_user(agent: &Path, capabilities: &[&str], words: &[String]) -> Command {
    let list: Vec<String> = capabilities.iter().map(|name| format!("+{name}")).collect();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", AS_USER, USER, &list.join(",")]);
    command.arg(agent).args(words);
    command
}

/// The agent where everybody may run it.
fn everybodys_agent() -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir_in("/tmp").context("making a directory for the agent")?;
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755))?;
    let copy = directory.path().join("httpfault-agent");
    fs::copy(binary()?, &copy).context("copying the agent")?;
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o755))?;
    Ok(directory)
}

#[test]
fn three_capabilities_are_enough() -> Result<()> {
    let site = Site::take("caps")?;
    let directory = everybodys_agent()?;
    let agent = directory.path().join("httpfault-agent");
    let before = Traces::now()?;
    for existing in ["drain", "reset"] {
        let mut kept = site.open(site.v4())?;
        ensure!(kept.get("/")?.is_real(), "the application does not answer");
        let id = experiment("caps");
        let words = run_args(["--pid", &site.pid().to_string()], &id, &["--existing-connections", existing]);
        let mut agent = Agent::start(as_user(&agent, &CAPABILITIES, &words))?;
        agent.injected()?;
        for to in site.addresses() {
            assert_eq!(site.get(to, "/")?.injected_by(), Some(id.as_str()));
        }
        let inside = httpfault_tests::inside::ask(site.in_task()?, "127.0.0.1:80".parse()?)?;
        assert_eq!(inside.status, 503, "{inside:?}");
        let ended = agent.terminate()?;
        assert_eq!(ended.code()?, i32::from(u8::from(Exit::Aborted)), "{ended:?}");
        assert_eq!(ended.target()?.outcome, Outcome::Faulted);
        assert!(ended.removed()?.left_behind.is_empty(), "{ended:?}");
        assert!(site.get(site.v4(), "/")?.is_real());
        before.none_but_these(&[(&site.target, 20000)])?;
    }
    Ok(())
}

/// Each of them is needed, and its lack is named before anything is changed.
#[test]
fn each_missing_one_is_named() -> Result<()> {
    let site = Site::take("caps")?;
    let directory = everybodys_agent()?;
    let agent = directory.path().join("httpfault-agent");
    for missing in CAPABILITIES {
        let others: Vec<&str> = CAPABILITIES.into_iter().filter(|name| *name != missing).collect();
        let words = run_args(["--pid", &site.pid().to_string()], &experiment("caps"), &[]);
        let ended = Agent::start(as_user(&agent, &others, &words))?.ended()?;
        let report = ended.refused()?;
        let privileges: Vec<_> =
            report.problems.iter().filter(|problem| problem.subject == "privileges").collect();
        let named = format!("missing CAP_{} (", missing.to_uppercase());
        assert!(
            matches!(privileges[..], [one] if one.problem.starts_with(&named) && !one.problem.contains(", CAP_")),
            "{missing}: {report:?}"
        );
    }
    assert!(site.get(site.v4(), "/")?.is_real());
    Ok(())
}

/// Another user's directory of state is neither used nor touched.
#[test]
fn a_state_directory_of_somebody_else_is_refused() -> Result<()> {
    let site = Site::take("caps")?;
    let words = run_args(["--pid", &site.pid().to_string()], &experiment("caps"), &[]);
    let theirs = r#"mkdir -p /run/httpfault && mount -t tmpfs -o uid=65534,mode=0700 tmpfs /run/httpfault && exec "$@""#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", theirs, "sh"])
        .arg(binary()?)
        .args(words);
    let said = said(&mut command)?;
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(said.stderr.contains("/run/httpfault"), "{said:?}");
    assert!(site.get(site.v4(), "/")?.is_real());
    Ok(())
}
