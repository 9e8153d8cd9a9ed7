//! The image of the chaos pod, run as Kubernetes runs it: its settings are variables, its user is not root, its root
//! file system is read-only, and it ends by SIGTERM within the grace period of deploy/kubernetes/base/job.yaml.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use httpfault_simulator::{Policy, Role, User};
use httpfault_tests::{
    command::{Said, output, said},
    docker::Instance,
    experiment::{Account, AgentFile, PATIENCE, Web, binary as ctl_binary, classified},
    wait,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const IMAGE: &str = "httpfault-pod:test";
/// `terminationGracePeriodSeconds`.
const GRACE: Duration = Duration::from_secs(180);
const TOKEN: &str = "token-of-the-service-account";
/// The pod's role may do exactly this.
const POLICY: &str = include_str!("../../deploy/iam/controller.json");

#[test]
fn a_pod_faults_a_task_and_a_stopped_pod_leaves_nothing() -> Result<()> {
    let instance = Instance::take()?;
    let files = build(&instance)?;
    let web = Web::start(&instance, 1, 0)?;
    // The simulated AWS lives where the pod's network is. Its host has the agent under test already.
    let hosts = [&web];
    let account = instance.namespace().run(|| Account::open(&instance, &hosts))?;
    let role = |name| Role::new(name).web_identity_token(TOKEN);
    let roles = [role("pod").policy(Policy::parse(POLICY)?), role("reporter").policy(with_reports()?)];
    account.simulator.edit(|world| {
        world.roles.extend(roles);
        world.buckets.push("reports".to_owned());
    });

    irsa_and_a_whole_run(&instance, &account, &web, &files)?;
    secret_and_sigterm(&instance, &account, &web, &files)
}

/// The service account's token is exchanged for the role's keys.
fn irsa_and_a_whole_run(
    instance: &Instance,
    account: &Account,
    web: &Web<'_>,
    files: &TempDir,
) -> Result<()> {
    let inside = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
    let token = readable(&files.path().join("token"), TOKEN)?;
    let load = web.load();
    let reports = writable(&files.path().join("reports"))?;
    let pod = Pod::new(instance, account)
        .mount(&token, inside)
        .volume(&reports, "/reports")
        .env("REPORT_DIR", "/reports/web")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", inside)
        .env("AWS_ROLE_ARN", &account.simulator.world().role_arn("pod"))
        .env("TOTAL_CHAOS_DURATION", "4")
        .env("HTTPFAULT_POLL_MS", "100")
        .start()?;
    let (code, said) = pod.ended()?;
    assert_eq!(code, 0, "{said:?}");
    let report: Value = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
    let task = &report["tasks"][0];
    let (_, faults, real) = classified(load)?;
    assert!(faults > 0 && real > 0, "{report}");
    assert_eq!((&report["exit"], &task["counters"]["faulted"]), (&0.into(), &faults.into()), "{report}");
    assert_eq!((&task["verified_on"], &task["verified_off"]), (&true.into(), &true.into()), "{report}");
    let kept =
        |name: &str| fs::read_to_string(reports.join("web").join(name)).with_context(|| name.to_owned());
    assert_eq!(serde_json::from_str::<Value>(&kept("report.json")?)?, report);
    let counted = report["histories"][0]["faulted"].as_array().context("no history")?;
    let sum: u64 = counted.iter().filter_map(Value::as_u64).sum();
    assert_eq!(sum, faults as u64, "what came in the course of time: {report}");
    assert!(kept("report.html")?.contains("done and verified") && kept("timeline.svg")?.contains("<path"));
    assert!(kept("junit.xml")?.contains("failures=\"0\""));
    account.assert_clean(&[web])
}

/// The same policy, and what deploy/iam/README.md says that REPORT_S3_URI needs besides.
fn with_reports() -> Result<Policy> {
    let mut policy: Value = serde_json::from_str(POLICY)?;
    let put =
        json!({ "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::reports/chaos/*" });
    policy["Statement"].as_array_mut().context("no statements")?.push(put);
    Ok(Policy::parse(&policy.to_string())?)
}

/// Keys in a mounted secret, and the role on top of them. With the times that a pod on AWS has between two looks.
fn secret_and_sigterm(instance: &Instance, account: &Account, web: &Web<'_>, files: &TempDir) -> Result<()> {
    let secret = files.path().join("cloud-secret");
    let User { access_key_id, secret_access_key, .. } = User::administrator();
    let keys = format!(
        "[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n"
    );
    fs::create_dir(&secret).context("making the secret's directory")?;
    fs::set_permissions(&secret, Permissions::from_mode(0o755))?;
    readable(&secret.join("credentials"), &keys)?;
    let pod = Pod::new(instance, account)
        .mount(&secret, "/etc/httpfault/aws/cloud-secret")
        .env("AWS_AUTHENTICATION_SECRET", "cloud-secret")
        .env("ASSUME_ROLE_ARN", &account.simulator.world().role_arn("reporter"))
        .env("TOTAL_CHAOS_DURATION", "600")
        // Nothing is mounted there, and the root file system is read-only.
        .env("REPORT_DIR", "/reports")
        .env("REPORT_S3_URI", "s3://reports/chaos")
        .start()?;
    let on = || {
        ensure!(pod.runs()?, "the pod has ended");
        Ok(web.get("/")?.status == 503)
    };
    wait::until("the fault", PATIENCE, on).with_context(|| pod.logs())?;

    let begin = Instant::now();
    let seconds = GRACE.as_secs().to_string();
    output(instance.docker().args(["stop", "--time", &seconds, &pod.id]))?;
    let took = begin.elapsed();
    let (code, said) = pod.ended()?;
    assert_eq!(code, 130, "after {took:?} {said:?}");
    let report: Value = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
    let printed =
        ["the report could not be written", "# web: status 503 on port 80", "aborted and cleaned up"];
    assert!(printed.iter().all(|words| said.stderr.contains(words)), "{said:?}");
    let stored = account.simulator.stored();
    let directory = format!("reports/chaos/{}", report["experiment_id"].as_str().context("no id")?);
    let files = ["junit.xml", "report.html", "report.json", "report.md", "timeline.svg"];
    let expected: Vec<String> = files.iter().map(|name| format!("{directory}/{name}")).collect();
    assert_eq!(stored.keys().cloned().collect::<Vec<_>>(), expected, "{said:?}");
    assert_eq!(serde_json::from_slice::<Value>(&stored[&expected[2]])?, report);
    assert_eq!((&report["aborted"], &report["left_behind"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!(report["tasks"][0]["verified_off"], true, "{report}");
    assert!(took < GRACE * 2 / 3, "{took:?} of {GRACE:?} were needed: {said:?}");
    account.assert_real(&[web])?;
    account.assert_clean(&[web])
}

#[test]
fn the_policy_in_deploy_is_the_one_that_is_printed() -> Result<()> {
    let said = said(Command::new(ctl_binary()?).env_clear().arg("policy"))?;
    assert_eq!(said.stdout, POLICY, "print it again: httpfault-ctl policy > deploy/iam/controller.json");
    Ok(())
}

/// The table of docs/chaos-pod.md has a line for every setting, and none for a setting that does not exist.
#[test]
fn every_setting_is_documented() -> Result<()> {
    let help = output(Command::new(ctl_binary()?).env_clear().args(["run", "--help"]))?;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split([']', ',']).next());
    let known: BTreeSet<&str> = names.collect();
    let text = fs::read_to_string(repository().join("docs/chaos-pod.md")).context("reading the document")?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let is_name =
        |name: &&str| name.chars().all(|sign| sign.is_ascii_uppercase() || matches!(sign, '_' | '0'..='9'));
    let documented: BTreeSet<&str> = lines.filter(is_name).collect();
    assert_eq!(documented, known);
    Ok(())
}

/// A pod to be, with the variables of the manifest and the simulator's in place of AWS's.
struct Pod<'i> {
    instance: &'i Instance,
    options: Vec<String>,
}

/// A pod that runs or has ended; dropping it removes it.
struct Started<'i> {
    instance: &'i Instance,
    id: String,
}

impl<'i> Pod<'i> {
    fn new(instance: &'i Instance, account: &Account) -> Self {
        let tunables = repository().join("deploy/kubernetes/base/tunables.env").display().to_string();
        let restricted = [
            "--network=host",
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--memory=128m",
            "--env-file",
            &tunables,
        ];
        let pod = Self { instance, options: restricted.map(str::to_owned).to_vec() };
        account
            .simulator
            .env_without_keys()
            .into_iter()
            .fold(pod, |pod, (name, value)| pod.env(&name, &value))
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.options.extend(["--env".to_owned(), format!("{name}={value}")]);
        self
    }

    fn mount(mut self, from: &Path, to: &str) -> Self {
        self.options.extend(["--volume".to_owned(), format!("{}:{to}:ro", from.display())]);
        self
    }

    fn volume(mut self, from: &Path, to: &str) -> Self {
        self.options.extend(["--volume".to_owned(), format!("{}:{to}", from.display())]);
        self
    }

    fn start(self) -> Result<Started<'i>> {
        let mut run = self.instance.docker();
        run.args(["run", "--detach"]).args(&self.options).arg(IMAGE);
        let id = output(&mut run)?.trim().to_owned();
        Ok(Started { instance: self.instance, id })
    }
}

