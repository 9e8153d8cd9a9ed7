//! The machines behind the instances: each a mount namespace of this machine in which its scripts run.

mod job;
mod mountpoint;
mod namespace;
mod processes;
mod queue;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use job::Job;
pub(crate) use mountpoint::{Mountpoint, MountpointError};
pub(crate) use processes::Census;
pub use queue::Occupied;
pub(crate) use queue::Queue;

use crate::world::HostSetup;
use namespace::Host;

/// Directories that every host has for itself.
pub(crate) const PRIVATE: [&str; 2] = ["/run/httpfault", "/var/lib/httpfault"];

/// All hosts, made when they are first needed.
#[derive(Debug)]
pub(crate) struct Hosts {
    directory: PathBuf,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    boots: Mutex<HashMap<String, u32>>,
}

impl Hosts {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Hosts { directory, hosts: Mutex::default(), queues: Mutex::default(), boots: Mutex::default() }
    }

    pub(crate) fn queue(&self, instance: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(queues.entry(instance.to_owned()).or_default())
    }

    /// Where a host keeps its files on this machine.
    pub(crate) fn directory(&self, instance: &str) -> PathBuf {
        self.directory.join("hosts").join(instance)
    }

    /// The host of an instance, set up when it is asked for the first time.
    fn host(&self, instance: &str, setup: &HostSetup) -> std::io::Result<Arc<Host>> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(instance) {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(Host::start(&self.directory(instance), setup)?);
        hosts.insert(instance.to_owned(), Arc::clone(&host));
        Ok(host)
    }

    /// How often the host was rebooted from outside of its scripts.
    pub(crate) fn boots(&self, instance: &str) -> u32 {
        let boots = self.boots.lock().unwrap_or_else(PoisonError::into_inner);
        boots.get(instance).copied().unwrap_or_default()
    }

    /// Pulls the plug: scripts that run are lost.
    pub(crate) fn crash(&self, instance: &str) {
        *self.boots.lock().unwrap_or_else(PoisonError::into_inner).entry(instance.to_owned()).or_default() +=
            1;
        self.reboot(instance);
    }

    /// Ends all processes of a host and empties its /run.
    pub(crate) fn reboot(&self, instance: &str) {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(instance) {
            Census::of([host.mount_namespace]).end();
            host.empty_run();
        }
    }

    /// The processes that run on a host.
    pub(crate) fn processes(&self, instance: &str) -> Vec<i32> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(instance).map(|host| Census::of([host.mount_namespace]).processes()).unwrap_or_default()
    }

    /// Ends all processes of all hosts, also those that left their process group or session.
    pub(crate) fn end(&self) {
        let hosts = std::mem::take(&mut *self.hosts.lock().unwrap_or_else(PoisonError::into_inner));
        let census = Census::of(hosts.values().map(|host| host.mount_namespace));
        // A host that is being asked for a process right now must have answered before its processes are counted.
        hosts.into_values().filter_map(Arc::into_inner).for_each(Host::close);
        census.end();
    }
}
