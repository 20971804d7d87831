//! Tells others that calls are answered here: probes, and whoever waits for the address file.

use std::path::{Path, PathBuf};

use muster_store::LeaderWatch;

use super::fatal::FatalError;
use crate::config::MasterSettings;
use crate::health::Health;

/// What says whether calls are answered.
#[derive(Debug)]
pub(crate) struct Readiness {
    health: Health,
    address: String,
    address_file: Option<PathBuf>,
    open: bool,
}

impl Readiness {
    /// Closed.
    pub(crate) fn new(health: Health, settings: &MasterSettings, address: &str) -> Readiness {
        Readiness { health, address: address.to_owned(), address_file: settings.address_file.clone(), open: false }
    }

    /// Calls are answered, by this master or through it.
    pub(crate) async fn open(&mut self) -> Result<(), FatalError> {
        if std::mem::replace(&mut self.open, true) {
            return Ok(());
        }
        self.health.serves(true).await;
        match &self.address_file {
            Some(path) => {
                write_address(path, &self.address).map_err(|error| FatalError::AddressFile(path.clone(), error))
            }
            None => Ok(()),
        }
    }

    /// Follows the election while this master does not lead: open as long as another one does. Ends
    /// with a failure only.
    ///
    /// Between two leaders it stays as it is: calls are held meanwhile, and a probe that fell upon
    /// the gap would take every master out at once.
    pub(crate) async fn follow(&mut self, mut election: LeaderWatch) -> FatalError {
        loop {
            let view = election.view();
            if !view.members.is_empty()
                && view.own != Some(0)
                && let Err(fault) = self.open().await
            {
                return fault;
            }
            election.changed().await;
        }
    }
}

/// Whole or not at all: whoever waits for the file reads it as soon as it is there.
fn write_address(path: &Path, address: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, format!("{address}\n"))?;
    std::fs::rename(&partial, path)
}
