//! A registry as Amazon ECR shows one to an instance: it wants the password of ECR's token. A table of hosts of the engine's
//! own leads its name to the instance's loopback, where Docker speaks HTTP with a registry.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use httpfault_simulator::REGISTRY_PASSWORD;
use tempfile::TempDir;

use super::PATIENCE;
use crate::{command::output, docker::Instance, package, wait};

const NAME: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const PORT: u16 = 5000;
const HOSTS: &str = "/etc/hosts";
/// `AWS` with the password, as htpasswd has it (bcrypt).
const USERS: &str = "AWS:$2y$04$abcdefghijklmnopqrstuu4zK6ULgURM7NN4Vjf/F9jDwE/PO5YYW\n";

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Registry<'i> {
    instance: &'i Instance,
    server: Child,
    files: TempDir,
}

impl<'i> Registry<'i> {
    pub fn start(instance: &'i Instance) -> Result<Self> {
        let files = tempfile::tempdir().context("making the registry's directory")?;
        let path = |name: &str| files.path().join(name);
        fs::write(path("users"), USERS)?;
        let config = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: '127.0.0.1:{PORT}' }}\nauth: {{ htpasswd: {{ realm: registry, path: {} }} }}\n",
            path("images").display(),
            path("users").display(),
        );
        fs::write(path("config.yml"), config)?;
        let mut server = instance.namespace().command(package::registry()?);
        server.arg("serve").arg(path("config.yml"));
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().context("starting docker-registry")?;
        let registry = Self { instance, server, files };
        wait::until("the registry to listen", PATIENCE, || instance.namespace().listens(PORT))?;
        registry.name_it()?;
        Ok(registry)
    }

    fn name_it(&self) -> Result<()> {
        let hosts = self.files.path().join("hosts");
        let all = fs::read_to_string(HOSTS).unwrap_or_default();
        fs::write(&hosts, format!("{all}\n127.0.0.1 {NAME}\n"))?;
        let mut mount = self.instance.beside_engine("mount")?;
        output(mount.arg("--bind").arg(hosts).arg(HOSTS))?;
        // The engine keeps what it has read for some seconds.
        let login = || {
            Ok(output(self.docker().args(["login", "-u", "AWS", "-p", REGISTRY_PASSWORD, &host()])).is_ok())
        };
        wait::until("the engine to find the registry", PATIENCE, login).map(drop)
    }

    /// Takes an image of the instance. The result is its name here.
    pub fn take(&self, image: &str) -> Result<String> {
        let name = format!("{}/chaos/httpfault:1", host());
        output(self.docker().args(["tag", image, &name]))?;
        output(self.docker().args(["push", "--quiet", &name]))?;
        output(self.docker().args(["image", "rm", &name]))?;
        Ok(name)
    }

    /// Docker as somebody who has logged in.
    fn docker(&self) -> Command {
        let mut docker = self.instance.docker();
        docker.env("DOCKER_CONFIG", self.files.path());
        docker
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let gone = self.server.kill().and_then(|()| self.server.wait());
        drop(gone);
        let unmount =
            self.instance.beside_engine("umount").and_then(|mut unmount| output(unmount.arg(HOSTS)));
        if let Err(error) = unmount {
            eprintln!("taking the registry's name from the engine: {error:#}");
        }
    }
}

fn host() -> String {
    format!("{NAME}:{PORT}")
}
