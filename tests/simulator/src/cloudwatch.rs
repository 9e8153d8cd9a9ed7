//! The one call of Amazon CloudWatch that is modelled: DescribeAlarms.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{ApiError, Context, page, read};
use crate::world::{Alarm, AlarmKind, AlarmState, World};

/// Most names of one call.
const MOST_NAMES: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(default)]
    alarm_names: Vec<String>,
    alarm_name_prefix: Option<String>,
    alarm_types: Option<Vec<String>>,
    state_value: Option<String>,
    max_records: Option<usize>,
    next_token: Option<String>,
}

/// Carries out one action.
pub(crate) fn dispatch(context: &mut Context<'_>, action: &str, request: Value) -> Result<Value, ApiError> {
    if action != "DescribeAlarms" {
        let message = format!("the simulator does not model cloudwatch:{action}");
        return Err(ApiError::new("UnknownOperationException", message));
    }
    let request: Request = read(request)?;
    context.authorize(&["*".to_owned()], None)?;
    describe(&context.state.world, &request)
}

/// Metric alarms unless `AlarmTypes` asks for others; names that do not exist are left out. Fifty a page.
fn describe(world: &World, request: &Request) -> Result<Value, ApiError> {
    if request.alarm_names.len() > MOST_NAMES {
        let why = "Member must have length less than or equal to 100";
        return Err(ApiError::constraint("alarmNames", "[...]", why));
    }
    let size = request.max_records.unwrap_or(50);
    if !(1..=100).contains(&size) {
        return Err(ApiError::constraint(
            "maxRecords",
            &size.to_string(),
            "Member must be between 1 and 100",
        ));
    }
    let kind = |alarm: &Alarm| match alarm.kind {
        AlarmKind::Metric => "MetricAlarm",
        AlarmKind::Composite => "CompositeAlarm",
    };
    let wanted = |alarm: &&Alarm| {
        let asked = request.alarm_types.as_ref();
        let kinds = asked.is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind(alarm)));
        let names = request.alarm_names.is_empty() || request.alarm_names.contains(&alarm.name);
        let prefix = request.alarm_name_prefix.as_ref();
        kinds
            && (asked.is_some() || alarm.kind == AlarmKind::Metric)
            && names
            && prefix.is_none_or(|prefix| alarm.name.starts_with(prefix))
            && request.state_value.as_deref().is_none_or(|state| state == word(alarm.state))
    };
    let found: Vec<&Alarm> = world.alarms.iter().filter(wanted).collect();
    let invalid = || ApiError::new("InvalidNextToken", "The next token specified is invalid.");
    let (found, next) = page(found, size, request.next_token.as_deref(), invalid)?;
    let of = |kind: AlarmKind| -> Vec<Value> {
        found.iter().filter(|alarm| alarm.kind == kind).map(|alarm| shape(world, alarm)).collect()
    };
    let mut answer =
        json!({ "MetricAlarms": of(AlarmKind::Metric), "CompositeAlarms": of(AlarmKind::Composite) });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

fn shape(world: &World, alarm: &Alarm) -> Value {
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
    let mut shape = json!({
        "AlarmName": alarm.name,
        "AlarmArn": format!("arn:aws:cloudwatch:{}:{}:alarm:{}", world.region, world.account, alarm.name),
        "AlarmConfigurationUpdatedTimestamp": now,
        "ActionsEnabled": true,
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        "StateValue": word(alarm.state),
        "StateReason": reason(alarm.state),
        "StateUpdatedTimestamp": now,
    });
    match alarm.kind {
        AlarmKind::Metric => {
            shape["MetricName"] = json!("HTTPCode_Target_5XX_Count");
            shape["Namespace"] = json!("AWS/ApplicationELB");
            shape["Statistic"] = json!("Sum");
            shape["Dimensions"] = json!([]);
            shape["Period"] = json!(60);
            shape["EvaluationPeriods"] = json!(1);
            shape["Threshold"] = json!(10.0);
            shape["ComparisonOperator"] = json!("GreaterThanThreshold");
        }
        AlarmKind::Composite => shape["AlarmRule"] = json!("ALARM(other)"),
    }
    shape
}

fn word(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Ok => "OK",
        AlarmState::Alarm => "ALARM",
        AlarmState::InsufficientData => "INSUFFICIENT_DATA",
    }
}

fn reason(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Ok => "Threshold Crossed: 1 datapoint [0.0] was not greater than the threshold (10.0).",
        AlarmState::Alarm => "Threshold Crossed: 1 datapoint [42.0] was greater than the threshold (10.0).",
        AlarmState::InsufficientData => "Unchecked: Initial alarm creation",
    }
}
