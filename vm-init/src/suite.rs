//! What is looked at, scenario by scenario. Each runs the agent anew; a feature that fails takes no other with it.

mod existing;
mod lifecycle;
mod steering;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    finding::{Feature, Finding, Outcome},
    site::Site,
    wait,
};

/// The injected status.
const STATUS: u16 = 503;
/// How long the keeper may take to sweep up.
const SWEPT: Duration = Duration::from_secs(10);

/// What a look at one feature comes to: the outcome and what was seen.
type Seen = (Outcome, String);

/// The site and whom to tell.
struct Looker<'a> {
    site: &'a Site,
    tell: &'a mut dyn FnMut(&Finding) -> Result<()>,
    told: Vec<Feature>,
}

/// Features that are looked at together, by one run of the agent.
type Scenario = (&'static [Feature], fn(&mut Looker<'_>) -> Result<()>);

const SCENARIOS: [Scenario; 8] = [
    (&[Feature::Check], lifecycle::check),
    (
        &[
            Feature::Inbound4,
            Feature::Inbound6,
            Feature::InTask4,
            Feature::InTask6,
            Feature::OtherCgroup,
            Feature::Keep,
            Feature::Status,
            Feature::Verifier,
            Feature::Signal,
        ],
        steering::look,
    ),
    (&[Feature::Drain, Feature::Remove], existing::drain),
    (&[Feature::Reset], existing::reset),
    (&[Feature::Take], existing::take),
    (&[Feature::Forward, Feature::Deadline], lifecycle::forward),
    (&[Feature::Kill], lifecycle::kill),
    (&[Feature::Stop], lifecycle::stop),
];

/// Looks at every feature and tells each exactly once.
pub(crate) fn run(site: &Site, tell: &mut dyn FnMut(&Finding) -> Result<()>) -> Result<()> {
    site.expect_real().context("before any fault")?;
    let mut looker = Looker { site, tell, told: Vec::new() };
    for (features, scenario) in SCENARIOS {
        let done = scenario(&mut looker);
        let why = done.err().map_or_else(|| "was not looked at".to_owned(), |why| format!("{why:#}"));
        for feature in features {
            if !looker.told.contains(feature) {
                looker.say(*feature, (Outcome::Failed, why.clone()))?;
            }
        }
    }
    let told = Feature::ALL.iter().all(|feature| looker.told.contains(feature));
    ensure!(told, "a feature belongs to no scenario");
    Ok(())
}

impl Looker<'_> {
    /// Looks at one feature; its failure is told, and the scenario goes on.
    fn look(&mut self, feature: Feature, look: impl FnOnce(&Site) -> Result<Seen>) -> Result<()> {
        let seen = look(self.site).unwrap_or_else(|why| (Outcome::Failed, format!("{why:#}")));
        self.say(feature, seen)
    }

    fn say(&mut self, feature: Feature, (outcome, detail): Seen) -> Result<()> {
        self.told.push(feature);
        (self.tell)(&Finding { feature, outcome, detail })
    }
}

fn works(detail: impl Into<String>) -> Result<Seen> {
    Ok((Outcome::Works, detail.into()))
}

/// Waits until no trace of an experiment is on the host.
fn expect_nothing_left(experiment: &str) -> Result<Duration> {
    let state = Path::new("/run/httpfault").join(experiment);
    let took = wait::until("its state to be removed", SWEPT, || Ok(!state.exists()))?;
    Ok(took)
}

/// A pooled connection: opened and used before the fault.
fn pooled(site: &Site) -> Result<crate::http::Connection> {
    let mut connection = site.open(site.v4())?;
    let answer = connection.get().context("asking before the fault")?;
    ensure!(answer.is_real(), "before the fault the answer was {answer:?}");
    Ok(connection)
}

/// A new connection from outside gets the fault.
fn expect_fault(site: &Site) -> Result<()> {
    let answer = site.ask(site.v4())?;
    ensure!(answer.is_fault(STATUS), "a new connection was answered {answer:?}");
    Ok(())
}
