//! An alarm of CloudWatch.

use serde::{Deserialize, Serialize};

/// `StateValue` of an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// Its condition holds.
    Alarm,
    /// It can't be told.
    InsufficientData,
}

/// Which list of DescribeAlarms it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// On a metric.
    #[default]
    Metric,
    /// On other alarms.
    Composite,
}

/// An alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(default)]
    pub kind: AlarmKind,
    /// Its state.
    #[serde(default)]
    pub state: AlarmState,
}

impl Alarm {
    /// An alarm on a metric, OK.
    pub fn new(name: &str) -> Self {
        Alarm { name: name.to_owned(), kind: AlarmKind::Metric, state: AlarmState::Ok }
    }

    /// Makes it one on other alarms.
    pub fn composite(mut self) -> Self {
        self.kind = AlarmKind::Composite;
        self
    }

    /// Sets the state.
    pub fn state(mut self, state: AlarmState) -> Self {
        self.state = state;
        self
    }
}
