//! Brings the agent to hosts that lack it, in steps that can be repeated: look, send what is missing, put together.

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::{ExperimentId, Problem};

use super::{config::Cloud, dispatch::Action, error::ApiError, scripts, wait::Answer};
use crate::{
    agents::{self, AgentFile},
    fleet::InstanceId,
    plan::{INSTANCES_PER_COMMAND, PIECE_BYTES},
    tunables::{AgentSource, Agents, Architecture},
};

/// A host's SSM agent runs five commands at once; more would wait, and a cancel behind them.
const IN_FLIGHT: usize = 5;
/// A piece that arrives damaged is sent again.
const ROUNDS: usize = 3;

/// What became of delivery on each host: `None` is success.
pub(crate) type Delivered = BTreeMap<InstanceId, Option<Problem>>;

/// What a host said about the agent.
enum Found {
    Ready,
    /// The names of the pieces that are there.
    Missing {
        have: BTreeSet<String>,
        damaged: bool,
    },
    Unclear(String),
}

struct Piece<'a> {
    name: String,
    data: &'a [u8],
}

impl Cloud {
    /// Makes sure that each host has its agent, or says why not.
    pub(crate) async fn deliver(
        &self,
        experiment: &ExperimentId,
        hosts: &BTreeMap<InstanceId, Architecture>,
        files: &BTreeMap<Architecture, AgentFile>,
        settings: &Agents,
        say: &dyn Fn(String),
    ) -> Result<Delivered, ApiError> {
        let mut delivered = Delivered::new();
        for (architecture, file) in files {
            let here: Vec<InstanceId> =
                hosts.iter().filter(|(_, of)| *of == architecture).map(|(id, _)| id.clone()).collect();
            if here.is_empty() {
                continue;
            }
            let found = self.probe(experiment, file, &here).await?;
            let mut lacking = BTreeMap::new();
            for (instance, found) in found {
                match found {
                    Found::Ready => drop(delivered.insert(instance, None)),
                    Found::Missing { have, damaged } => match obstacle(&instance, file, settings, damaged) {
                        Some(problem) => drop(delivered.insert(instance, Some(problem))),
                        None => drop(lacking.insert(instance, have)),
                    },
                    Found::Unclear(reason) => {
                        let problem = not_delivered(&instance, reason);
                        delivered.insert(instance, Some(problem));
                    }
                }
            }
            if lacking.is_empty() {
                continue;
            }
            say(format!("bringing the agent to {} host(s) ({architecture})", lacking.len()));
            match (&settings.url, settings.source) {
                (Some(url), AgentSource::Url) => {
                    let url = url.replace("{arch}", architecture.as_str());
                    delivered.extend(self.fetch(experiment, file, &url, lacking).await?);
                }
                _ => delivered.extend(self.send_pieces(experiment, file, lacking, say).await?),
            }
        }
        Ok(delivered)
    }

    async fn probe(
        &self,
        experiment: &ExperimentId,
        file: &AgentFile,
        hosts: &[InstanceId],
    ) -> Result<Vec<(InstanceId, Found)>, ApiError> {
        let script = scripts::probe(&file.sha256);
        let answers = self.ask(Action::Probe, Some(experiment), &script, hosts).await?;
        Ok(answers.into_iter().map(|answer| (answer.instance.clone(), found(&answer))).collect())
    }

    async fn fetch(
        &self,
        experiment: &ExperimentId,
        file: &AgentFile,
        url: &str,
        lacking: BTreeMap<InstanceId, BTreeSet<String>>,
    ) -> Result<Delivered, ApiError> {
        let hosts: Vec<InstanceId> = lacking.into_keys().collect();
        let script = scripts::fetch(&file.sha256, url);
        let answers = self.ask(Action::Fetch, Some(experiment), &script, &hosts).await?;
        let judged = answers.into_iter().map(|answer| {
            let problem = match found(&answer) {
                Found::Ready => None,
                Found::Missing { .. } | Found::Unclear(_) => Some(not_delivered(
                    &answer.instance,
                    format!("downloading the agent: {}", answer.failure()),
                )),
            };
            (answer.instance, problem)
        });
        Ok(judged.collect())
    }

