//! DescribeInstanceInformation.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::shapes::epoch;
use crate::http::{ApiError, Context, invalid_token, page, read};
use crate::world::{ManagedInstance, PingStatus, Platform};

/// Page size when the caller names none.
const DEFAULT_PAGE: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(default)]
    instance_information_filter_list: Vec<OldFilter>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldFilter {
    key: String,
    value_set: Vec<String>,
}

pub(super) fn describe(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: Request = read(request)?;
    context.authorize(&[context.any_resource()], None)?;
    if let Some(size) = request.max_results.filter(|size| !(5..=50).contains(size)) {
        return Err(ApiError::constraint("maxResults", &size.to_string(), "Member must be between 5 and 50"));
    }
    if !request.filters.is_empty() && !request.instance_information_filter_list.is_empty() {
        let message = "Filters and InstanceInformationFilterList can't be used together";
        return Err(ApiError::new("ValidationException", message));
    }
    let old = request.instance_information_filter_list.into_iter();
    let old = old.map(|filter| Filter { key: filter.key, values: filter.value_set });
    let filters: Vec<Filter> = old.chain(request.filters).collect();
    for filter in &filters {
        check(filter)?;
    }
    let instances = context.state.world.managed_instances.iter();
    let found = instances.filter(|one| filters.iter().all(|filter| filter.matches(one))).map(shape).collect();
    let size = request.max_results.unwrap_or(DEFAULT_PAGE);
    let (found, next) = page(found, size, request.next_token.as_deref(), invalid_token)?;
    let mut answer = json!({ "InstanceInformationList": found });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

fn check(filter: &Filter) -> Result<(), ApiError> {
    if !["InstanceIds", "PingStatus", "PlatformTypes", "AgentVersion", "ResourceType"]
        .contains(&filter.key.as_str())
    {
        return Err(ApiError::new("InvalidFilterKey", "The specified key isn't valid."));
    }
    if filter.values.is_empty() || filter.values.len() > 100 {
        let size = format!("[{}]", filter.values.len());
        return Err(ApiError::constraint(
            "filters.values",
            &size,
            "Member must have length between 1 and 100",
        ));
    }
    Ok(())
}

impl Filter {
    fn matches(&self, instance: &ManagedInstance) -> bool {
        let value = match self.key.as_str() {
            "InstanceIds" => instance.id.as_str(),
            "PingStatus" => ping(instance.ping_status),
            "PlatformTypes" => platform(instance.platform),
            "AgentVersion" => &instance.agent_version,
            _ => resource_type(instance),
        };
        self.values.iter().any(|wanted| wanted == value)
    }
}

fn shape(instance: &ManagedInstance) -> Value {
    json!({
        "InstanceId": instance.id,
        "PingStatus": ping(instance.ping_status),
        "LastPingDateTime": epoch(Timestamp::now()),
        "AgentVersion": instance.agent_version,
        "IsLatestVersion": true,
        "PlatformType": platform(instance.platform),
        "PlatformName": instance.platform_name,
        "PlatformVersion": instance.platform_version,
        "ResourceType": resource_type(instance),
        "IPAddress": "10.0.0.10",
        "ComputerName": format!("{}.internal", instance.id),
        "SourceId": instance.id,
        "SourceType": match instance.id.starts_with("mi-") {
            true => "AWS::SSM::ManagedInstance",
            false => "AWS::EC2::Instance",
        },
    })
}

fn ping(status: PingStatus) -> &'static str {
    match status {
        PingStatus::Online => "Online",
        PingStatus::ConnectionLost => "ConnectionLost",
        PingStatus::Inactive => "Inactive",
    }
}

fn platform(platform: Platform) -> &'static str {
    match platform {
        Platform::Linux => "Linux",
        Platform::Windows => "Windows",
    }
}

fn resource_type(instance: &ManagedInstance) -> &'static str {
    if instance.id.starts_with("mi-") { "ManagedInstance" } else { "EC2Instance" }
}
