//! The spans of this master: of the calls that change something, of launches, and of attempts.

mod attempts;
mod layer;

pub(crate) use attempts::{ended, launching};
pub(crate) use layer::Traced;
