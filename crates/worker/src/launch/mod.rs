//! From a launch that was accepted to a program with everything substituted, fetched and made.

mod artifacts;
pub mod bench;
mod directories;
mod environment;
mod prepare;
mod scratch;
mod variables;

pub use artifacts::ArtifactError;
pub use directories::Layout;
pub use environment::{ClusterFacts, Places, WorkerFacts};
pub use prepare::{PrepareError, Prepared, Preparer, in_one_line};
pub use scratch::Scratches;
pub use variables::{UnknownVariable, substitute};
