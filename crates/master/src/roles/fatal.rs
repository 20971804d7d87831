//! The failures that end a master.

use muster_store::{CampaignError, CommitError, LoadError};

use crate::entropy::NoEntropy;

/// The process must end.
#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    /// Leadership cannot be won.
    #[error("cannot become leader")]
    Campaign(#[source] CampaignError),
    /// The records cannot be read.
    #[error("cannot load the records")]
    Load(#[source] LoadError),
    /// The records cannot be written: nothing that the store says can be trusted.
    #[error("cannot commit")]
    Commit(#[source] CommitError),
    /// No random numbers.
    #[error("cannot start")]
    Entropy(#[source] NoEntropy),
    /// The address file cannot be written.
    #[error("cannot write the address file {0}")]
    AddressFile(std::path::PathBuf, #[source] std::io::Error),
    /// The core panicked again and again.
    #[error("the decisions failed {0} times in a minute (see the log)")]
    Torn(usize),
    /// A task of the master panicked; the text names the task.
    #[error("the {0} failed")]
    Lost(&'static str, #[source] tokio::task::JoinError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panicked_is_named() {
        let panicked = tokio::spawn(async { panic!("on purpose") }).await.unwrap_err();
        assert_eq!(FatalError::Lost("server", panicked).to_string(), "the server failed");
    }
}
