//! Runs the tests' Docker engine as long as somebody is connected to its control socket, then removes every trace.

use std::{
    fs::{self, File},
    io::{Read, Write, stdout},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use httpfault_tests::{
    cgroup,
    command::output,
    engine::{Files, LOCK, NAMESPACE, READY},
    machine,
    netns::Netns,
    wait,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long the engine waits for the next user: cargo starts test executables one after another.
const IDLE: Duration = Duration::from_secs(10);

/// Docker wants a pure cgroup v2 tree; on a hybrid host it gets one in a mount namespace of its own.
const PURE_CGROUP2: &str = r#"
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
fi
exec "$@""#;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fixture-engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let files = Files::locate()?;
    remove_leftovers(&files);
    fs::create_dir_all(files.directory()).context("creating the engine's directory")?;
    let instance = Netns::named(NAMESPACE)?;
    // Addresses of containers are usable at once, without a second of duplicate address detection.
    output(instance.command("sysctl").args(["-qw", "net.ipv6.conf.default.accept_dad=0"]))?;

    let mut dockerd = start_dockerd(&instance, &files)?;
    let served = wait_until_ready(&mut dockerd, &files).and_then(|()| serve(&files));
    let lock = served.and_then(|()| machine::locked(LOCK));
    // Under the lock nobody joins an engine that is about to end.
    stop(&mut dockerd, &files)?;
    drop(instance);
    lock.map(drop)
}

fn start_dockerd(instance: &Netns, files: &Files) -> Result<Child> {
    let directory = files.directory();
    let log = File::create(files.log()).context("creating the engine's log")?;
    let mut command = instance.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", PURE_CGROUP2, "sh", "dockerd"]);
    command.arg("--data-root").arg(directory.join("data"));
    command.arg("--exec-root").arg(directory.join("exec"));
    command.arg("--pidfile").arg(files.pid());
    command.arg("--host").arg(format!("unix://{}", files.docker_socket().display()));
    command.args([
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--ipv6",
        "--fixed-cidr-v6",
        "fd00:d0c::/64",
    ]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("starting dockerd")
}

fn wait_until_ready(dockerd: &mut Child, files: &Files) -> Result<()> {
    wait::until("dockerd to answer", Duration::from_secs(30), || {
        if let Some(status) = dockerd.try_wait()? {
            bail!("dockerd ended with {status}");
        }
        let mut docker = Command::new("docker");
        docker.arg("--host").arg(format!("unix://{}", files.docker_socket().display())).arg("info");
        Ok(output(&mut docker).is_ok())
    })?;
    Ok(())
}

/// Says that the engine is ready and returns when nobody has used it for [`IDLE`].
fn serve(files: &Files) -> Result<()> {
    let listener = UnixListener::bind(files.control_socket()).context("listening on the control socket")?;
    let users = Arc::new((Mutex::new(0_usize), Condvar::new()));
    let counted = Arc::clone(&users);
    thread::spawn(move || {
        listener.incoming().flatten().for_each(|user| {
            let users = Arc::clone(&counted);
            thread::spawn(move || attend(user, &users));
        });
    });
    writeln!(stdout(), "{READY}").context("saying that the engine is ready")?;

    let (count, changed) = &*users;
    let mut now = count.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let (guard, timeout) = changed.wait_timeout(now, IDLE).unwrap_or_else(PoisonError::into_inner);
        now = guard;
        if *now == 0 && timeout.timed_out() {
            // From here on a new user finds no socket and starts another engine after this one.
            return fs::remove_file(files.control_socket()).context("removing the control socket");
        }
    }
}

/// Counts one user for as long as its connection is open.
fn attend(mut user: UnixStream, users: &(Mutex<usize>, Condvar)) {
    let change = |by: isize| {
        let mut count = users.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add_signed(by);
        users.1.notify_all();
    };
    change(1);
    let gone = user.read(&mut [0]);
    drop(gone);
    change(-1);
}

fn stop(dockerd: &mut Child, files: &Files) -> Result<()> {
    let mut list = Command::new("docker");
    let host = format!("unix://{}", files.docker_socket().display());
    list.args(["--host", &host, "ps", "--all", "--quiet"]);
    let left = output(&mut list).unwrap_or_default();
    if !left.trim().is_empty() {
        let mut remove = Command::new("docker");
        output(remove.args(["--host", &host, "rm", "--force", "--volumes"]).args(left.split_whitespace()))?;
    }
    if dockerd.try_wait()?.is_none() {
        kill(Pid::from_raw(dockerd.id().cast_signed()), Signal::SIGTERM).context("stopping dockerd")?;
    }
    wait::until("dockerd to end", Duration::from_secs(20), || Ok(dockerd.try_wait()?.is_some()))?;
    remove_files(files);
    Ok(())
}

/// What an engine that was killed may have left.
fn remove_leftovers(files: &Files) {
    if Path::new("/run/netns").join(NAMESPACE).exists()
        && let Err(error) = output(Command::new("ip").args(["netns", "delete", NAMESPACE]))
    {
        eprintln!("fixture-engine: {error:#}");
    }
    remove_files(files);
}

fn remove_files(files: &Files) {
    for parent in ["ecs", "docker"] {
        // Absent or still in use by somebody else: both are fine.
        let removed = cgroup::mount().map(|mount| fs::remove_dir(mount.join(parent)));
        drop(removed);
    }
    if let Err(error) = fs::remove_dir_all(files.directory())
        && files.directory().exists()
    {
        eprintln!("fixture-engine: removing {}: {error}", files.directory().display());
    }
}
