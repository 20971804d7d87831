//! From an accepted launch to a program: variables are substituted, directories made and artifacts
//! fetched.

mod artifacts;
mod directories;
mod environment;
pub mod pool;
mod prepare;
mod reachable;
mod redirect;
mod scratch;
mod variables;

pub use artifacts::FetchError;
pub use directories::AttemptDirectories;
pub use environment::{AttemptPaths, ClusterVariables, WorkerVariables};
pub use prepare::{PrepareError, PreparedLaunch, Preparer, in_one_line};
pub use reachable::ArtifactNetworks;
pub use scratch::ScratchDirectories;
pub use variables::{UnknownVariable, substitute};
