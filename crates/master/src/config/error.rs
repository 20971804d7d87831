//! What is wrong with a configuration.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use clap::error::ErrorKind;

/// The configuration cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// A flag or variable; or help was asked for.
    Flags(clap::Error),
    /// The file cannot be read.
    ReadFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    ParseFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// The file has a key that is no flag.
    UnknownKey {
        /// Its path.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The file has a table or list where a value is expected.
    NotAValue {
        /// Its path.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The address is open to other machines.
    OpenListen(std::net::SocketAddr),
    /// The name of the store.
    Store(muster_store::OpenError),
    /// The lengths of time do not go together.
    Timing(&'static str),
    /// A flag of a master that serves, where something else is asked for.
    Stray(String),
    /// Something else than serving is asked for.
    NotServing,
    /// The log filter.
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

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Flags(_) => f.write_str("bad flags"),
            ConfigError::ReadFile { path, .. } => write!(f, "cannot read {}", path.display()),
            ConfigError::ParseFile { path, source } => {
                write!(f, "{} is not a configuration: {}", path.display(), source.message())
            }
            ConfigError::UnknownKey { path, key } => write!(f, "{} has an unknown key {key:?}", path.display()),
            ConfigError::NotAValue { path, key } => {
                write!(f, "{} has no text, number or boolean at {key:?}", path.display())
            }
            ConfigError::OpenListen(address) => write!(
                f,
                "--listen {address} is reachable from other machines and there are no credentials yet: add \
                 --insecure-listen if that is meant"
            ),
            ConfigError::Store(_) => f.write_str("bad --store"),
            ConfigError::Timing(message) => f.write_str(message),
            ConfigError::Stray(flag) => write!(f, "--{flag} is a flag of a master that serves"),
            ConfigError::NotServing => f.write_str("this is not about serving"),
            // It repeats its cause in its own words.
            ConfigError::Log(error) => write!(f, "bad --log: {error}"),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConfigError::Flags(error) => Some(error),
            ConfigError::ReadFile { source, .. } => Some(source),
            ConfigError::Store(error) => Some(error),
            ConfigError::Log(_)
            | ConfigError::ParseFile { .. }
            | ConfigError::UnknownKey { .. }
            | ConfigError::NotAValue { .. }
            | ConfigError::OpenListen(_)
            | ConfigError::Timing(_)
            | ConfigError::Stray(_)
            | ConfigError::NotServing => None,
        }
    }
}
