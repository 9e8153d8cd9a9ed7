//! The part of AWS that `httpfault-ctl` talks to, on a loopback port: ECS, Systems Manager Run Command, CloudWatch alarms,
//! STS, and two endpoints that hand out credentials. It serves the tests and the demonstration.
//!
//! ```no_run
//! use httpfault_simulator::{Cluster, Container, ContainerInstance, ManagedInstance, Service, Simulator, Task, World};
//!
//! let host = "i-00000000000000001";
//! let web = Task::on(host).service("web").container(Container::new("web").port(80, 32768));
//! let cluster = Cluster::new("shop")
//!     .container_instance(ContainerInstance::new(host))
//!     .service(Service::new("web"))
//!     .task(web);
//! let world = World::new().cluster(cluster).managed(ManagedInstance::amazon_linux(host));
//! let simulator = Simulator::start(world)?;
//! let mut ctl = std::process::Command::new("httpfault-ctl");
//! ctl.arg("plan").envs(simulator.env());
//! # Ok::<(), httpfault_simulator::SimulatorError>(())
//! ```
//!
//! - **The world** ([`World`]) is what exists; [`Simulator::edit`] changes it while it runs.
//! - **Commands run for real**: a script sent with SendCommand is executed by `sh` on this machine as the SSM agent
//!   does it, each simulated host in its own mount namespace ([`HostSetup`]), unless [`Execution::stub`] answers in
//!   its place. Real execution needs root.
//! - **Timing** ([`Timing`]) is quick, unless a test asks for the real agent's ([`Timing::harsh`]).
//! - **Faults** ([`Faults`]) are what AWS does on a bad day: throttling, refusals, lost and repeated commands.
//! - **Calls** ([`Call`]) are recorded, for assertions.
//! - Dropping the [`Simulator`] ends every process that its hosts still run, also those in sessions of their own.
//!
//! README.md says what is modelled and where each behaviour comes from.

mod world;
mod world_file;

mod identity;

mod call;
mod faults;
mod state;

mod cloudwatch;
mod ecr;
mod ecs;
mod http;
mod s3;
mod ssm;
mod sts;

mod host;
mod simulator;

pub mod moto;
pub mod python;

pub use call::{Call, Outcome};
pub use ecr::REGISTRY_PASSWORD;
pub use faults::{AfterCall, Faults};
pub use host::Occupied;
pub use identity::{Policy, PolicyError, Role, User};
pub use s3::Object;
pub use simulator::{Builder, Simulator, SimulatorError};
pub use ssm::{
    CommandView, Document, Execution, Finished, InvocationView, Messages, Status, Stub, StubCall, Timing,
};
pub use world_file::{WorldFileError, read_world};

pub use world::{
    Alarm, AlarmKind, AlarmState, Arch, Cluster, Container, ContainerInstance, HostSetup, LaunchType,
    LoadBalancer, ManagedInstance, NetworkMode, PingStatus, Platform, Port, Service, Task, TaskStatus, World,
};

/// Tests unwrap the errors of this crate, and `unwrap` prints `Debug`: it has to say what went wrong and what to do.
pub(crate) fn debug_chain(
    error: &dyn std::error::Error,
    formatter: &mut std::fmt::Formatter<'_>,
) -> std::fmt::Result {
    write!(formatter, "{error}")?;
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.into_iter().try_for_each(|cause| write!(formatter, ": {cause}"))
}
