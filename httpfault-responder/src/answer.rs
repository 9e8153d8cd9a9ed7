//! Answering one request.

mod body;
mod replacement;

pub(crate) use body::AnswerBody;
pub(crate) use replacement::Replacements;