impl Started<'_> {
    fn ended(&self) -> Result<(i32, Said)> {
        let code = output(self.instance.docker().args(["wait", &self.id]))?;
        let said = said(self.instance.docker().args(["logs", &self.id]))?;
        Ok((code.trim().parse().context("reading the pod's exit code")?, said))
    }

    fn runs(&self) -> Result<bool> {
        let running = ["inspect", "--format", "{{.State.Running}}", &self.id];
        Ok(output(self.instance.docker().args(running))?.trim() == "true")
    }

    fn logs(&self) -> String {
        said(self.instance.docker().args(["logs", &self.id]))
            .map_or_else(|error| format!("{error:#}"), |said| said.stderr)
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        if let Err(error) = output(self.instance.docker().args(["rm", "--force", &self.id])) {
            eprintln!("removing the pod: {error:#}");
        }
    }
}

/// Builds the image with the repository's own script: from the archive that `HTTPFAULT_ARCHIVE` names, else from one
/// of the programs under test.
fn build(instance: &Instance) -> Result<TempDir> {
    let files = tempfile::tempdir().context("making a directory for the image")?;
    if let Some(archive) = std::env::var_os("HTTPFAULT_ARCHIVE") {
        build_from(instance, Path::new(&archive))?;
        return Ok(files);
    }
    let name = format!("httpfault-test-{}", std::env::consts::ARCH);
    let directory = files.path().join(&name);
    fs::create_dir(&directory)?;
    for agent in ["httpfault-agent-x86_64", "httpfault-agent-aarch64"] {
        // No host of the other architecture is asked for it.
        fs::write(directory.join(agent), "of another architecture")?;
    }
    let own = format!("httpfault-agent-{}", std::env::consts::ARCH);
    fs::copy(AgentFile::stripped()?.path, directory.join(own)).context("copying the agent")?;
    let ctl = directory.join("httpfault-ctl");
    fs::copy(ctl_binary()?, &ctl).context("copying httpfault-ctl")?;
    output(Command::new("strip").arg(&ctl))?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT", "LICENSE-GPL2"] {
        fs::copy(repository().join(licence), directory.join(licence))?;
    }
    for text in ["THIRD-PARTY.md", "BUILD"] {
        fs::write(directory.join(text), "for a test\n")?;
    }
    output(Command::new("sh").args(["-c", "sha256sum -- * > SHA256SUMS"]).current_dir(&directory))?;
    let archive = files.path().join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--create", "--use-compress-program=gzip -1", "--file"]).arg(&archive);
    output(tar.arg("--directory").arg(files.path()).arg(&name))?;

    build_from(instance, &archive)?;
    add_libraries(instance, &ctl, &files.path().join("libraries"))?;
    Ok(files)
}

