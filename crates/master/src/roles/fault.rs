//! Why a master ends other than by being told to.

use std::fmt;

use muster_store::{CampaignError, CommitError, LoadError};

use crate::entropy::NoEntropy;

/// The process must end.
#[derive(Debug)]
pub enum Fault {
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Campaign(_) => f.write_str("cannot become leader"),
            Fault::Load(_) => f.write_str("cannot load the records"),
            Fault::Commit(_) => f.write_str("cannot commit"),
            Fault::Entropy(_) => f.write_str("cannot start"),
            Fault::AddressFile(path, _) => write!(f, "cannot write the address file {}", path.display()),
            Fault::Torn(times) => write!(f, "the decisions failed {times} times in a minute (see the log)"),
            Fault::Lost(_) => f.write_str("the commit loop failed"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Fault::Campaign(error) => Some(error),
            Fault::Load(error) => Some(error),
            Fault::Commit(error) => Some(error),
            Fault::Entropy(error) => Some(error),
            Fault::AddressFile(_, error) => Some(error),
            Fault::Lost(error) => Some(error),
            Fault::Torn(_) => None,
        }
    }
}
