//! The same load on the agent's responder and on nginx `return 503` behind an iptables REDIRECT.

use std::{
    fmt, fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use httpfault_tests::{
    agent::{Agent, binary, experiment, run_args},
    command::output,
    image,
    site::{PORT, Site},
    wait,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::Process;

/// Core of the server under test, and core of the load.
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";
/// Where nginx listens behind the REDIRECT.
const NGINX_PORT: u16 = 20001;

/// Loads of one length.
#[derive(Debug)]
pub(crate) struct Load {
    time: Duration,
}

/// What one load came to.
#[derive(Debug)]
pub(crate) struct Row {
    server: &'static str,
    style: &'static str,
    per_second: f64,
    cpu_per_response: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.cpu_per_response.as_secs_f64() * 1e6;
        writeln!(f, "| {} | {} | {:.0} | {micros:.1} µs |", self.server, self.style, self.per_second)
    }
}

impl Load {
    pub(crate) fn new(time: Duration) -> Self {
        Self { time }
    }

    pub(crate) fn agent(&self) -> Result<Vec<Row>> {
        let site = Site::beside("responder")?;
        let words =
            run_args(["--pid", &site.pid().to_string()], &experiment("responder"), &["--duration", "600"]);
        let mut command = on_core(SERVER_CORE, Command::new(binary()?));
        command.args(words);
        let (agent, _) = Agent::inject(command)?;
        let rows = self.both_styles("httpfault-agent", &site, agent.pid())?;
        agent.terminate()?;
        Ok(rows)
    }

    pub(crate) fn nginx_behind_redirect(&self) -> Result<Vec<Row>> {
        let site = Site::beside("redirect")?;
        let nginx = Nginx::start(&site)?;
        let (from, to) = (PORT.to_string(), NGINX_PORT.to_string());
        let rule = [
            "-t",
            "nat",
            "-A",
            "PREROUTING",
            "-p",
            "tcp",
            "--dport",
            &from,
            "-j",
            "REDIRECT",
            "--to-ports",
            &to,
        ];
        output(site.target.command("iptables").args(rule))?;
        self.both_styles("nginx `return 503` behind iptables REDIRECT", &site, nginx.child.id())
    }

    fn both_styles(&self, server: &'static str, site: &Site, pid: u32) -> Result<Vec<Row>> {
        let kept = self.measure(server, "64, kept", site, pid, &[])?;
        let closed =
            self.measure(server, "one for each response", site, pid, &["-H", "Connection: close"])?;
        Ok(vec![kept, closed])
    }

    fn measure(
        &self,
        server: &'static str,
        style: &'static str,
        site: &Site,
        pid: u32,
        more: &[&str],
    ) -> Result<Row> {
        let url = format!("http://{}/", site.v4());
        let wrk = |time: Duration| {
            let mut wrk = on_core(LOAD_CORE, site.client.command("wrk"));
            wrk.args(["-t", "1", "-c", "64", "-d", &format!("{}s", time.as_secs())]).args(more).arg(&url);
            output(&mut wrk)
        };
        wrk(Duration::from_secs(1)).context("warming up")?;
        let before = cpu(pid)?;
        let said = wrk(self.time)?;
        let used = cpu(pid)?.saturating_sub(before);
        let number = |label: &str| {
            let line = said
                .lines()
                .find(|line| line.contains(label))
                .with_context(|| format!("wrk has no {label:?}"))?;
            line.split_whitespace()
                .find_map(|word| word.parse::<f64>().ok())
                .context("wrk has no number there")
        };
        let responses = number("requests in")?;
        let strange = number("Non-2xx").context("the answers were no faults")?;
        anyhow::ensure!(
            strange == responses,
            "{} of {responses} answers were no faults:\n{said}",
            responses - strange
        );
        let cpu_per_response = used.div_f64(responses);
        Ok(Row { server, style, per_second: number("Requests/sec")?, cpu_per_response })
    }
}

/// The command on one core of the machine.
fn on_core(core: &str, command: Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", core]).arg(command.get_program()).args(command.get_args());
    pinned
}

/// CPU time that a process and its children have used.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = |process: Process| process.stat().map(|stat| stat.utime + stat.stime);
    let root = pid.cast_signed();
    let family = procfs::process::all_processes().context("listing processes")?.flatten();
    let family = family.filter(|process| {
        process.pid == root || process.stat().is_ok_and(|stat| stat.ppid == root && stat.comm == "nginx")
    });
    let ticks = family.map(stat).sum::<Result<u64, _>>().context("reading CPU times")?;
    Ok(Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64))
}

/// nginx that answers everything with 503 and writes no log.
struct Nginx {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Nginx {
    fn start(site: &Site) -> Result<Self> {
        let directory = tempfile::tempdir().context("creating a directory for nginx")?;
        let config = directory.path().join("nginx.conf");
        let text = format!(
            "user root root; daemon off; worker_processes 1; pid {0}/pid; error_log {0}/error.log;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; keepalive_requests 1000000000; default_type text/plain;
                client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi;
                uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;
                server {{ listen {NGINX_PORT} backlog=4096;
                    location / {{ return 503 \"503 Service Unavailable: fault injected for a measurement\\n\"; }} }}
            }}",
            directory.path().display()
        );
        fs::write(&config, text).context("writing nginx.conf")?;
        let mut nginx = on_core(SERVER_CORE, site.target.command(image::nginx()?));
        nginx.arg("-c").arg(&config).stdin(Stdio::null()).stderr(Stdio::null());
        let child = nginx.spawn().context("starting nginx")?;
        let nginx = Self { child, _directory: directory };
        wait::until("nginx to listen", Duration::from_secs(5), || site.target.listens(NGINX_PORT))?;
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master process takes the worker with it.
        let asked = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        if asked.is_err() || self.child.wait().is_err() {
            eprintln!("nginx did not end");
        }
    }
}
