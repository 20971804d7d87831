//! What every program needs of the operating system: clocks, a lock on a file, files that are
//! replaced as a whole, directories of its own, and information about processes.

pub mod clock;
pub mod file;
mod lock;
mod pid_namespace;
mod private_directory;
pub mod proc;
mod remove_tree;

pub use lock::{LockError, LockFile};
pub use pid_namespace::{NotANamespace, PidNamespace};
pub use private_directory::{
    OwnFiles, PrivateDirectoryError, make_private, make_readable, make_traversable, make_traversable_parents,
    refuse_shared,
};
pub use remove_tree::{is_directory, remove_tree};
