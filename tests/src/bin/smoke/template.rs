//! What the CloudFormation template says of the cluster.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

/// A template in JSON.
#[derive(Debug)]
pub(crate) struct Template(Value);

/// A service of the stack.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) tasks: usize,
    /// `awsvpc` or `bridge`.
    pub(crate) network: String,
    /// Names of its containers; the first has the port.
    pub(crate) containers: Vec<String>,
}

/// An instance of the stack.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) arm: bool,
    pub(crate) tags: Vec<(String, String)>,
}

impl Template {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self(serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?))
    }

    fn resources(&self, kind: &str) -> Vec<&Value> {
        let all = self.0["Resources"].as_object().into_iter().flatten();
        all.filter(|(_, resource)| resource["Type"] == kind)
            .map(|(_, resource)| &resource["Properties"])
            .collect()
    }

    pub(crate) fn cluster(&self) -> Result<String> {
        let clusters = self.resources("AWS::ECS::Cluster");
        let cluster = clusters.first().context("the template has no cluster")?;
        text(&cluster["ClusterName"])
    }

    pub(crate) fn services(&self) -> Result<Vec<Service>> {
        let service = |service: &&Value| {
            let definition = text(&service["TaskDefinition"]["Ref"])?;
            let definition = &self.0["Resources"][&definition]["Properties"];
            let containers = definition["ContainerDefinitions"].as_array().into_iter().flatten();
            Ok(Service {
                name: text(&service["ServiceName"])?,
                tasks: usize::try_from(service["DesiredCount"].as_u64().context("no DesiredCount")?)?,
                network: text(&definition["NetworkMode"])?,
                containers: containers.map(|container| text(&container["Name"])).collect::<Result<_>>()?,
            })
        };
        self.resources("AWS::ECS::Service").iter().map(service).collect()
    }

    pub(crate) fn hosts(&self) -> Result<Vec<Host>> {
        let host = |host: &&Value| {
            let image = text(&host["ImageId"]["Ref"])?;
            let image = text(&self.0["Parameters"][&image]["Default"])?;
            let tags = host["Tags"].as_array().into_iter().flatten();
            let tags = tags.map(|tag| Ok((text(&tag["Key"])?, text(&tag["Value"])?)));
            Ok(Host { arm: image.contains("/arm64/"), tags: tags.collect::<Result<_>>()? })
        };
        self.resources("AWS::EC2::Instance").iter().map(host).collect()
    }

    /// The policy of the role for the controller, with what CloudFormation puts in place of its functions.
    pub(crate) fn controller_policy(&self, region: &str, account: &str) -> Result<String> {
        let policy = &self.0["Resources"]["ControllerRole"]["Properties"]["Policies"][0]["PolicyDocument"];
        let cluster = self.cluster()?;
        let arn = format!("arn:aws:ecs:{region}:{account}:cluster/{cluster}");
        Ok(resolved(policy, &|function, argument| match function {
            "Fn::GetAtt" => arn.clone(),
            _ => argument
                .as_str()
                .unwrap_or_default()
                .replace("${AWS::Partition}", "aws")
                .replace("${AWS::Region}", region)
                .replace("${AWS::AccountId}", account)
                .replace("${Cluster}", &cluster),
        })
        .to_string())
    }
}

fn text(value: &Value) -> Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("the template has {value} where a text should be"))
}

fn resolved(value: &Value, call: &dyn Fn(&str, &Value) -> String) -> Value {
    match value {
        Value::Object(members) => match members.iter().next() {
            Some((name, argument)) if name.starts_with("Fn::") => Value::String(call(name, argument)),
            _ => members.iter().map(|(name, value)| (name.clone(), resolved(value, call))).collect(),
        },
        Value::Array(values) => values.iter().map(|value| resolved(value, call)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
