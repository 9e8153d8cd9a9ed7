//! Resident memory with open connections, each of which has had a response.

use anyhow::{Context, Result};
use httpfault_tests::{cgroup::Cgroup, wire::Connection};
use procfs::process::Process;

use crate::{
    contenders,
    results::{Memory, Results},
    size::Size,
};

pub(crate) fn measure(size: &Size, results: &mut Results) -> Result<()> {
    for contender in contenders::holding()? {
        for &connections in &size.connections {
            let mut open = Vec::with_capacity(connections);
            contender.site.client.run(|| {
                for _ in 0..connections {
                    let mut connection = Connection::open(contender.site.v4())?;
                    connection.get("/")?;
                    open.push(connection);
                }
                Ok(())
            })?;
            let megabytes = resident(contender.cgroup())?;
            results.memory.push(Memory { who: contender.who, connections, megabytes });
        }
    }
    Ok(())
}

/// Of all processes of a cgroup, megabytes; what they share is divided among who shares it.
pub(crate) fn resident(cgroup: &Cgroup) -> Result<f64> {
    let share = |process: &Process| -> Result<u64> {
        let rollup = process.smaps_rollup().context("reading smaps_rollup")?;
        let maps = rollup.memory_map_rollup.0;
        Ok(maps.iter().filter_map(|map| map.extension.map.get("Pss")).sum())
    };
    let bytes = cgroup.processes()?.iter().map(share).sum::<Result<u64>>()?;
    Ok(bytes as f64 / 1024.0 / 1024.0)
}
