//! The services behind the tasks: what guards ask about them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types as ecs;

use super::{
    config::Cloud,
    error::ApiError,
    limit::{ECS_BATCH, SERVICES_BATCH},
    resolve::ResolveError,
};
use crate::fleet::{Fleet, Inquiry, Service};

impl Cloud {
    /// A service by its name or ARN, which must be there.
    pub(super) async fn service(
        &self,
        cluster: &str,
        service: &str,
        wanted: &Inquiry<'_>,
    ) -> Result<Service, ResolveError> {
        let found = self.describe_services(cluster, &[service.to_owned()], wanted.tags).await?;
        let (status, found) = found.into_iter().next().unwrap_or_default();
        if status == "ACTIVE" || status == "DRAINING" {
            return Ok(found);
        }
        let status = if status.is_empty() { "MISSING".to_owned() } else { status };
        Err(ResolveError::Service { service: service.to_owned(), cluster: cluster.to_owned(), status })
    }

    /// The services of tasks that were not chosen by their service, as far as guards ask about them.
    pub(super) async fn services_behind(
        &self,
        cluster: &str,
        wanted: &Inquiry<'_>,
        fleet: &mut Fleet,
    ) -> Result<(), ApiError> {
        let groups: BTreeSet<String> = fleet.tasks.iter().map(|task| task.group.clone()).collect();
        if wanted.services {
            let names: Vec<String> =
                groups.iter().filter_map(|group| group.strip_prefix("service:")).map(str::to_owned).collect();
            for batch in names.chunks(SERVICES_BATCH) {
                fleet.calls += 1;
                let found = self.describe_services(cluster, batch, wanted.tags).await?;
                fleet.services.extend(found.into_iter().map(|(_, service)| (service.group(), service)));
            }
        }
        if wanted.siblings {
            for group in groups {
                let running = self.running(cluster, &group, &mut fleet.calls).await?;
                fleet.siblings.insert(group, running);
            }
        }
        Ok(())
    }

    /// How many tasks of a group run.
    async fn running(&self, cluster: &str, group: &str, calls: &mut u32) -> Result<usize, ApiError> {
        let (service, family) = (group.strip_prefix("service:"), group.strip_prefix("family:"));
        let arns = self.task_arns(cluster, service, family, calls).await?;
        let mut fleet = Fleet::default();
        for batch in arns.chunks(ECS_BATCH) {
            *calls += 1;
            self.describe_tasks(cluster, batch, false, &mut fleet).await?;
        }
        Ok(fleet.tasks.iter().filter(|task| task.group == group && task.is_running()).count())
    }

    /// Each with its status.
    async fn describe_services(
        &self,
        cluster: &str,
        services: &[String],
        tags: bool,
    ) -> Result<Vec<(String, Service)>, ApiError> {
        let request = self.ecs.describe_services().cluster(cluster).set_services(Some(services.to_vec()));
        let request = request.set_include(tags.then(|| vec![ecs::ServiceField::Tags]));
        let output = self.call("ecs:DescribeServices", request.send()).await?;
        let service = |found: ecs::Service| {
            let service = Service {
                name: found.service_name.unwrap_or_default(),
                load_balanced: found.load_balancers.is_some_and(|balancers| !balancers.is_empty()),
                tags: by_key(found.tags),
            };
            (found.status.unwrap_or_default(), service)
        };
        Ok(output.services.unwrap_or_default().into_iter().map(service).collect())
    }
}

/// ECS's lists of tags; one without a value has an empty one.
pub(super) fn by_key(tags: Option<Vec<ecs::Tag>>) -> BTreeMap<String, String> {
    let pair = |tag: ecs::Tag| Some((tag.key?, tag.value.unwrap_or_default()));
    tags.unwrap_or_default().into_iter().filter_map(pair).collect()
}
