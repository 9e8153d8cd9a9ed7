//! What the end-to-end tests stand on, in the order in which a test uses it.
//!
//! A test takes the machine for itself ([`machine`]), makes a target, runs the real agent against it, watches it
//! with real clients and asks the kernel that nothing is left. Two kinds of target:
//!
//! - [`docker`]: containers of a real Docker engine, which lives with its bridge and its NAT rules in a network
//!   namespace of its own. That namespace is "the container instance"; the machine's own network is never touched.
//! - [`site`]: one process in a network namespace and a cgroup made for it, where a container adds nothing: the fixture
//!   server, or one of the [`servers`] that people run. [`clients`] are theirs too.
//!
//! Everything made here is removed when its value is dropped, also when a test panics.

pub mod background;
pub mod bpf;
pub mod command;
pub mod machine;
pub mod wait;

pub mod cgroup;
pub mod netns;

pub mod docker;
pub mod engine;
pub mod fixture;
pub mod image;
pub mod inside;
pub mod package;
pub mod server;
pub mod servers;
pub mod site;

pub mod agent;
pub mod ecs;
pub mod parts;

pub mod clients;
pub mod http2;
pub mod load;
pub mod tls;
pub mod wire;

pub mod clean;

pub mod experiment;
