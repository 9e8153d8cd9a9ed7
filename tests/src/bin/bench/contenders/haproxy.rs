//! HAProxy behind an iptables REDIRECT: as what answers, and as reverse proxy before the application.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use httpfault_tests::package;

use super::{BODY, Contender, PEER_PORT, Redirect, Server, site};
use crate::results::{Task, Who};

pub(super) fn contender(task: Task) -> Result<Contender> {
    let site = site("haproxy")?;
    let files = tempfile::tempdir().context("creating a directory for HAProxy")?;
    let path = files.path().join("haproxy.cfg");
    fs::write(&path, conf(task)).context("writing haproxy.cfg")?;
    let mut haproxy = command()?;
    haproxy.arg("-db").arg("-f").arg(path);
    let server = Server::start("haproxy", &site.target, &haproxy)?.keep(files);
    let server = server.listening(&site.target, PEER_PORT)?;
    Redirect::peer(&site.target)?;
    Ok(Contender::new(Who::Haproxy, task, site, Some(server)))
}

pub(crate) fn command() -> Result<Command> {
    let (program, libraries) = package::haproxy()?;
    let mut command = Command::new(program);
    command.envs(libraries.map(|directory| ("LD_LIBRARY_PATH", directory)));
    Ok(command)
}

fn conf(task: Task) -> String {
    let words = BODY.trim_end_matches("\\n");
    let answer = format!(
        "http-request return status 503 content-type text/plain string \"{words}\" \
         hdr x-httpfault haproxy hdr cache-control no-store"
    );
    let (request, response) = match task {
        Task::Fault => (answer, ""),
        Task::Half => (format!("{answer} if {{ rand(100) lt 50 }}"), ""),
        Task::Spare => (String::new(), ""),
        Task::Forward => (String::new(), "http-response set-status 503"),
    };
    format!(
        "global
    no strict-limits
    maxconn 12000
    nbthread 1
defaults
    mode http
    timeout client 600s
    timeout server 600s
    timeout connect 5s
    http-reuse always
frontend fault
    bind :{PEER_PORT} backlog 4096
    {request}
    {response}
    default_backend application
backend application
    server application 127.0.0.1:80
"
    )
}
