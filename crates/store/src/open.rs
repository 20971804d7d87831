//! Opens a store by its location.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{
    AnyCandidate, Candidacy, EmbeddedCandidate, EtcdCandidate, EtcdLocation, MemoryCandidate, NewCluster, OpenError,
};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `memory:`; gone with the process.
    Memory,
    /// `embedded:DIRECTORY`.
    Embedded(PathBuf),
    /// `etcd://HOST:PORT,…/PREFIX`, or `etcds://…` with TLS.
    Etcd(EtcdLocation),
}

/// The location without a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Memory => f.write_str("memory:"),
            Location::Embedded(directory) => write!(f, "embedded:{}", directory.display()),
            Location::Etcd(location) => location.fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Location, OpenError> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Location::Memory),
            Some(("embedded", directory)) if !directory.is_empty() => Ok(Location::Embedded(directory.into())),
            Some(("etcd" | "etcds", rest)) if rest.starts_with("//") => text.parse().map(Location::Etcd),
            _ => Err(OpenError::Location { location: without_password(text) }),
        }
    }
}

/// Hides the part before an `@`, because a misspelt location may hold a password too.
fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("***@{rest}"),
        None => text.to_owned(),
    }
}

/// Opens the store, and makes it if there is none. Before this completes, an embedded store is
/// locked and verified, and a store in etcd is checked to be ours and usable.
pub async fn open(
    location: &Location,
    new_cluster: NewCluster,
    candidacy: Candidacy,
) -> Result<AnyCandidate, OpenError> {
    match location {
        Location::Memory => {
            let candidate = MemoryCandidate::new(new_cluster)?;
            Ok(AnyCandidate::Memory(candidate.standing_as(candidacy)))
        }
        Location::Embedded(directory) => {
            EmbeddedCandidate::open(directory, new_cluster, candidacy).await.map(AnyCandidate::Embedded)
        }
        Location::Etcd(location) => {
            let candidate = EtcdCandidate::open(location, new_cluster, candidacy).await?;
            Ok(AnyCandidate::Etcd(Box::new(candidate)))
        }
    }
}
