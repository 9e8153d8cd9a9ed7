//! nginx `return 503` behind an iptables REDIRECT: the way the same fault is usually made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use httpfault_tests::{command::output, netns::Namespace, package, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::{Process, all_processes};

use super::{BODY, Contender, HTTP2_PORT, PEER_HTTP2_PORT, PEER_PORT, Redirect, Server, site};
use crate::results::{Task, Who};

/// nginx with a fault, ready to be started.
#[derive(Debug)]
pub(crate) struct Nginx {
    files: tempfile::TempDir,
    command: Command,
}

pub(super) fn contender() -> Result<Contender> {
    let site = site("nginx")?;
    let server = Nginx::new()?.start(&site.target)?;
    Redirect::insert(&site.target, 80, PEER_PORT)?;
    Redirect::insert(&site.target, HTTP2_PORT, PEER_HTTP2_PORT)?;
    Ok(Contender::new(Who::Nginx, Task::Fault, site, Some(server)).http2_apart())
}

impl Nginx {
    pub(crate) fn new() -> Result<Self> {
        let files = tempfile::tempdir().context("creating a directory for nginx")?;
        let servers = format!(
            "add_header x-httpfault nginx always; add_header cache-control no-store always;
            server {{ listen {PEER_PORT} backlog=4096; location / {{ return 503 \"{BODY}\"; }} }}
            server {{ listen {PEER_HTTP2_PORT} http2 backlog=4096; location / {{ return 503 \"{BODY}\"; }} }}"
        );
        let mut command = Command::new(package::nginx()?);
        command.arg("-c").arg(conf(files.path(), &servers)?);
        Ok(Self { files, command })
    }

    fn start(mut self, namespace: &Namespace) -> Result<Server> {
        self.command.args(FOREGROUND);
        let server = Server::start("nginx", namespace, &self.command)?.keep(self.files);
        server.listening(namespace, PEER_PORT)
    }

    /// Starts it as a service is started: it listens when this returns.
    pub(crate) fn daemon(mut self, namespace: &Namespace) -> Result<Daemon> {
        namespace.run(|| output(&mut self.command))?;
        Ok(Daemon { files: self.files })
    }
}

/// nginx in the background.
#[derive(Debug)]
pub(crate) struct Daemon {
    files: tempfile::TempDir,
}

impl Daemon {
    /// In order; its master process takes the worker with it.
    pub(crate) fn stop(self) -> Result<()> {
        let master = self.master()?;
        kill(master, Signal::SIGTERM).context("stopping nginx")?;
        self.gone(master)
    }

    /// As the kernel does when memory runs out: all of it at once.
    pub(crate) fn kill(self) -> Result<()> {
        let master = self.master()?;
        let worker = |process: &Process| process.stat().is_ok_and(|stat| stat.ppid == master.as_raw());
        let workers = all_processes().context("listing processes")?.flatten().filter(worker);
        let workers = workers.map(|worker| Pid::from_raw(worker.pid)).collect::<Vec<_>>();
        for process in [vec![master], workers].concat() {
            kill(process, Signal::SIGKILL).context("killing nginx")?;
        }
        self.gone(master)
    }

    fn master(&self) -> Result<Pid> {
        let text = fs::read_to_string(self.files.path().join("pid")).context("reading nginx's pid file")?;
        Ok(Pid::from_raw(text.trim().parse().context("nginx's pid file holds no number")?))
    }

    fn gone(&self, master: Pid) -> Result<()> {
        let gone = || Ok(kill(master, None).is_err());
        wait::until("nginx to end", Duration::from_secs(10), gone).map(drop)
    }
}

/// nginx as a child that is waited for.
pub(super) const FOREGROUND: [&str; 2] = ["-g", "daemon off;"];

/// Writes a configuration with these servers, with one worker and without logs; everything it writes is in `directory`.
pub(super) fn conf(directory: &Path, servers: &str) -> Result<PathBuf> {
    let path = directory.join("nginx.conf");
    let text = format!(
        "user root root; worker_processes 1;
        pid {0}/pid; error_log {0}/error.log;
        events {{ worker_connections 16384; }}
        http {{
            access_log off; default_type text/plain; sendfile on; tcp_nopush on;
            keepalive_requests 1000000000; keepalive_timeout 600s; client_header_timeout 600s;
           http2_max_concurrent_streams 128;
            client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi;
            uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;
            {servers}
        }}",
        directory.display()
    );
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
