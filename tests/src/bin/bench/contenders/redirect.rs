//! The rule that takes a port's traffic in the usual way.

use std::process::Command;

use anyhow::Result;
use httpfault_tests::{command::output, netns::Namespace};

/// A REDIRECT of what comes from outside; the rule goes with its namespace, or when it is asked to.
#[derive(Debug)]
pub(crate) struct Redirect<'a> {
    namespace: &'a Namespace,
    from: u16,
    to: u16,
}

impl<'a> Redirect<'a> {
    pub(crate) fn insert(namespace: &'a Namespace, from: u16, to: u16) -> Result<Self> {
        let rule = Self { namespace, from, to };
        rule.iptables("-I")?;
        Ok(rule)
    }

    pub(crate) fn peer(namespace: &'a Namespace) -> Result<Self> {
        Self::insert(namespace, 80, super::PEER_PORT)
    }

    pub(crate) fn delete(self) -> Result<()> {
        self.iptables("-D")
    }

    fn iptables(&self, verb: &str) -> Result<()> {
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let rule = ["PREROUTING", "-p", "tcp", "--dport", &from, "-j", "REDIRECT", "--to-ports", &to];
        let mut iptables = Command::new("iptables");
        iptables.args(["-w", "-t", "nat", verb]).args(rule);
        // From a thread that is in the namespace, so that no other program is executed before it.
        self.namespace.run(|| output(&mut iptables)).map(drop)
    }
}
