//! What every program needs of the operating system: clocks, a lock on a file, files that are
//! replaced as a whole, and information about processes.

pub mod clock;
pub mod file;
mod lock;
mod pid_namespace;
pub mod proc;

pub use lock::{LockError, LockFile};
pub use pid_namespace::{NotANamespace, PidNamespace};
