//! IAM statements: the least policy, the part of it that a refused call needs, and the reference fault's.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::tunables::PolicyScope;

/// An IAM policy document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Document {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<serde_json::Value>,
}

/// The policy in the reference fault's documentation, to the letter.
pub(crate) const REFERENCE: &str = include_str!("reference.json");

/// What httpfault-ctl needs, as narrow as IAM lets it be.
pub(crate) fn least(scope: &PolicyScope) -> Document {
    Document { version: "2012-10-17", statement: statements(scope) }
}

/// The statement that allows `action`, as JSON.
pub(super) fn statement_for(action: &str, cluster: Option<&str>, document: Option<&str>) -> String {
    let scope = PolicyScope {
        cluster: cluster.map(str::to_owned),
        document: document.map(str::to_owned),
        alarms: true,
        ..PolicyScope::default()
    };
    let all = statements(&scope);
    let mut found = all.into_iter().find(|statement| statement.action.contains(&action));
    if let Some(statement) = &mut found {
        statement.action.retain(|allowed| *allowed == action);
    }
    found
        .and_then(|statement| serde_json::to_string_pretty(&statement).ok())
        .unwrap_or_else(|| action.to_owned())
}

fn statements(scope: &PolicyScope) -> Vec<Statement> {
    let region = scope.region.as_deref().unwrap_or("*");
    let partition = match region {
        cn if cn.starts_with("cn-") => "aws-cn",
        gov if gov.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    let cluster = scope.cluster.as_deref();
    let name = cluster.map_or("*", |cluster| cluster.rsplit('/').next().unwrap_or(cluster));
    let ecs = |kind: &str, rest: &str| format!("arn:{partition}:ecs:{region}:*:{kind}/{name}{rest}");
    // The cluster key limits calls that name no resource of their own (service authorization reference, ECS).
    let in_cluster = (name != "*").then(
        || json!({ "ArnLike": { "ecs:cluster": format!("arn:{partition}:ecs:{region}:*:cluster/{name}") } }),
    );
    let allow = |sid, action: &[&'static str], resource: &[String], condition: Option<serde_json::Value>| {
        Statement { sid, effect: "Allow", action: action.to_vec(), resource: resource.to_vec(), condition }
    };
    let any = || "*".to_owned();
    // Composite alarms are shown to those only whose right is for all alarms (API reference, DescribeAlarms).
    let alarms = scope.alarms.then(|| allow("Alarms", &["cloudwatch:DescribeAlarms"], &[any()], None));
    let statements = vec![
        allow(
            "Cluster",
            &["ecs:DescribeClusters", "ecs:ListContainerInstances"],
            &[ecs("cluster", "")],
            None,
        ),
        allow("Lists", &["ecs:ListTasks"], &[any()], in_cluster),
        allow(
            "Describe",
            &["ecs:DescribeServices", "ecs:DescribeTasks", "ecs:DescribeContainerInstances"],
            &[ecs("service", "/*"), ecs("task", "/*"), ecs("container-instance", "/*")],
            None,
        ),
        // These take no resource in IAM.
        allow("TaskDefinitions", &["ecs:DescribeTaskDefinition"], &[any()], None),
        // The document has no tags, so it needs a statement without the condition.
        allow(
            "Document",
            &["ssm:SendCommand"],
            &[match &scope.document {
                Some(name) => format!("arn:{partition}:ssm:{region}:*:document/{name}"),
                None => format!("arn:{partition}:ssm:{region}::document/AWS-RunShellScript"),
            }],
            None,
        ),
        allow(
            "Instances",
            &["ssm:SendCommand"],
            &[format!("arn:{partition}:ec2:{region}:*:instance/*")],
            tagged(&scope.instance_tags),
        ),
        allow(
            "Invocations",
            &[
                "ssm:CancelCommand",
                "ssm:GetCommandInvocation",
                "ssm:ListCommandInvocations",
                "ssm:ListCommands",
                "ssm:DescribeInstanceInformation",
            ],
            &[any()],
            None,
        ),
    ];
    statements.into_iter().chain(alarms).collect()
}

/// The condition that a resource has all these tags.
fn tagged(tags: &BTreeMap<String, String>) -> Option<serde_json::Value> {
    let keys: serde_json::Map<_, _> =
        tags.iter().map(|(key, value)| (format!("ssm:resourceTag/{key}"), json!([value]))).collect();
    (!keys.is_empty()).then(|| json!({ "StringEquals": keys }))
}
