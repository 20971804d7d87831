//! Events: the kept window, and those who watch.

mod encoded;
mod hub;
mod log;
mod publisher;
mod retention;
mod watch;

pub use encoded::Piece;
pub use hub::{Hub, WatchEnd};
pub use log::{OutOfRange, Wanted};
pub use publisher::{Publication, Publisher, publisher};
pub use retention::{Retention, RetentionLimits};
pub use watch::{Watch, WatchError};
