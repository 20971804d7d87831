//! Why a master ends other than by being told to.

use std::fmt;

use muster_store::{CampaignError, CommitError, LoadError};

use crate::entropy::NoEntropy;

/// The process must end.
#[derive(Debug)]
pub enum FatalError {
    /// Leadership cannot be won.
    Campaign(CampaignError),
    /// The records cannot be read.
    Load(LoadError),
    /// The records cannot be written: nothing that the store says can be trusted.
    Commit(CommitError),
    /// No random numbers.
    Entropy(NoEntropy),
    /// The address file cannot be written.
    AddressFile(std::path::PathBuf, std::io::Error),
    /// The core panicked again and again.
    Torn(usize),
    /// The commit loop ended without a word.
    Lost(tokio::task::JoinError),
}

impl fmt::Display for FatalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FatalError::Campaign(_) => f.write_str("cannot become leader"),
            FatalError::Load(_) => f.write_str("cannot load the records"),
            FatalError::Commit(_) => f.write_str("cannot commit"),
            FatalError::Entropy(_) => f.write_str("cannot start"),
            FatalError::AddressFile(path, _) => write!(f, "cannot write the address file {}", path.display()),
            FatalError::Torn(times) => write!(f, "the decisions failed {times} times in a minute (see the log)"),
            FatalError::Lost(_) => f.write_str("the commit loop failed"),
        }
    }
}

impl std::error::Error for FatalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FatalError::Campaign(error) => Some(error),
            FatalError::Load(error) => Some(error),
            FatalError::Commit(error) => Some(error),
            FatalError::Entropy(error) => Some(error),
            FatalError::AddressFile(_, error) => Some(error),
            FatalError::Lost(error) => Some(error),
            FatalError::Torn(_) => None,
        }
    }
}
