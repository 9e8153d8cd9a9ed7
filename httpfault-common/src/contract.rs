//! Controller <-> agent: what `httpfault-agent run --spec` takes and what the agent prints.
//!
//! Both binaries use these types, so neither builds nor parses the other's text by hand.

mod check;
pub mod default;
mod exit;
mod grpc;
mod history;
pub mod metrics;
mod missing;
mod report;
mod spec;

pub use check::{Mistake, Mistakes};
pub use exit::Exit;
pub use grpc::{GrpcError, GrpcStatus, NoGrpcStatus};
pub use history::History;
pub use missing::MissingHeader;
pub use report::{
    CheckReport, Counters, Event, FaultStatus, Injected, InjectedTarget, LeftBehind, Outcome, Phase, Problem,
    RemoveReport, Removed, RemovedFault, RemovedHow, RemovedReason, StatusReport, TargetReport, is_zero,
};
pub use spec::{
    ExistingConnections, ExperimentId, Fault, HeaderLine, Replacement, RunSpec, Selection, SpecError,
    TargetSelector, limit,
};
