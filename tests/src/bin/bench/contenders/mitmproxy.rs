//! mitmproxy behind an iptables REDIRECT, with a script that answers.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use httpfault_simulator::python::Python;

use super::{BODY, Contender, PEER_PORT, Redirect, Server, site};
use crate::results::{Style, Task, Who};

const REQUIREMENTS: &str = "mitmproxy==11.0.2\n";

pub(super) fn contender() -> Result<Contender> {
    let site = site("mitmproxy")?;
    let files = tempfile::tempdir().context("creating a directory for mitmproxy")?;
    let script = files.path().join("fault.py");
    let text = format!(
        "from mitmproxy import http\n\n\ndef request(flow):\n    \
         flow.response = http.Response.make(503, b\"{BODY}\", {{\"x-httpfault\": \"mitmproxy\"}})\n"
    );
    fs::write(&script, text).context("writing mitmproxy's script")?;
    let python = Python::with("mitmproxy", REQUIREMENTS).context("mitmproxy of PyPI")?.command();
    let mut mitmproxy = Command::new(python.get_program());
    mitmproxy.envs(python.get_envs().filter_map(|(name, value)| Some((name, value?))));
    mitmproxy.args(["-c", "from mitmproxy.tools.main import mitmdump; mitmdump()", "--quiet"]);
    mitmproxy.args(["--mode", "reverse:http://127.0.0.1:80", "--listen-port", &PEER_PORT.to_string()]);
    mitmproxy.arg("--set").arg(format!("confdir={}", files.path().display())).arg("--scripts").arg(script);
    let server = Server::start("mitmproxy", &site.target, &mitmproxy)?.keep(files);
    let server = server.listening(&site.target, PEER_PORT)?;
    Redirect::peer(&site.target)?;
    // It speaks HTTP/2 over TLS alone.
    let contender = Contender::new(Who::Mitmproxy, Task::Fault, site, Some(server));
    Ok(contender.only(&[Style::Kept1, Style::Kept64, Style::Close]))
}
