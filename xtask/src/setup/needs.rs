//! The programs that tests, demo and bench call, each with its packages and the reason.

use super::system;
use crate::process;

/// A program.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) program: &'static str,
    /// Packages of Debian and Ubuntu; none for a program that is unpacked from its package, not installed, because
    /// it would start as a service. Package lists are enough for that.
    pub(super) apt: &'static [&'static str],
    /// Package of Fedora and Amazon Linux, where there is one.
    pub(super) dnf: Option<&'static str>,
    pub(super) reason: &'static str,
}

impl Need {
    const fn new(
        program: &'static str,
        apt: &'static [&'static str],
        dnf: Option<&'static str>,
        reason: &'static str,
    ) -> Self {
        Self { program, apt, dnf, reason }
    }

    /// Where it is.
    pub(super) fn found(&self) -> Option<String> {
        match process::find(self.program) {
            Some(path) => Some(path.display().to_string()),
            None if self.apt.is_empty() && system::has_package_lists() => {
                Some(format!("{} from its package", self.program))
            }
            None => None,
        }
    }
}

#[rustfmt::skip] // A table.
pub(super) const NEEDS: [Need; 18] = [
    Need::new("dockerd", &["docker.io"], Some("docker"), "targets are containers of a real Docker engine"),
    Need::new("docker", &["docker.io"], Some("docker"), "starts and inspects those containers"),
    Need::new("dpkg", &["dpkg"], Some("dpkg"), "unpacks nginx from its package"),
    Need::new("nginx", &[], Some("nginx"), "the application in the containers"),
    Need::new("ip", &["iproute2"], Some("iproute"), "network namespaces, links and addresses of the tests"),
    Need::new("nsenter", &["util-linux"], Some("util-linux"), "runs clients inside a target's namespaces"),
    Need::new("curl", &["curl"], Some("curl"), "an HTTP client that others have, HTTP/2 included"),
    Need::new("openssl", &["openssl"], Some("openssl"), "certificate of the TLS target, and a TLS client"),
    Need::new("h2load", &["nghttp2-client"], Some("nghttp2"), "load over HTTP/2"),
    Need::new("iptables", &["iptables"], Some("iptables-nft"), "how others make the same fault, for the bench"),
    Need::new("wrk", &["wrk"], Some("wrk"), "load over HTTP/1.1"),
    Need::new("python3", &["python3", "python3-venv"], Some("python3"), "servers and clients of PyPI"),
    Need::new("node", &["nodejs"], Some("nodejs"), "a server and a client in JavaScript"),
    Need::new("npm", &["npm"], Some("nodejs-npm"), "installs the client's package"),
    Need::new("java", &["default-jdk-headless"], Some("java-devel"), "a server and a client in Java"),
    Need::new("javac", &["default-jdk-headless"], Some("java-devel"), "compiles them"),
    Need::new("go", &["golang-go"], Some("golang"), "compiles a server in Go"),
    Need::new("tar", &["tar"], Some("tar"), "packs the image of the containers"),
];

/// What is not there.
pub(super) fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.found().is_none()).collect()
}
