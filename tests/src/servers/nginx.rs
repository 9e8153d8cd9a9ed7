//! nginx, with the fixture server behind it for what takes time or has a body.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use super::Program;
use crate::{
    command::{built, output},
    package,
};

const CONF: &str = include_str!("../../servers/nginx/nginx.conf");
/// Starts the server behind it, then becomes nginx. Both are in the target's cgroup, which takes both away.
const BOTH: &str = r#""$1" --port "$2" & exec "$3" -c "$4""#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    Plain,
    Http2,
    Tls,
}

pub(super) fn program(port: u16, listen: Listen) -> Result<Program> {
    let files = tempfile::tempdir().context("creating a directory for nginx")?;
    let directory = files.path().display().to_string();
    let backend = (port + 1000).to_string();
    let protocol = match listen {
        Listen::Plain => "",
        Listen::Http2 => "http2",
        Listen::Tls => "ssl",
    };
    let certificate = if listen == Listen::Tls {
        certificate(files.path())?;
        format!("ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;")
    } else {
        String::new()
    };
    let conf = files.path().join("nginx.conf");
    let text = CONF
        .replace("PORT", &port.to_string())
        .replace("BACKEND", &backend)
        .replace("PROTOCOL", protocol)
        .replace("CERTIFICATE", &certificate)
        .replace("DIRECTORY", &directory);
    fs::write(&conf, text).with_context(|| format!("writing {}", conf.display()))?;
    let program = Program::new("sh").args(&["-c", BOTH, "sh"]).arg(built("fixture-server")?);
    Ok(program.args(&[&backend]).arg(package::nginx()?).arg(conf).keep(files))
}

/// `key.pem` and `cert.pem` for localhost.
pub(crate) fn certificate(directory: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]);
    output(openssl.current_dir(directory)).map(drop).context("making a certificate")
}
