//! The agent in pieces over Run Command, for hosts that have nothing but Systems Manager.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use httpfault_common::contract::ExperimentId;
use tokio::time::{Instant, sleep};

use super::{Delivered, Found, found, not_delivered};
use crate::{
    agents::{self, AgentFile},
    aws::{
        config::Cloud,
        dispatch::{Action, Sent},
        error::ApiError,
        limit::{INSTANCES_PER_COMMAND, piece_bytes},
        scripts,
    },
    fleet::InstanceId,
};

/// Pieces on their way. An SSM agent takes a message every 2 to 2.5 s, so with two looks in that time it never waits
/// for the next one; and what somebody else sends to the host waits behind five messages at most.
const IN_FLIGHT: usize = 5;
/// A piece that arrives damaged is sent again.
const ROUNDS: usize = 3;
/// How long a host may work on a piece.
const EXECUTION: Duration = Duration::from_secs(60);
/// Smaller pieces would take a host longer than its patience.
const LEAST_BYTES: usize = 8_000;
/// SSM's word for a document that is too large with its parameters.
const TOO_LARGE: &str = "MaxDocumentSizeExceeded";

struct Piece<'a> {
    name: String,
    data: &'a [u8],
}

type Lacking = BTreeMap<InstanceId, BTreeSet<String>>;

impl Cloud {
    /// In pieces of half the size where Systems Manager finds them too large: what exactly it counts is not written
    /// down anywhere.
    pub(super) async fn send_pieces(
        &self,
        experiment: &ExperimentId,
        file: &AgentFile,
        lacking: Lacking,
        say: &dyn Fn(String),
    ) -> Result<Delivered, ApiError> {
        let mut bytes = piece_bytes(self.document.is_some());
        loop {
            let result = self.send_pieces_of(bytes, experiment, file, lacking.clone(), say).await;
            match &result {
                Err(ApiError::Service { code, .. }) if code == TOO_LARGE && bytes / 2 >= LEAST_BYTES => {
                    bytes /= 2;
                    say(format!("pieces are too large for a document, sending {bytes} bytes at a time"));
                }
                _ => return result,
            }
        }
    }

    async fn send_pieces_of(
        &self,
        bytes: usize,
        experiment: &ExperimentId,
        file: &AgentFile,
        mut lacking: Lacking,
        say: &dyn Fn(String),
    ) -> Result<Delivered, ApiError> {
        let compressed = file.compressed.clone().unwrap_or_default();
        let pieces: Vec<Piece<'_>> = compressed
            .chunks(bytes)
            .map(|data| Piece { name: agents::sha256(data).chars().take(16).collect(), data })
            .collect();
        let names: Vec<String> = pieces.iter().map(|piece| piece.name.clone()).collect();
        let install = scripts::install(&file.sha256, &names);
        let mut delivered = Delivered::new();
        for _round in 0..ROUNDS {
            self.send_missing(experiment, file, &pieces, &lacking, say).await?;
            let hosts: Vec<InstanceId> = lacking.keys().cloned().collect();
            let answers = self.ask(Action::Install, Some(experiment), &install, &hosts).await?;
            lacking.clear();
            for answer in answers {
                match found(&answer) {
                    Found::Ready => drop(delivered.insert(answer.instance, Ok(()))),
                    // The install script lists what is missing; all else is there.
                    Found::Missing { have: missing, .. } => {
                        let have = names.iter().filter(|name| !missing.contains(*name)).cloned().collect();
                        lacking.insert(answer.instance, have);
                    }
                    Found::Unclear(problem) => drop(delivered.insert(answer.instance, Err(problem))),
                }
            }
            if lacking.is_empty() {
                break;
            }
        }
        for instance in lacking.into_keys() {
            let reason = format!("pieces of the agent did not arrive in {ROUNDS} rounds");
            delivered.insert(instance.clone(), Err(not_delivered(&instance, reason)));
        }
        Ok(delivered)
    }

    /// Each piece goes to the hosts that lack it, a few pieces at a time. Whether they arrived is asked by `install`.
    async fn send_missing(
        &self,
        experiment: &ExperimentId,
        file: &AgentFile,
        pieces: &[Piece<'_>],
        lacking: &Lacking,
        say: &dyn Fn(String),
    ) -> Result<(), ApiError> {
        let mut flight: VecDeque<Vec<Sent>> = VecDeque::new();
        for (number, piece) in pieces.iter().enumerate() {
            let lacks = lacking.iter().filter(|(_, have)| !have.contains(&piece.name));
            let hosts: Vec<InstanceId> = lacks.map(|(instance, _)| instance.clone()).collect();
            if hosts.is_empty() {
                continue;
            }
            while flight.len() >= IN_FLIGHT {
                self.until_first_landed(&mut flight).await?;
            }
            let script = scripts::piece(&file.sha256, &piece.name, piece.data);
            let mut sent = Vec::new();
            for chunk in hosts.chunks(INSTANCES_PER_COMMAND) {
                self.send(Action::Piece, Some(experiment), &script, chunk, EXECUTION, &mut sent).await?;
            }
            flight.push_back(sent);
            if (number + 1) % IN_FLIGHT == 0 || number + 1 == pieces.len() {
                say(format!("sent piece {} of {}", number + 1, pieces.len()));
            }
        }
        while !flight.is_empty() {
            self.until_first_landed(&mut flight).await?;
        }
        Ok(())
    }

    /// Waits for the oldest piece on its way, at most as long as a host may take to answer.
    async fn until_first_landed(&self, flight: &mut VecDeque<Vec<Sent>>) -> Result<(), ApiError> {
        let Some(first) = flight.pop_front() else { return Ok(()) };
        let end = Instant::now() + self.answer_within();
        for sent in first {
            // A look that failed, for lack of rate or network, says nothing: there is another.
            while !self.has_landed(&sent).await.unwrap_or(false) && Instant::now() < end {
                sleep(self.poll() * 2 / 5).await;
            }
        }
        Ok(())
    }

    async fn has_landed(&self, sent: &Sent) -> Result<bool, ApiError> {
        Ok(self.look(sent).await?.values().all(crate::aws::State::is_final))
    }
}
