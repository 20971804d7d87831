//! Logs. They are bounded at their head, read by offset, and kept for a while.

mod bound;
mod pace;
mod reader;
mod retention;
mod truncations;

pub use bound::{BoundError, bound, can_punch};
pub use pace::{Armed, LogPace, LogWatch};
pub use reader::{LogPiece, LogReadError, LogReader, Position, ReadStart};
pub use retention::{CleanedUp, remove, remove_old_logs};
pub use truncations::Truncations;

/// Names of the output files in an attempt's log directory.
pub const STREAMS: [&str; 2] = ["stdout", "stderr"];
