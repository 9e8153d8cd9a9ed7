//! What ends a run early beside a signal: a failing probe, an alarm, a file.

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use httpfault_common::contract::Problem;
use serde::Serialize;
use tokio::sync::watch;

use crate::aws::{Alarm, ApiError, Cloud};

/// Time between two looks at STOP_FILE.
const LOOK: Duration = Duration::from_millis(250);

/// Ends the run that it was given to, once.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
enum State {
    Open,
    Stopped(Stopped),
    /// Nothing is on any more that could be stopped.
    Over,
}

/// Why a run was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Stopped {
    pub(crate) by: StoppedBy,
    /// In words.
    pub(crate) what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoppedBy {
    Probe,
    Alarm,
    File,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::new(State::Open) }
    }

    /// The first reason is kept.
    pub(crate) fn because(&self, by: StoppedBy, what: String) {
        self.state.send_if_modified(|state| {
            let open = matches!(state, State::Open);
            if open {
                *state = State::Stopped(Stopped { by, what });
            }
            open
        });
    }

    /// From here on nothing stops the run.
    pub(crate) fn is_over(&self) {
        self.state.send_replace(State::Over);
    }

    /// Completes when the run has to end.
    pub(crate) async fn requested(&self) -> Stopped {
        let mut states = self.state.subscribe();
        // The sender is this value's own: waiting ends only by a stop.
        match states.wait_for(|state| matches!(state, State::Stopped(_))).await.as_deref() {
            Ok(State::Stopped(stopped)) => stopped.clone(),
            _ => std::future::pending().await,
        }
    }

    /// Stops the run when one of the alarms is on, and when they can no longer be read: then nobody would notice. Runs
    /// until it is dropped.
    pub(crate) async fn watch_alarms(&self, cloud: &Cloud, names: &[String]) -> Infallible {
        while !names.is_empty() {
            tokio::time::sleep(cloud.poll()).await;
            match cloud.alarms(names, &mut 0).await {
                Ok(alarms) => {
                    if let Some(alarm) = alarms.iter().find(|alarm| alarm.is_on) {
                        let what =
                            format!("alarm {} is in ALARM: {} (STOP_ALARMS)", alarm.name, alarm.reason);
                        self.because(StoppedBy::Alarm, what);
                    } else if let Some(name) = names.iter().find(|name| !is_among(&alarms, name)) {
                        self.because(
                            StoppedBy::Alarm,
                            format!("alarm {name} no longer exists (STOP_ALARMS)"),
                        );
                    }
                }
                Err(error) => {
                    self.because(StoppedBy::Alarm, format!("STOP_ALARMS can no longer be read: {error}"));
                }
            }
        }
        std::future::pending().await
    }

    /// Stops the run when the file appears. Runs until it is dropped.
    pub(crate) async fn watch_file(&self, path: Option<&PathBuf>) -> Infallible {
        let Some(path) = path else { return std::future::pending().await };
        while !is_there(path) {
            tokio::time::sleep(LOOK).await;
        }
        self.because(StoppedBy::File, format!("{} appeared (STOP_FILE)", path.display()));
        std::future::pending().await
    }
}

/// Why the run may not begin: alarms that are on already, and those that would never be.
pub(crate) async fn alarms_against(
    cloud: &Cloud,
    names: &[String],
    calls: &mut u32,
) -> Result<Vec<Problem>, ApiError> {
    let alarms = cloud.alarms(names, calls).await?;
    let problem = |name: &str, problem: String, next: &str| Problem {
        subject: format!("STOP_ALARMS {name}"),
        problem,
        next: next.to_owned(),
    };
    let missing = names.iter().filter(|name| !is_among(&alarms, name));
    let missing = missing.map(|name| {
        problem(name, "there is no such alarm in this region and account".to_owned(), "correct its name")
    });
    let on = alarms.iter().filter(|alarm| alarm.is_on);
    let on = on.map(|alarm| {
        let next = "wait until it is over, or leave it out";
        problem(&alarm.name, format!("it is in ALARM already: {}", alarm.reason), next)
    });
    Ok(missing.chain(on).collect())
}

fn is_among(alarms: &[Alarm], name: &str) -> bool {
    alarms.iter().any(|alarm| alarm.name == *name)
}

/// Why the run may not begin, if STOP_FILE is there already.
pub(crate) fn file_against(path: Option<&PathBuf>) -> Option<Problem> {
    let path = path.filter(|path| is_there(path))?;
    Some(Problem {
        subject: "STOP_FILE".to_owned(),
        problem: format!("{} is there already", path.display()),
        next: "remove it to run".to_owned(),
    })
}

/// What can't be looked at may be there.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
