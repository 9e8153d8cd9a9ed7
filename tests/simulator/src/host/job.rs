//! One script on one host, run as amazon-ssm-agent runs it: agent/plugins/runscript/runshellscript.go and
//! agent/executers/executers_unix.go.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::namespace::FORKING;
use crate::ssm::{Ended, How};
use crate::state::Shared;
use crate::world::HostSetup;

/// More than any API shows; the rest of a stream is read and only kept in its file.
const KEPT: usize = 64 * 1024;

/// What is to be run.
pub(crate) struct Job<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) instance_id: &'a str,
    pub(crate) command_id: &'a str,
    /// Directory of the plugin below the command's.
    pub(crate) plugin: &'a str,
    pub(crate) script: &'a str,
    pub(crate) working_directory: Option<&'a str>,
    pub(crate) timeout: Duration,
    /// Whether CancelCommand was called.
    pub(crate) cancelled: &'a CancellationToken,
    /// Whether the document worker was killed: the script goes on, and nobody reads what it writes.
    pub(crate) worker_died: &'a CancellationToken,
}

impl Job<'_> {
    /// Runs the script to its end, which is when it has ended *and* nobody holds its output open any more. `cancel`
    /// resolves when the agent hears of CancelCommand.
    pub(crate) async fn run(&self, cancel: impl Future<Output = ()>) -> Ended {
        self.try_run(cancel).await.unwrap_or_else(|problem| Ended {
            how: How::Exited(1),
            stdout: String::new(),
            stderr: format!("the simulated host {} could not run the script: {problem}", self.instance_id),
            cancel_requested: self.cancelled.is_cancelled(),
        })
    }

    async fn try_run(&self, cancel: impl Future<Output = ()>) -> io::Result<Ended> {
        let state = |state: &crate::state::State| state.world.managed_instance(self.instance_id).cloned();
        let setup = self.shared.read(state).map(|instance| instance.host).unwrap_or_default();
        let directory = self.directory();
        let script = write_script(&directory, self.script)?;
        let host = self.shared.hosts.host(self.instance_id, &setup)?;

        let mut child = host.spawn(self.command(&script, &setup)).await?;
        let group = child.id().unwrap_or_default();
        self.shared.update(|state| {
            let command = state.command_mut(self.command_id);
            if let Some(one) = command.and_then(|command| command.invocation_mut(self.instance_id)) {
                one.process_groups.push(group);
            }
        });
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe for standard output"))?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("no pipe for standard error"))?;
        let (stdout_file, stderr_file) = (directory.join("stdout"), directory.join("stderr"));
        let end =
            async { tokio::join!(child.wait(), keep(stdout, &stdout_file), keep(stderr, &stderr_file)) };
        let killed = async {
            let how = tokio::select! {
                () = cancel => How::Cancelled,
                () = tokio::time::sleep(self.timeout) => How::TimedOut,
            };
            kill_group(group);
            how
        };
        tokio::pin!(end, killed);
        let mut stopped = None;
        let (status, stdout, stderr) = loop {
            tokio::select! {
                end = &mut end => break end,
                how = &mut killed, if stopped.is_none() => stopped = Some(how),
                () = self.worker_died.cancelled() => return Ok(Ended {
                    how: How::Lost,
                    stdout: String::new(),
                    stderr: String::new(),
                    cancel_requested: self.cancelled.is_cancelled(),
                }),
            }
        };
        Ok(Ended {
            how: how(status?, stopped),
            stdout: stdout?,
            stderr: stderr?,
            cancel_requested: stopped == Some(How::Cancelled),
        })
    }

    /// `/var/lib/amazon/ssm/<instance>/document/orchestration/<command>/awsrunShellScript/0.awsrunShellScript` on a
    /// real host.
    fn directory(&self) -> PathBuf {
        let host = self.shared.hosts.directory(self.instance_id);
        let command = host.join("ssm/document/orchestration").join(self.command_id);
        command.join(self.plugin).join("0.awsrunShellScript")
    }

    fn command(&self, script: &Path, setup: &HostSetup) -> Command {
        let region = self.shared.read(|state| state.world.region.clone());
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(script)
            .env_clear()
            // What systemd gives to the agent's service.
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("SSM_COMMAND_ID", self.command_id)
            .env("AWS_SSM_INSTANCE_ID", self.instance_id)
            .env("AWS_SSM_REGION_NAME", region)
            .env("AWS_SSM_PLATFORM_NAME", "Amazon Linux")
            .env("AWS_SSM_PLATFORM_VERSION", "2023")
            .envs(&setup.env)
            .current_dir(self.working_directory.filter(|path| path.starts_with('/')).unwrap_or("/usr/bin"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Own process group, same session: Setpgid without Setsid.
            .process_group(0);
        command
    }
}

/// The commands and a final newline, mode 0700.
fn write_script(directory: &Path, script: &str) -> io::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let path = directory.join("_script.sh");
    // A process that another host starts now would inherit the open file for a moment, and executing the script in that
    // moment fails with ETXTBSY.
    let _nobody_forks = FORKING.read().unwrap_or_else(PoisonError::into_inner);
    let mut options = OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o700).open(&path)?;
    file.write_all(format!("{script}\n").as_bytes())?;
    Ok(path)
}

/// Reads a stream to its end, into a file as it comes and into memory up to a limit.
async fn keep(mut stream: impl AsyncRead + Unpin, path: &Path) -> io::Result<String> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let mut kept = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        let piece = &buffer[..read];
        // Blocks for as long as a page cache takes.
        file.write_all(piece)?;
        kept.extend_from_slice(&piece[..read.min(KEPT.saturating_sub(kept.len()))]);
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// At once and without warning. Who left the group is not reached.
fn kill_group(group: u32) {
    if let Ok(group @ 1..) = i32::try_from(group) {
        // ESRCH: the whole group has just ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// The agent's kill explains a signal, but not an exit code that the script chose.
fn how(status: ExitStatus, stopped: Option<How>) -> How {
    match (status.code(), stopped) {
        (Some(code), _) => How::Exited(code),
        (None, Some(stopped)) => stopped,
        (None, None) => How::Signalled(status.signal().unwrap_or_default()),
    }
}
