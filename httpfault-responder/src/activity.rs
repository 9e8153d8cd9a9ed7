//! Who is doing what: the life of the responder as its connections see it, and theirs as the responder sees it.

mod life;
mod seat;
mod track;

pub(crate) use life::{Life, Phase};
pub(crate) use seat::{Doing, Seat};
pub(crate) use track::{Busy, Track};
