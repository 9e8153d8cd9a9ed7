//! The two seams of httpfault, each in one place so that its two sides cannot drift apart:
//!
//! - [`abi`]: what the kernel programs and the agent share. Plain integers, `no_std`.
//! - [`contract`]: what the controller and the agent share. Command line payload, JSON reports, exit codes.
#![cfg_attr(not(feature = "contract"), no_std)]

pub mod abi;
#[cfg(feature = "contract")]
pub mod contract;
