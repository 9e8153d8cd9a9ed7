//! The application behind everything: nginx, so that it is the least part of what is measured.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use httpfault_tests::{package, site::Site};

use super::{
    HTTP2_PORT, OTHER_PORT,
    nginx::{FOREGROUND, conf},
    server::pinned,
};

/// Where the large body is.
pub(crate) const BIG: &str = "/big";
pub(crate) const BIG_BYTES: u64 = 100_000_000;

/// A namespace with the application in it, and a client machine.
pub(crate) fn site(label: &str) -> Result<Site> {
    let files = tempfile::tempdir().context("creating a directory for the application")?;
    let body = files.path().join("big");
    fs::File::create(&body).and_then(|file| file.set_len(BIG_BYTES)).context("making a large body")?;
    let servers = format!(
        "add_header x-app real always;
        server {{
            listen 80 backlog=4096; listen [::]:80 backlog=4096; listen {OTHER_PORT} backlog=4096;
            location / {{ return 200 \"the application's own answer, about as long as the fault's\\n\"; }}
            location = {BIG} {{ alias {}; }}
        }}
        server {{
            listen {HTTP2_PORT} http2 backlog=4096;
            location / {{ return 200 \"the application's own answer, about as long as the fault's\\n\"; }}
        }}",
        body.display()
    );
    let path = conf(files.path(), &servers)?;
    let mut nginx = Command::new(package::nginx()?);
    nginx.arg("-c").arg(path).args(FOREGROUND);
    Ok(Site::started(label, |cgroup, target| Ok(pinned(cgroup, target, &nginx)))?.keep(files))
}
