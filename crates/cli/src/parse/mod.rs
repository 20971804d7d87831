//! Parses values of the command line strictly; each error says what would be right.

mod artifact;
mod env_file;
mod names;
mod pair;
mod target;

pub(crate) use artifact::ArtifactRef;
pub(crate) use env_file::{EnvFileError, read_env_file};
pub(crate) use names::is_variable_name;
pub(crate) use pair::{Count, Pair, SecretSource};
pub(crate) use target::ProcessArg;
