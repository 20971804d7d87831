//! Events: the kept window, and its watchers.

mod broker;
mod encoded;
mod log;
mod publisher;
mod retention;
mod watch;

pub(crate) use broker::{EventBroker, WatchEnd};
pub(crate) use encoded::Chunk;
pub(crate) use log::{EventFilter, OutOfRange};
pub(crate) use publisher::{Publication, Publisher, publisher};
pub use retention::RetentionLimits;
pub(crate) use retention::{CommitEventsSize, EventRetention};
pub(crate) use watch::{EventStream, WatchError};
