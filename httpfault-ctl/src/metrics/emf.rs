//! CloudWatch's Embedded Metric Format: a line of JSON in a log that CloudWatch makes metrics of, without a call and without a
//! right of its own. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use httpfault_common::contract::{Counters, metrics::counted};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::report::{RunReport, TaskReport};

const NAMESPACE: &str = "httpfault";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    During,
    /// How long the fault was on is known.
    End,
}

/// What came since CloudWatch was told: it adds values up, so the sums of all lines are the numbers of the report. Nothing
/// where nothing came, but for the end.
pub(super) fn line(report: &RunReport, task: &TaskReport, told: &Counters, moment: Moment) -> Option<String> {
    if moment == Moment::During && task.counters == *told {
        return None;
    }
    let experiment = &report.experiment;
    let mut line = Map::new();
    let mut metrics = Vec::new();
    let mut metric = |name: String, unit: &str, value: Value| {
        metrics.push(json!({ "Name": name, "Unit": unit }));
        (name, value)
    };
    for ((family, which, count), (.., before)) in counted(&task.counters).into_iter().zip(counted(told)) {
        let name = format!("{}_{which}", family.name);
        let (name, value) = metric(name, "Count", count.saturating_sub(before).into());
        line.insert(name, value);
    }
    let at = task.removed_at.or(task.counters_at).unwrap_or(report.ended_at);
    if let (Moment::End, Some(from)) = (moment, task.injected_at) {
        let (name, value) = metric("window_seconds".to_owned(), "Seconds", seconds(from, at).into());
        line.insert(name, value);
    }
    // A metric of its own for each service; the run and the task are there to be searched for.
    let mut dimensions = vec!["cluster"];
    line.insert("cluster".to_owned(), experiment.cluster.clone().into());
    if let Some(service) = &experiment.service {
        dimensions.push("service");
        line.insert("service".to_owned(), service.clone().into());
    }
    line.insert("run".to_owned(), experiment.experiment_id.to_string().into());
    line.insert("task".to_owned(), task.task.clone().into());
    line.insert("instance".to_owned(), task.instance.clone().into());
    line.insert("status_code".to_owned(), experiment.status_code.into());
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": at.as_millisecond(),
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics }],
        }),
    );
    Some(Value::Object(line).to_string())
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
