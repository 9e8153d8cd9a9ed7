//! How far TCP has received on a connection, which no system call tells: a kernel program that is attached nowhere looks
//! the connection up.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use anyhow::Context as _;
use httpfault_common::abi::existing::{QUESTION_AT, Question};

use super::bpf;

const WORD: usize = size_of::<u32>();
const WORDS: usize = size_of::<Question>() / WORD;
const PACKET: usize = QUESTION_AT + size_of::<Question>();

/// The loaded program.
#[derive(Debug)]
pub(crate) struct Received(OwnedFd);

impl Received {
    pub(super) fn of(program: BorrowedFd<'_>) -> anyhow::Result<Self> {
        Ok(Self(program.try_clone_to_owned().context("copying a descriptor")?))
    }

    /// The sequence number that TCP expects next on a connection of this thread's namespace; `None` where there is no such
    /// connection.
    pub(crate) fn next(&self, local: SocketAddr, remote: SocketAddr) -> anyhow::Result<Option<u32>> {
        let words = words(&question(local, remote));
        let mut packet = [0; PACKET];
        let places = packet.iter_mut().skip(QUESTION_AT);
        places.zip(words.into_iter().flat_map(u32::to_ne_bytes)).for_each(|(place, byte)| *place = byte);
        let answer = bpf::run_program(self.0.as_fd(), &packet).context("asking how far TCP has received")?;
        let word = |index: usize| {
            let at = QUESTION_AT + index * WORD;
            answer.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
        };
        Ok(word(1).filter(|answered| *answered == 1).and(word(2)))
    }
}

/// As the client's segments have it: from the remote address to the local one.
fn question(local: SocketAddr, remote: SocketAddr) -> Question {
    let ports = [remote.port().to_be_bytes(), local.port().to_be_bytes()];
    let [[a, b], [c, d]] = ports;
    let ports = u32::from_ne_bytes([a, b, c, d]);
    let mut tuple = [0; 9];
    let parts: Vec<u32> = match (remote.ip(), local.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            [from, to].iter().map(|ip| u32::from_ne_bytes(ip.octets())).collect()
        }
        (from, to) => [from, to].into_iter().flat_map(v6_words).collect(),
    };
    let v6 = u32::from(parts.len() > 2);
    tuple.iter_mut().zip(parts.into_iter().chain([ports])).for_each(|(place, word)| *place = word);
    Question { v6, tuple, ..Question::default() }
}

fn v6_words(ip: IpAddr) -> [u32; 4] {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = ip.octets();
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes)
}

/// In the order of its fields.
fn words(question: &Question) -> [u32; WORDS] {
    let Question { v6, answered, next, tuple: [a, b, c, d, e, f, g, h, i] } = *question;
    [v6, answered, next, a, b, c, d, e, f, g, h, i]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_source() {
        let asked = question(([10, 0, 0, 1], 80).into(), ([10, 0, 0, 2], 0x1234).into());
        assert_eq!(asked.v6, 0);
        let bytes: Vec<u8> = asked.tuple.iter().take(3).flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(bytes, [10, 0, 0, 2, 10, 0, 0, 1, 0x12, 0x34, 0, 80]);
    }

    #[test]
    fn an_address_of_ipv6_takes_four_words() {
        let asked = question("[fd00::1]:80".parse().unwrap(), "[fd00::2]:4660".parse().unwrap());
        assert_eq!(asked.v6, 1);
        let bytes: Vec<u8> = asked.tuple.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(bytes.get(..2), Some(&[0xfd, 0][..]));
        assert_eq!(bytes.get(15), Some(&2));
        assert_eq!(bytes.get(31..), Some(&[1, 0x12, 0x34, 0, 80][..]));
    }
}
