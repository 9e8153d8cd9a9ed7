//! A small evaluator of IAM identity policies: Effect, Action, Resource and the conditions that policies for
//! ECS and SSM use. Enough to run a program with exactly the policy that it asks its users to attach.
//! Rules: IAM User Guide, "Policy evaluation logic" (an explicit Deny wins, nothing said is a Deny).

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;

/// An IAM policy document. The default allows everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(default = "version")]
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(deserialize_with = "statements")]
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    effect: Effect,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<Operator, BTreeMap<String, OneOrMany<String>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// The condition operators that are modelled; another one makes the policy unreadable rather than ineffective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Operator {
    StringEquals,
    StringLike,
    ArnEquals,
    ArnLike,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// The outcome for one action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// No statement allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

/// A policy document that can't be evaluated.
#[derive(Debug, Error)]
#[error(
    "reading an IAM policy; the simulator models Effect, Action, Resource and the conditions StringEquals, StringLike, ArnEquals and ArnLike"
)]
pub struct PolicyError {
    #[from]
    source: serde_json::Error,
}

impl Default for Policy {
    fn default() -> Self {
        Policy::allow(["*"])
    }
}

impl Policy {
    /// Reads a policy document in JSON.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        Ok(serde_json::from_str(json)?)
    }

    /// Allows actions such as `ecs:ListTasks` or `ssm:*` on every resource.
    pub fn allow<'a>(actions: impl IntoIterator<Item = &'a str>) -> Self {
        let statement = Statement {
            sid: None,
            effect: Effect::Allow,
            action: OneOrMany::Many(actions.into_iter().map(str::to_owned).collect()),
            resource: OneOrMany::One("*".to_owned()),
            condition: BTreeMap::new(),
        };
        Policy { version: version(), id: None, statement: vec![statement] }
    }

    pub(crate) fn decide(
        &self,
        action: &str,
        resource: &str,
        context: &BTreeMap<String, String>,
    ) -> Decision {
        let mut decision = Decision::NotAllowed;
        for statement in &self.statement {
            if !statement.applies(action, resource, context) {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Decision::Denied,
                Effect::Allow => decision = Decision::Allowed,
            }
        }
        decision
    }
}

impl Statement {
    fn applies(&self, action: &str, resource: &str, context: &BTreeMap<String, String>) -> bool {
        let action = action.to_ascii_lowercase();
        self.action.as_slice().iter().any(|pattern| like(&pattern.to_ascii_lowercase(), &action))
            && self.resource.as_slice().iter().any(|pattern| like(pattern, resource))
            && self.condition.iter().all(|(operator, tests)| {
                tests.iter().all(|(key, wanted)| operator.holds(context.get(key.as_str()), wanted.as_slice()))
            })
    }
}

impl Operator {
    fn holds(self, actual: Option<&String>, wanted: &[String]) -> bool {
        let Some(actual) = actual else { return false };
        wanted.iter().any(|wanted| match self {
            Operator::StringEquals => wanted == actual,
            Operator::StringLike | Operator::ArnEquals | Operator::ArnLike => like(wanted, actual),
        })
    }
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// `*` stands for any text, `?` for one byte.
fn like(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
            ([b'?', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
            ([p, pattern @ ..], [t, text @ ..]) if p == t => matches(pattern, text),
            _ => false,
        }
    }
    matches(pattern.as_bytes(), text.as_bytes())
}

/// One statement or a list of them. By hand, because an untagged enum would hide what is wrong with a statement.
fn statements<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Statement>, D::Error> {
    let read = |value| serde_json::from_value(value).map_err(D::Error::custom);
    let value = Value::deserialize(deserializer)?;
    if let Value::Array(statements) = value {
        return statements.into_iter().map(read).collect();
    }
    Ok(vec![read(value)?])
}

fn version() -> String {
    "2012-10-17".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(json: &str, action: &str, resource: &str, cluster: &str) -> Decision {
        let context = BTreeMap::from([("ecs:cluster".to_owned(), cluster.to_owned())]);
        Policy::parse(json).unwrap().decide(action, resource, &context)
    }

    #[test]
    fn an_explicit_deny_wins_and_silence_denies() {
        let policy = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Action":["ssm:*"],"Resource":"*"},
            {"Effect":"Deny","Action":"SSM:sendcommand","Resource":"arn:aws:ec2:*:*:instance/i-prod*"}]}"#;
        let decide = |action, resource| decide(policy, action, resource, "c");
        assert_eq!(decide("ssm:SendCommand", "arn:aws:ec2:r:1:instance/i-test"), Decision::Allowed);
        assert_eq!(decide("ssm:SendCommand", "arn:aws:ec2:r:1:instance/i-prod1"), Decision::Denied);
        assert_eq!(decide("ecs:ListTasks", "*"), Decision::NotAllowed);
    }

    #[test]
    fn conditions_narrow_a_statement() {
        let policy = r#"{"Statement":{"Effect":"Allow","Action":"ecs:ListTasks","Resource":"*",
            "Condition":{"ArnEquals":{"ecs:cluster":"arn:aws:ecs:*:1:cluster/shop"}}}}"#;
        assert_eq!(decide(policy, "ecs:ListTasks", "x", "arn:aws:ecs:r:1:cluster/shop"), Decision::Allowed);
        assert_eq!(
            decide(policy, "ecs:ListTasks", "x", "arn:aws:ecs:r:1:cluster/other"),
            Decision::NotAllowed
        );
    }

    #[test]
    fn what_is_not_modelled_is_an_error() {
        let unknown =
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a":"b"}}}}"#;
        assert!(Policy::parse(unknown).unwrap_err().source.to_string().contains("Bool"));
    }
}
