//! How each client tells what became of a request.

use std::{io::ErrorKind, time::Instant};

use super::Client;
use crate::{
    load::{Outcome, Sample},
    wire::Broken,
};

/// What curl writes after each transfer.
pub(super) const CURL: &str = "%{exitcode} %{http_code} %header{x-app} %header{x-httpfault}";

/// curl's exit codes: the other side closed before the answer, or within it.
const CURL_CLOSED: &str = "52";
const CURL_CUT: &str = "18";

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) outcome: Outcome,
    pub(super) remark: Option<String>,
}

/// `None` for a line that tells no request.
pub(super) fn read(client: Client, line: &str) -> Option<Line> {
    let outcome = match client {
        Client::Curl => curl(line)?,
        Client::H2load => h2load(line)?,
        Client::Wrk
        | Client::Requests
        | Client::Httpx
        | Client::HttpxH2
        | Client::Undici
        | Client::Java
        | Client::Grpc => word(line)?,
    };
    let good = matches!(outcome, Outcome::Real | Outcome::Fault | Outcome::Retried);
    Some(Line { outcome, remark: (!good).then(|| line.to_owned()) })
}

/// What a client tells only when it ends: wrk's errors. It does not tell an orderly close from others.
pub(super) fn at_end(client: Client, said: &str, now: Instant) -> Vec<Sample> {
    let errors = said.lines().find(|line| client == Client::Wrk && line.contains("Socket errors:"));
    // connect 0, read 1, write 0, timeout 0
    let counts = errors.into_iter().flat_map(|line| line.split(|byte: char| !byte.is_ascii_digit()));
    let lost: usize = counts.filter_map(|word| word.parse::<usize>().ok()).sum();
    vec![Sample { sent: now, ended: now, outcome: LOST }; lost]
}

const LOST: Outcome = Outcome::Broken(Broken::Other(ErrorKind::Other));

/// The words of `tests/clients/python/loop.py`.
fn word(line: &str) -> Option<Outcome> {
    Some(match line.split(' ').next()? {
        "real" => Outcome::Real,
        "fault" => Outcome::Fault,
        "closed" => Outcome::Retried,
        "cut" => Outcome::Broken(Broken::Truncated),
        "lost" => LOST,
        _ => return None,
    })
}

fn curl(line: &str) -> Option<Outcome> {
    let mut words = line.split(' ');
    let (code, status, app, fault) = (words.next()?, words.next()?, words.next()?, words.next()?);
    Some(match code {
        "0" if !fault.is_empty() => Outcome::Fault,
        "0" if app == "real" && status == "200" => Outcome::Real,
        "0" => Outcome::Strange(status.parse().ok()?),
        CURL_CLOSED => Outcome::Retried,
        CURL_CUT => Outcome::Broken(Broken::Truncated),
        _ => LOST,
    })
}

/// Start, status (-1 without an answer) and time of a request. Headers are not told; the server sends no other 503. One
/// without a start was never sent: h2load asks nothing more over a connection after a GOAWAY, and opens no other one.
fn h2load(line: &str) -> Option<Outcome> {
    let mut words = line.split('\t');
    let (start, status) = (words.next()?.parse::<u64>().ok()?, words.next()?.parse::<i32>().ok()?);
    (start != 0).then_some(match status {
        200 => Outcome::Real,
        503 => Outcome::Fault,
        _ => LOST,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(client: Client, line: &str) -> Option<Outcome> {
        read(client, line).map(|line| line.outcome)
    }

    #[test]
    fn each_client_has_its_way_of_telling() {
        assert_eq!(outcome(Client::Curl, "0 200 real "), Some(Outcome::Real));
        assert_eq!(outcome(Client::Curl, "0 503  web-1"), Some(Outcome::Fault));
        assert_eq!(outcome(Client::Curl, "52 000  "), Some(Outcome::Retried));
        assert_eq!(outcome(Client::H2load, "1700000000000000\t200\t123"), Some(Outcome::Real));
        assert_eq!(outcome(Client::H2load, "0\t-1\t26220788203"), None);
        assert_eq!(outcome(Client::H2load, "finished in 1.00s"), None);
        assert_eq!(
            outcome(Client::Java, "cut fixed content-length"),
            Some(Outcome::Broken(Broken::Truncated))
        );
        assert_eq!(read(Client::Java, "lost reset").unwrap().remark.as_deref(), Some("lost reset"));
    }

    #[test]
    fn wrk_tells_its_errors_at_the_end() {
        let said = "  100 requests in 1s\n  Socket errors: connect 0, read 3, write 0, timeout 1\n";
        assert_eq!(at_end(Client::Wrk, said, Instant::now()).len(), 4);
        assert_eq!(at_end(Client::Curl, said, Instant::now()).len(), 0);
    }
}
