//! What exists in the simulated account. A test builds it, hands it to
//! [`Simulator::start`](crate::Simulator::start) and may change it while the simulator runs.

mod alarm;
mod cluster;
mod instance;
mod managed;
mod service;
mod task;

use serde::{Deserialize, Serialize};

pub use alarm::{Alarm, AlarmKind, AlarmState};
pub use cluster::Cluster;
pub use instance::{Arch, ContainerInstance};
pub use managed::{HostSetup, ManagedInstance, PingStatus, Platform};
pub use service::{LoadBalancer, Service};
pub use task::{Container, LaunchType, NetworkMode, Port, Task, TaskStatus};

use crate::identity::{Role, User};
use crate::s3::Object;
use crate::ssm::Document;

/// Everything in one account and one region.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// Twelve digits.
    pub account: String,
    /// Such as `eu-central-1`. Requests signed for another region are refused.
    pub region: String,
    /// ECS clusters.
    pub clusters: Vec<Cluster>,
    /// What Systems Manager knows. A container instance without an entry here is not SSM-managed.
    pub managed_instances: Vec<ManagedInstance>,
    /// Long-lived access keys. Empty means one administrator, [`User::administrator`].
    pub users: Vec<User>,
    /// Roles that can be assumed.
    pub roles: Vec<Role>,
    /// Command documents of the account.
    pub documents: Vec<Document>,
    /// Objects in S3.
    pub objects: Vec<Object>,
    /// Buckets that take objects.
    #[serde(default)]
    pub buckets: Vec<String>,
    /// Alarms of CloudWatch.
    pub alarms: Vec<Alarm>,
}

impl Default for World {
    fn default() -> Self {
        World {
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            clusters: Vec::new(),
            managed_instances: Vec::new(),
            users: Vec::new(),
            roles: Vec::new(),
            documents: Vec::new(),
            objects: Vec::new(),
            buckets: Vec::new(),
            alarms: Vec::new(),
        }
    }
}

/// Building.
impl World {
    /// An empty account.
    pub fn new() -> Self {
        World::default()
    }

    /// One cluster `shop` with one service `web`: `hosts` Amazon Linux 2023 hosts, Online in SSM, with
    /// `tasks_per_host` running EC2 tasks each, whose container `web` listens on port 80. For benchmarks and
    /// for tests to which the details don't matter. Instance ids are `i-` and 17 digits that count from 0.
    pub fn fleet(hosts: usize, tasks_per_host: usize) -> Self {
        let mut cluster = Cluster::new("shop").service(Service::new("web"));
        let mut world = World::new();
        for host in 0..hosts {
            let id = format!("i-{host:017}");
            cluster = cluster.container_instance(ContainerInstance::new(&id));
            for task in 0..tasks_per_host {
                let container =
                    Container::new("web").port(80, 32768 + u16::try_from(task % 1000).unwrap_or(0));
                cluster = cluster.task(Task::on(&id).service("web").container(container));
            }
            world = world.managed(ManagedInstance::amazon_linux(&id));
        }
        world.cluster(cluster)
    }

    /// Adds a cluster.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Registers an instance with Systems Manager.
    pub fn managed(mut self, instance: ManagedInstance) -> Self {
        self.managed_instances.push(instance);
        self
    }

    /// Adds an alarm.
    pub fn alarm(mut self, alarm: Alarm) -> Self {
        self.alarms.push(alarm);
        self
    }

    /// Adds a user with an access key. The default administrator exists only while there is no other.
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds a role.
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }
}

/// Changing a world that runs, through [`Simulator::edit`](crate::Simulator::edit). Methods that name
/// something that does not exist change nothing and return `None` or `false`.
impl World {
    /// The cluster of this name.
    pub fn cluster_mut(&mut self, name: &str) -> Option<&mut Cluster> {
        self.clusters.iter_mut().find(|cluster| cluster.name == name)
    }

    /// The task with this id, in any cluster.
    pub fn task_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.clusters.iter_mut().flat_map(|cluster| &mut cluster.tasks).find(|task| task.id == id)
    }

    /// The container instance on this EC2 instance.
    pub fn container_instance_mut(&mut self, ec2_id: &str) -> Option<&mut ContainerInstance> {
        let instances = self.clusters.iter_mut().flat_map(|cluster| &mut cluster.container_instances);
        { instances }.find(|instance| instance.ec2_instance_id == ec2_id)
    }

    /// What SSM knows of this instance.
    pub fn managed_mut(&mut self, id: &str) -> Option<&mut ManagedInstance> {
        self.managed_instances.iter_mut().find(|instance| instance.id == id)
    }

    /// The same, to look at.
    pub fn managed_instance(&self, id: &str) -> Option<&ManagedInstance> {
        self.managed_instances.iter().find(|instance| instance.id == id)
    }

    /// Brings an alarm to a state; false if there is none of this name.
    pub fn set_alarm(&mut self, name: &str, state: AlarmState) -> bool {
        let alarm = self.alarms.iter_mut().find(|alarm| alarm.name == name);
        alarm.map(|alarm| alarm.state = state).is_some()
    }

    /// Sets the SSM ping status; false if the instance is not managed.
    pub fn ping(&mut self, id: &str, status: PingStatus) -> bool {
        self.managed_mut(id).map(|instance| instance.ping_status = status).is_some()
    }

    /// Stops a task as ECS does after StopTask: both statuses STOPPED, containers with exit code 137.
    pub fn stop_task(&mut self, id: &str, reason: &str) -> bool {
        self.task_mut(id).map(|task| task.stop(reason)).is_some()
    }

    /// Stops a task and starts a copy on the same instance under a new id and with new container ids, as a
    /// service's scheduler does. Returns the new task's id.
    pub fn replace_task(&mut self, id: &str) -> Option<String> {
        let cluster =
            self.clusters.iter_mut().find(|cluster| cluster.tasks.iter().any(|task| task.id == id))?;
        let task = cluster.tasks.iter_mut().find(|task| task.id == id)?;
        let replacement = task.replacement();
        task.stop("Scaling activity initiated by deployment");
        let new_id = replacement.id.clone();
        cluster.tasks.push(replacement);
        Some(new_id)
    }
}

/// Names as AWS writes them.
impl World {
    /// `arn:aws:ecs:REGION:ACCOUNT:KIND/PATH`.
    pub fn ecs_arn(&self, kind: &str, path: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{kind}/{path}", self.region, self.account)
    }

    /// The ARN of a cluster.
    pub fn cluster_arn(&self, cluster: &str) -> String {
        self.ecs_arn("cluster", cluster)
    }

    /// The long ARN of a task.
    pub fn task_arn(&self, cluster: &str, task_id: &str) -> String {
        self.ecs_arn("task", &format!("{cluster}/{task_id}"))
    }

    /// The ARN of a role.
    pub fn role_arn(&self, role: &str) -> String {
        format!("arn:aws:iam::{}:role/{role}", self.account)
    }
}

/// Random lower-case hex digits, for ids that nobody chose.
pub(crate) fn hex(digits: usize) -> String {
    (0..digits).map(|_| fastrand::digit(16)).collect()
}