    async fn send_pieces(
        &self,
        experiment: &ExperimentId,
        file: &AgentFile,
        mut lacking: BTreeMap<InstanceId, BTreeSet<String>>,
        say: &dyn Fn(String),
    ) -> Result<Delivered, ApiError> {
        let bytes = file.compressed.clone().unwrap_or_default();
        let pieces: Vec<Piece<'_>> = bytes
            .chunks(PIECE_BYTES)
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
                    Found::Ready => drop(delivered.insert(answer.instance, None)),
                    // The install script lists what is missing; all else is there.
                    Found::Missing { have: missing, .. } => {
                        let have = names.iter().filter(|name| !missing.contains(*name)).cloned().collect();
                        lacking.insert(answer.instance, have);
                    }
                    Found::Unclear(reason) => {
                        let problem = not_delivered(&answer.instance, reason);
                        delivered.insert(answer.instance, Some(problem));
                    }
                }
            }
            if lacking.is_empty() {
                break;
            }
        }
        for instance in lacking.into_keys() {
            let reason = format!("pieces of the agent did not arrive in {ROUNDS} rounds");
            delivered.insert(instance.clone(), Some(not_delivered(&instance, reason)));
        }
        Ok(delivered)
    }

    /// Each piece goes to the hosts that lack it, a few pieces at a time. Whether they arrived is asked by `install`.
    async fn send_missing(
        &self,
        experiment: &ExperimentId,
        file: &AgentFile,
        pieces: &[Piece<'_>],
        lacking: &BTreeMap<InstanceId, BTreeSet<String>>,
        say: &dyn Fn(String),
    ) -> Result<(), ApiError> {
        let mut flight = Vec::new();
        let mut in_flight = 0;
        for (number, piece) in pieces.iter().enumerate() {
            let hosts: Vec<InstanceId> = lacking
                .iter()
                .filter(|(_, have)| !have.contains(&piece.name))
                .map(|(instance, _)| instance.clone())
                .collect();
            let script = scripts::piece(&file.sha256, &piece.name, piece.data);
            for chunk in hosts.chunks(INSTANCES_PER_COMMAND) {
                let execution = std::time::Duration::from_secs(60);
                self.send(Action::Piece, Some(experiment), &script, chunk, execution, &mut flight).await?;
            }
            in_flight += usize::from(!hosts.is_empty());
            if in_flight == IN_FLIGHT || (number + 1 == pieces.len() && in_flight > 0) {
                // Hosts run commands in order: when the last of the flight is over, so are the others, or almost.
                if let Some(last) = flight.last() {
                    self.finish(last, self.answer_within).await?;
                }
                flight.clear();
                in_flight = 0;
                say(format!("sent piece {} of {}", number + 1, pieces.len()));
            }
        }
        Ok(())
    }
}

/// Why an agent that is missing can't be brought.
fn obstacle(instance: &InstanceId, file: &AgentFile, settings: &Agents, damaged: bool) -> Option<Problem> {
    let state = if damaged { "damaged" } else { "missing" };
    let subject = format!("instance {instance}");
    let problem = format!("the agent with SHA-256 {} is {state}", file.sha256);
    let next = if settings.source == AgentSource::Preinstalled {
        "AGENT_DELIVERY=preinstalled does not bring it: put it in the image as /usr/local/bin/httpfault-agent, or \
         choose another delivery"
    } else if !settings.install {
        "INSTALL_DEPENDENCIES=false does not bring it: set it to true, or put it in the image as \
         /usr/local/bin/httpfault-agent"
    } else if settings.source == AgentSource::Ssm && file.compressed.is_none() {
        "AGENT_DELIVERY=ssm needs the file itself: set AGENT_DIR"
    } else {
        return None;
    };
    Some(Problem { subject, problem, next: next.to_owned() })
}

fn not_delivered(instance: &InstanceId, reason: String) -> Problem {
    Problem {
        subject: format!("instance {instance}"),
        problem: reason,
        next: "look at the command in SSM's history, or try another AGENT_DELIVERY".to_owned(),
    }
}

/// Reads the last line that a script of this module printed.
fn found(answer: &Answer) -> Found {
    let verdict = answer.stdout.lines().rev().find_map(|line| line.trim().strip_prefix("httpfault: "));
    let mut words = verdict.unwrap_or("").split_whitespace();
    let unclear = || Found::Unclear(answer.failure());
    if !answer.succeeded() {
        return unclear();
    }
    match words.next() {
        Some("ready") => Found::Ready,
        Some("damaged") => Found::Missing { have: words.map(str::to_owned).collect(), damaged: true },
        Some("absent" | "missing") => {
            Found::Missing { have: words.map(str::to_owned).collect(), damaged: false }
        }
        _ => unclear(),
    }
}
