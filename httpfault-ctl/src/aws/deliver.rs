//! Brings the agent to hosts that lack it, in steps that can be repeated: look, bring what is missing, in one command
//! where hosts can get it themselves.

mod pieces;

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::{ExperimentId, Problem};

use super::{
    config::Cloud,
    dispatch::Action,
    error::ApiError,
    scripts::{self, Work},
    wait::Answer,
};
use crate::{
    agents::AgentFile,
    fleet::InstanceId,
    tunables::{Agents, Architecture, Delivery},
};

/// What became of delivery on each host.
pub(crate) type Delivered = BTreeMap<InstanceId, Result<(), Problem>>;

/// What a host said about the agent.
enum Found {
    Ready,
    /// The names of the pieces that are there.
    Missing {
        have: BTreeSet<String>,
        damaged: bool,
    },
    Unclear(Problem),
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
    ) -> anyhow::Result<Delivered> {
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
                    Found::Ready => drop(delivered.insert(instance, Ok(()))),
                    Found::Missing { have, damaged } => match may_bring(&instance, file, settings, damaged) {
                        Err(problem) => drop(delivered.insert(instance, Err(problem))),
                        Ok(()) => drop(lacking.insert(instance, have)),
                    },
                    Found::Unclear(problem) => drop(delivered.insert(instance, Err(problem))),
                }
            }
            if lacking.is_empty() {
                continue;
            }
            say(format!("bringing the agent to {} host(s) ({architecture})", lacking.len()));
            delivered.extend(match self.script_for(*architecture, file, &settings.delivery).await? {
                Some(script) => self.bring(experiment, &script, lacking).await?,
                None => self.send_pieces(experiment, file, lacking, say).await?,
            });
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

    /// What brings the agent in one command; `None` where it has to go in pieces.
    async fn script_for(
        &self,
        architecture: Architecture,
        file: &AgentFile,
        delivery: &Delivery,
    ) -> anyhow::Result<Option<Work>> {
        let sum = &file.sha256;
        Ok(match delivery {
            Delivery::Url(url) => Some(scripts::from_url(sum, &url.replace("{arch}", architecture.as_str()))),
            Delivery::S3(object) => {
                let object = object.of(architecture);
                let address = self.address(&object).await?;
                Some(scripts::from_s3(sum, &object.to_string(), &address))
            }
            Delivery::Image(image) => Some(scripts::from_image(sum, image)),
            Delivery::Pieces | Delivery::Preinstalled => None,
        })
    }

    async fn bring(
        &self,
        experiment: &ExperimentId,
        script: &Work,
        lacking: BTreeMap<InstanceId, BTreeSet<String>>,
    ) -> Result<Delivered, ApiError> {
        let hosts: Vec<InstanceId> = lacking.into_keys().collect();
        let answers = self.ask(Action::Fetch, Some(experiment), script, &hosts).await?;
        let judged = answers.into_iter().map(|answer| {
            let outcome = match found(&answer) {
                Found::Ready => Ok(()),
                Found::Missing { .. } | Found::Unclear(_) => Err(not_delivered(
                    &answer.instance,
                    format!("downloading the agent: {}", answer.failure()),
                )),
            };
            (answer.instance, outcome)
        });
        Ok(judged.collect())
    }
}

/// Whether an agent that is missing can be brought, or why not.
fn may_bring(
    instance: &InstanceId,
    file: &AgentFile,
    settings: &Agents,
    damaged: bool,
) -> Result<(), Problem> {
    let state = if damaged { "damaged" } else { "missing" };
    let subject = format!("instance {instance}");
    let problem = format!("the agent with SHA-256 {} is {state}", file.sha256);
    let next = if settings.delivery == Delivery::Preinstalled {
        "AGENT_DELIVERY=preinstalled does not bring it: put it in the image as /usr/local/bin/httpfault-agent, or \
         choose another delivery"
    } else if !settings.install {
        "INSTALL_DEPENDENCIES=false does not bring it: set it to true, or put it in the image as \
         /usr/local/bin/httpfault-agent"
    } else if settings.delivery == Delivery::Pieces && file.compressed.is_none() {
        "sending it in pieces needs the file itself: set AGENT_DIR"
    } else {
        return Ok(());
    };
    Err(Problem { subject, problem, next: next.to_owned() })
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
    let unclear = || {
        let mut problem = not_delivered(&answer.instance, answer.failure());
        if !answer.state.is_final() {
            "look which commands keep its SSM agent busy, or whether it runs; then try again"
                .clone_into(&mut problem.next);
        }
        Found::Unclear(problem)
    };
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
