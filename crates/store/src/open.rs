//! From the name of a store to the store.

use std::path::PathBuf;
use std::str::FromStr;

use crate::{AnyCandidate, EmbeddedCandidate, Founding, MemoryCandidate, OpenError};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `memory:`; gone with the process.
    Memory,
    /// `embedded:DIRECTORY`.
    Embedded(PathBuf),
}

impl FromStr for Location {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Location, OpenError> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Location::Memory),
            Some(("embedded", directory)) if !directory.is_empty() => Ok(Location::Embedded(directory.into())),
            _ => Err(OpenError::Location { location: text.to_owned() }),
        }
    }
}

/// Opens the store, and makes it if there is none. An embedded one is locked and verified before this is ready.
pub async fn open(location: &Location, founding: Founding) -> Result<AnyCandidate, OpenError> {
    match location {
        Location::Memory => MemoryCandidate::new(founding).map(AnyCandidate::Memory),
        Location::Embedded(directory) => EmbeddedCandidate::open(directory, founding).await.map(AnyCandidate::Embedded),
    }
}
