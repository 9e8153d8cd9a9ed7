//! What the loaded kernel programs say to whatever may come: the kernel runs them with contexts and packets that are made
//! here, thousands of them, most of which are none of the fault's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use httpfault_tests::{
    agent::experiment,
    bpf::{Lookup, Program},
    site::Site,
};

/// The kernel goes on with its own lookup; there is no other verdict of ours.
const SK_PASS: u32 = 1;
const RUNS: u32 = 20_000;
/// Bytes of a header that the kernel takes off a frame before the program sees it.
const ETHERNET: usize = 14;
const PORTS: [u16; 6] = [80, 20000, 81, 443, 0, u16::MAX];

/// A new connection that may be the target's.
#[derive(Debug)]
struct Syn {
    lookup: Lookup,
    is_targets: bool,
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// Some addresses mean something to the programs; the others are anything, and those that differ in one bit.
fn address(rng: &mut Rng, known: &[IpAddr], is_v4: bool) -> IpAddr {
    let known: Vec<IpAddr> = known.iter().copied().filter(|known| known.is_ipv4() == is_v4).collect();
    match (rng.u8(..4), one_of(rng, &known)) {
        (0, IpAddr::V4(_)) => Ipv4Addr::from(rng.u32(..)).into(),
        (0, IpAddr::V6(_)) => Ipv6Addr::from(rng.u128(..)).into(),
        (1, IpAddr::V4(near)) => Ipv4Addr::from(u32::from(near) ^ 1 << rng.u32(..32)).into(),
        (1, IpAddr::V6(near)) => Ipv6Addr::from(u128::from(near) ^ 1 << rng.u32(..128)).into(),
        (_, known) => known,
    }
}

fn syn(rng: &mut Rng, served: [IpAddr; 2], client: [IpAddr; 2]) -> Syn {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let known: Vec<IpAddr> = [served, client, loopback].concat();
    let is_v4 = rng.bool();
    let [local, remote] = [(); 2].map(|()| address(rng, &known, is_v4));
    let port = one_of(rng, &PORTS);
    let remote = SocketAddr::new(remote, rng.u16(..));
    let mut lookup = Lookup::tcp(remote, SocketAddr::new(local, port));
    let is_tcp = rng.u8(..8) > 0;
    if !is_tcp {
        lookup.protocol = nix::libc::IPPROTO_UDP.cast_unsigned();
    }
    let is_own = |ip: IpAddr| served.contains(&ip) || ip.is_loopback();
    let is_targets = is_tcp && port == 80 && is_own(local) && !is_own(remote.ip());
    Syn { lookup, is_targets }
}

/// A connection is given to the responder if it is the target's, and else it is left to the kernel.
#[test]
fn steering_chooses_the_targets_connections_alone() -> Result<()> {
    let site = Site::take("verdicts")?;
    let agent = site.inject(&experiment("verdicts"), &[])?;
    let program = Program::find("httpfault_steer")?;
    let served = site.addresses().map(|address| address.ip());
    let client = [site.open(site.v4())?, site.open(site.v6())?];
    let client = [client[0].local()?.ip(), client[1].local()?.ip()];

    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let (mut chosen, mut left) = (0, 0);
    for _ in 0..RUNS {
        let syn = syn(&mut rng, served, client);
        let (verdict, socket) = program.look_up(&syn.lookup)?;
        ensure!(verdict == SK_PASS, "verdict {verdict}, seed {seed}: {syn:?}");
        ensure!((socket != 0) == syn.is_targets, "socket {socket}, seed {seed}: {syn:?}");
        *(if syn.is_targets { &mut chosen } else { &mut left }) += 1;
    }
    ensure!(chosen > RUNS / 100 && left > RUNS / 2, "{chosen} chosen, {left} left, seed {seed}");

    assert_eq!(agent.terminate()?.code()?, 130);
    Ok(())
}

/// When the lease has lapsed nothing is chosen any more, although the program may still be attached.
#[test]
fn without_a_lease_nothing_is_chosen() -> Result<()> {
    let site = Site::take("no-lease")?;
    let agent = site.inject(&experiment("no-lease"), &["--duration", "1"])?;
    let program = Program::find("httpfault_steer")?;
    let lookup = Lookup::tcp(SocketAddr::new("203.0.113.1".parse()?, 40000), site.v4());
    assert_ne!(program.look_up(&lookup)?.1, 0, "it is the target's");
    // The program is held by this process, beyond the fault.
    assert_eq!(agent.ended()?.code()?, 2, "nobody asked for anything");
    assert_eq!(program.look_up(&lookup)?, (SK_PASS, 0));
    Ok(())
}

/// The gate lets every packet in that is not of a connection that it watches, whatever is in it.
#[test]
fn the_gate_lets_in_what_it_does_not_watch() -> Result<()> {
    let site = Site::take("gate")?;
    let agent = site.inject(&experiment("gate"), &["--existing-connections", "reset"])?;
    let program = Program::find("httpfault_gate")?;
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..RUNS / 10 {
        let mut frame = vec![0; rng.usize(ETHERNET..1500)];
        rng.fill(&mut frame);
        let let_in = program.filter(&frame)?;
        let length = u32::try_from(frame.len() - ETHERNET).context("a short frame")?;
        ensure!(let_in >= length, "{let_in} of {length} bytes, seed {seed}: {frame:?}");
    }
    assert_eq!(agent.terminate()?.code()?, 130);
    Ok(())
}
