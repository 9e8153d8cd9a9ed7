//! HTTP/1.0 and HTTP/1.1.

mod framing;
mod front;
mod head;
mod hyper_io;
mod one;
mod patience;
mod ready;
mod relay;
mod serve;

pub(crate) use self::{
    front::{Begun, Front},
    ready::{Stop, answer as answer_at_once},
};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
