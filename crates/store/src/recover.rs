//! Raises the generation of a store that went back in time.

use crate::{Location, OpenError, embedded, etcd};

/// Raises the generation of a store, and returns the new one. In etcd, the same transaction deletes
/// all election keys, which ends every term. A directory must not be in use.
pub async fn recover(location: &Location) -> Result<u64, OpenError> {
    match location {
        Location::Memory => Err(OpenError::Nothing { store: location.to_string() }),
        Location::Embedded(directory) => embedded::recover(directory),
        Location::Etcd(location) => etcd::recover(location).await,
    }
}
