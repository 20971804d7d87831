//! Raising the generation of a store that went back in time.

use crate::{Location, OpenError, embedded, etcd};

/// Raises the generation of a store, and ends whatever leads on it: its election keys are deleted
/// with the same transaction. The new generation. A directory must be in use by nobody.
pub async fn recover(location: &Location) -> Result<u64, OpenError> {
    match location {
        Location::Memory => Err(OpenError::Nothing { store: location.to_string() }),
        Location::Embedded(directory) => embedded::recover(directory),
        Location::Etcd(location) => etcd::recover(location).await,
    }
}
