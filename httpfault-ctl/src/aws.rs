//! Everything that knows the AWS SDK. Nothing outside this module sees one of its types.

mod alarms;
mod config;
mod credentials;
mod deliver;
mod dispatch;
mod document;
mod errands;
mod error;
mod hosts;
pub(crate) mod limit;
mod lookup;
mod one_by_one;
mod policy;
mod presign;
mod put;
mod resolve;
mod rights;
pub(crate) mod scripts;
mod services;
mod valid;
mod wait;

pub(crate) use alarms::Alarm;
pub(crate) use config::Cloud;
pub(crate) use dispatch::{Action, Sent};
pub(crate) use document::{DocumentKind, Kept};
pub(crate) use errands::{Errands, Reply};
pub(crate) use error::ApiError;
pub(crate) use hosts::Hosts;
pub(crate) use lookup::{Looked, Past};
pub(crate) use policy::{REFERENCE, least};
pub(crate) use rights::Optional;
pub(crate) use wait::{Answer, State};
