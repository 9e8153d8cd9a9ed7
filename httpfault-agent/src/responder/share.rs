//! What one target may have of what the process has.

use httpfault_responder::Limits;

/// Connections of all targets together. One that is idle takes about 8 KB, so that is half a gigabyte.
const CONNECTIONS: usize = 65_536;
/// Descriptors that are no connections: of the process, and of each target (listeners, sockets that are made in advance).
const OF_THE_PROCESS: usize = 24;
const OF_A_TARGET: usize = 8;
/// A connection that is relayed has a second one, to the application.
const OF_A_CONNECTION: usize = 2;
/// Below that a target would not be served at all.
const LEAST: usize = 8;

/// Limits of each of `targets` targets, in a process that may have so many `descriptors`.
pub(super) fn limits(targets: usize, descriptors: usize) -> Limits {
    let limits = Limits::default();
    let targets = targets.max(1);
    let free = descriptors.saturating_sub(OF_THE_PROCESS + OF_A_TARGET * targets);
    let share = CONNECTIONS.min(free / OF_A_CONNECTION) / targets;
    Limits { max_connections: limits.max_connections.min(share).max(LEAST), ..limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(targets: usize, descriptors: usize) -> usize {
        limits(targets, descriptors).max_connections
    }

    #[test]
    fn targets_share_descriptors_and_memory() {
        let usual = Limits::default().max_connections;
        assert_eq!(connections(1, 1 << 20), usual);
        assert_eq!(connections(100, 1 << 20), CONNECTIONS / 100);
        assert_eq!(connections(1, 1024), (1024 - OF_THE_PROCESS - OF_A_TARGET) / 2);
        assert_eq!(connections(10, 1024), (1024 - OF_THE_PROCESS - 10 * OF_A_TARGET) / 2 / 10);
        assert_eq!(connections(100, 64), LEAST);
        assert_eq!(connections(0, 1 << 20), usual);
    }
}
