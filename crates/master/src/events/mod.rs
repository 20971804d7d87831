//! Events: the kept window, and those who watch.

mod encoded;
mod hub;
mod log;
mod publisher;
mod retention;
mod watch;

pub(crate) use encoded::Piece;
pub(crate) use hub::{Hub, WatchEnd};
pub(crate) use log::{OutOfRange, Wanted};
pub(crate) use publisher::{Publication, Publisher, publisher};
pub use retention::RetentionLimits;
pub(crate) use retention::{Kept, Retention};
pub(crate) use watch::{Watch, WatchError};
