//! The alarms of CloudWatch that can stop a run.

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};

use super::{config::Cloud, error::ApiError, limit::ALARMS_BATCH};

/// Longest reason that is repeated, characters.
const REASON_CHARS: usize = 200;

/// An alarm that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    /// ALARM; neither OK nor INSUFFICIENT_DATA.
    pub(crate) is_on: bool,
    /// CloudWatch's reason for its state.
    pub(crate) reason: String,
}

impl Cloud {
    /// The alarms of these names, of every kind; those that do not exist are missing.
    pub(crate) async fn alarms(&self, names: &[String], calls: &mut u32) -> Result<Vec<Alarm>, ApiError> {
        let mut found = Vec::new();
        for batch in names.chunks(ALARMS_BATCH) {
            let mut token = None;
            loop {
                *calls += 1;
                let kinds = [AlarmType::MetricAlarm, AlarmType::CompositeAlarm, AlarmType::LogAlarm];
                let request = self
                    .cloudwatch
                    .describe_alarms()
                    .set_alarm_names(Some(batch.to_vec()))
                    .set_alarm_types(Some(kinds.to_vec()))
                    .set_next_token(token);
                let page = self.call("cloudwatch:DescribeAlarms", request.send()).await?;
                let metric = page.metric_alarms.unwrap_or_default().into_iter();
                found.extend(metric.filter_map(|a| alarm(a.alarm_name, a.state_value, a.state_reason)));
                let composite = page.composite_alarms.unwrap_or_default().into_iter();
                found.extend(composite.filter_map(|a| alarm(a.alarm_name, a.state_value, a.state_reason)));
                let log = page.log_alarms.unwrap_or_default().into_iter();
                found.extend(log.filter_map(|a| alarm(a.alarm_name, a.state_value, a.state_reason)));
                token = page.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }
}

fn alarm(name: Option<String>, state: Option<StateValue>, reason: Option<String>) -> Option<Alarm> {
    let reason = reason.unwrap_or_default().chars().take(REASON_CHARS).collect();
    Some(Alarm { name: name?, is_on: state == Some(StateValue::Alarm), reason })
}
