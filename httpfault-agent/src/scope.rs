//! Which addresses a fault covers: those that the target listens on, on the chosen interface. No I/O.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use httpfault_common::abi::{address, flag};
use serde::{Deserialize, Serialize};

use crate::sockets::Listener;

/// NETWORK_INTERFACE for every interface.
pub(crate) const AUTO: &str = "auto";

/// An address that the target listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) ip: IpAddr,
    /// For `::`: whether it takes IPv6 only (IPV6_V6ONLY, RFC 3493 section 5.3).
    pub(crate) only_v6: bool,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceAddress {
    pub(crate) interface: String,
    pub(crate) ip: IpAddr,
}

/// What the kernel programs need to know, and where the application answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    /// The namespace's addresses with `abi::address` flags.
    pub(crate) addresses: BTreeMap<IpAddr, u32>,
    /// `abi::flag` bits.
    pub(crate) flags: u32,
    /// An address at which the application can be reached from inside, for each family.
    pub(crate) inside4: Option<SocketAddr>,
    pub(crate) inside6: Option<SocketAddr>,
    /// The interfaces in scope.
    pub(crate) interfaces: Vec<String>,
}

impl Scope {
    /// Computes the scope: where the target's listeners get connections, and not those of others on the same port.
    /// `interface` is [`AUTO`] or a name that exists.
    pub(crate) fn of(
        listening: &[Listening],
        foreign: &[Listening],
        own: &[InterfaceAddress],
        interface: &str,
        port: u16,
    ) -> Self {
        let chosen = |name: &str| interface == AUTO || interface == name;
        let best = |among: &[Listening], ip: IpAddr| among.iter().filter_map(|one| one.fit(ip)).max();
        let served = |ip: IpAddr| best(listening, ip) > best(foreign, ip);
        let mut scope = Self::default();
        for InterfaceAddress { interface, ip } in own {
            let in_scope = chosen(interface) && served(*ip);
            let flags = if in_scope { address::OWN | address::SERVED } else { address::OWN };
            *scope.addresses.entry(*ip).or_default() |= flags;
            if chosen(interface) && !scope.interfaces.contains(interface) {
                scope.interfaces.push(interface.clone());
            }
        }
        for (loopback, bit) in [
            (IpAddr::from(Ipv4Addr::LOCALHOST), flag::LOOPBACK4),
            (IpAddr::from(Ipv6Addr::LOCALHOST), flag::LOOPBACK6),
        ] {
            if chosen("lo") && served(loopback) {
                scope.flags |= bit;
            }
        }
        // A target that listens on 127.0.0.1 alone does not serve the rest of 127.0.0.0/8; nor all of it where somebody
        // else listens on one address of it.
        let others = foreign.iter().any(|listener| listener.ip.is_ipv4() && listener.ip.is_loopback());
        if others || !served(Ipv4Addr::new(127, 255, 0, 1).into()) {
            scope.flags &= !flag::LOOPBACK4;
        }
        let inside = |v4: bool| {
            let loopback: IpAddr = if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            let mut known = std::iter::once(loopback).chain(own.iter().map(|address| address.ip));
            known.find(|ip| ip.is_ipv4() == v4 && served(*ip)).map(|ip| SocketAddr::new(ip, port))
        };
        scope.inside4 = inside(true);
        scope.inside6 = inside(false);
        scope
    }

    /// Whether connections to this address are in scope; the same answer as the kernel programs give.
    pub(crate) fn serves(&self, ip: IpAddr) -> bool {
        let family = if ip.is_ipv4() { flag::LOOPBACK4 } else { flag::LOOPBACK6 };
        let flags = self.addresses.get(&ip).copied().unwrap_or(0);
        flags & address::SERVED != 0 || (ip.is_loopback() && self.flags & family != 0)
    }

    /// Whether a peer with this address is inside the namespace; the same answer as the kernel programs give.
    pub(crate) fn is_inside(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains_key(&ip)
    }

    /// Whether any connection at all is in scope.
    pub(crate) fn is_empty(&self) -> bool {
        self.flags == 0 && self.addresses.values().all(|flags| flags & address::SERVED == 0)
    }
}

/// Worse ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    DualStack,
    Wildcard,
    Address,
}

impl Listening {
    pub(crate) fn at(listener: &Listener) -> Self {
        Self { ip: listener.address.ip().to_canonical(), only_v6: listener.only_v6 }
    }

