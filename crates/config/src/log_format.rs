//! How a program logs.

use clap::ValueEnum;

/// The form of the lines of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object on each line, for collectors of logs.
    Json,
}