fn build_from(instance: &Instance, archive: &Path) -> Result<()> {
    let socket = format!("unix://{}", instance.docker_socket().display());
    let mut script = Command::new(repository().join("deploy/build-image.sh"));
    output(script.arg(archive).arg(IMAGE).env("DOCKER_HOST", socket))?;
    Ok(())
}

/// What is handed out is static and needs no library; what tests are built with is not.
fn add_libraries(instance: &Instance, program: &Path, context: &Path) -> Result<()> {
    let needed = said(Command::new("ldd").arg(program))?;
    let libraries: Vec<&str> = needed
        .stdout
        .split_whitespace()
        .filter(|word| word.starts_with('/') && word.contains(".so"))
        .collect();
    if libraries.is_empty() {
        return Ok(());
    }
    fs::create_dir(context)?;
    fs::write(context.join("Dockerfile"), format!("FROM {IMAGE}\nCOPY root /\n"))?;
    for library in libraries {
        let to = context.join("root").join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a library has a directory")?)?;
        fs::copy(library, to).with_context(|| format!("copying {library}"))?;
    }
    output(instance.docker().args(["build", "--tag", IMAGE]).arg(context))?;
    Ok(())
}

/// A file that the pod's user can read, as Kubernetes mounts it.
fn readable(path: &Path, text: &str) -> Result<PathBuf> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o444))?;
    ensure!(path.is_absolute(), "Docker takes absolute paths only");
    Ok(path.to_owned())
}

/// A directory in which the pod's user can write, as a volume is.
fn writable(path: &Path) -> Result<PathBuf> {
    fs::create_dir(path).with_context(|| format!("making {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o777))?;
    Ok(path.to_owned())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