    /// How well it fits a connection to this address, if at all. As the kernel chooses (inet_lookup_listener): its own
    /// address before a wildcard, a wildcard of the family before `::`.
    fn fit(self, ip: IpAddr) -> Option<Fit> {
        let dual = self.ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !self.only_v6;
        if self.ip == ip {
            Some(Fit::Address)
        } else if self.ip.is_unspecified() && self.ip.is_ipv4() == ip.is_ipv4() {
            Some(Fit::Wildcard)
        } else {
            (dual && ip.is_ipv4()).then_some(Fit::DualStack)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<InterfaceAddress> {
        [("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "10.0.0.2"), ("eth1", "10.1.0.2"), ("eth0", "fd00::2")]
            .map(|(interface, ip)| InterfaceAddress { interface: interface.into(), ip: ip.parse().unwrap() })
            .to_vec()
    }

    fn listening(ip: &str, only_v6: bool) -> Listening {
        Listening { ip: ip.parse().unwrap(), only_v6 }
    }

    fn served(scope: &Scope) -> Vec<String> {
        let served = scope.addresses.iter().filter(|(_, flags)| **flags & address::SERVED != 0);
        served.map(|(ip, _)| ip.to_string()).collect()
    }

    #[test]
    fn a_dual_stack_wildcard_serves_both_families() {
        let scope = Scope::of(&[listening("::", false)], &[], &own(), AUTO, 80);
        assert_eq!(served(&scope), ["10.0.0.2", "10.1.0.2", "127.0.0.1", "::1", "fd00::2"]);
        assert_eq!(scope.flags, flag::LOOPBACK4 | flag::LOOPBACK6);
        assert_eq!(scope.inside4, Some("127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_only_wildcard_leaves_ipv4_alone() {
        let scope = Scope::of(&[listening("::", true)], &[], &own(), AUTO, 80);
        assert_eq!(served(&scope), ["::1", "fd00::2"]);
        assert_eq!((scope.flags, scope.inside4), (flag::LOOPBACK6, None));
    }

    #[test]
    fn a_named_interface_limits_the_fault_to_its_addresses() {
        let scope = Scope::of(&[listening("0.0.0.0", false)], &[], &own(), "eth1", 80);
        assert_eq!((served(&scope), scope.flags), (vec!["10.1.0.2".to_owned()], 0));
        assert_eq!(scope.interfaces, ["eth1"]);
        assert_eq!(scope.addresses.len(), 5, "every address still tells inside from outside");
    }

    #[test]
    fn what_another_process_listens_on_is_not_served() {
        let (wildcard, mine) = ([listening("0.0.0.0", false)], [listening("::", false)]);
        let scope = Scope::of(&wildcard, &[listening("10.0.0.2", false)], &own(), AUTO, 80);
        assert_eq!(served(&scope), ["10.1.0.2", "127.0.0.1"]);
        assert_eq!(scope.flags, flag::LOOPBACK4);
        let scope = Scope::of(&wildcard, &[listening("127.0.0.1", false)], &own(), AUTO, 80);
        assert_eq!((served(&scope), scope.flags), (vec!["10.0.0.2".to_owned(), "10.1.0.2".to_owned()], 0));
        assert_eq!(scope.inside4, Some("10.0.0.2:80".parse().unwrap()));
        // A wildcard of the family goes before a dual-stack one, whoever has it.
        let scope = Scope::of(&mine, &wildcard, &own(), AUTO, 80);
        assert_eq!(
            (served(&scope), scope.flags),
            (vec!["::1".to_owned(), "fd00::2".to_owned()], flag::LOOPBACK6)
        );
        let scope = Scope::of(&wildcard, &mine, &own(), AUTO, 80);
        assert_eq!(served(&scope), ["10.0.0.2", "10.1.0.2", "127.0.0.1"]);
    }

    #[test]
    fn a_listener_on_one_address_is_reached_there() {
        let scope = Scope::of(&[listening("10.0.0.2", false)], &[], &own(), AUTO, 80);
        assert_eq!((served(&scope), scope.flags), (vec!["10.0.0.2".to_owned()], 0));
        assert_eq!(scope.inside4, Some("10.0.0.2:80".parse().unwrap()));
        assert!(Scope::of(&[listening("10.0.0.2", false)], &[], &own(), "eth1", 80).is_empty());
    }

    #[test]
    fn a_listener_on_one_loopback_address_does_not_serve_the_whole_block() {
        let scope = Scope::of(&[listening("127.0.0.1", false)], &[], &own(), AUTO, 80);
        assert_eq!((served(&scope), scope.flags), (vec!["127.0.0.1".to_owned()], 0));
    }
}
