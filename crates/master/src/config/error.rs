//! What is wrong with a configuration.

use std::path::PathBuf;

use clap::error::ErrorKind;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag or variable; or help was asked for.
    #[error("bad flags")]
    Flags(#[source] clap::Error),
    /// The file cannot be read.
    #[error("cannot read {path}")]
    ReadFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not a configuration: {}", .error.message())]
    ParseFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: Box<toml::de::Error>,
    },
    /// The file has a key that is no flag.
    #[error("{path} has an unknown key {key:?}")]
    UnknownKey {
        /// Its path.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The file has a table or list where a value is expected.
    #[error("{path} has no text, number or boolean at {key:?}")]
    NotAValue {
        /// Its path.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The address is open to other machines.
    #[error(
        "--listen {0} is reachable from other machines and there are no credentials yet: add --insecure-listen if that is \
         meant"
    )]
    OpenListen(std::net::SocketAddr),
    /// The name of the store.
    #[error("bad --store")]
    Store(#[source] muster_store::OpenError),
    /// The lengths of time do not go together.
    #[error("{0}")]
    Timing(&'static str),
    /// A flag of a master that serves, where something else is asked for.
    #[error("--{0} is a flag of a master that serves")]
    Stray(String),
    /// Something else than serving is asked for.
    #[error("this is not about serving")]
    NotServing,
    /// The log filter.
    // It repeats its cause in its own words.
    #[error("bad --log: {0}")]
    Log(tracing_subscriber::filter::ParseError),
}

impl ConfigError {
    /// Whether it is what was asked for rather than an error: help, or the version.
    pub fn shown(&self) -> Option<&clap::Error> {
        match self {
            ConfigError::Flags(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// The whole error in one line.
    pub fn line(&self) -> String {
        match self {
            ConfigError::Flags(error) => {
                let text = error.render().to_string();
                let first = text.lines().next().unwrap_or_default();
                first.strip_prefix("error: ").unwrap_or(first).to_owned()
            }
            other => crate::error_line(other),
        }
    }
}
