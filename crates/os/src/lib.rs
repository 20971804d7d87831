//! What a machine gives to every program alike: its clocks, a lock on a file, and files that are
//! replaced as a whole.

pub mod clock;
pub mod file;
mod lock;

pub use lock::{LockError, LockFile};
