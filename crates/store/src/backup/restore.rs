//! Makes a store from a backup.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use muster_types::{ClusterRecord, Commit};

use super::format::{Decoder, FormatError};
use crate::codec::Stored as _;
use crate::key::Key;
use crate::schema::{CURRENT, SCHEMA};
use crate::{Location, OpenError, embedded, etcd};

/// A store could not be made from a backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file cannot be opened.
    #[error("cannot open the backup {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a readable backup. Nothing was touched.
    #[error("cannot use the backup {path}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The place for the new store is not empty. Nothing was touched.
    #[error("the store {store} is not empty: restore into a new prefix or directory")]
    NotEmpty {
        /// Where.
        store: String,
    },
    /// A store in memory cannot be restored: it would be gone with the process.
    #[error("nothing can be restored into memory")]
    Nowhere,
    /// The store could not be made. A partial result is never taken for a store.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The cluster.
    pub cluster: ClusterRecord,
    /// Its generation now: one more than that of the store that the backup was taken from.
    pub generation: u64,
    /// Number of the newest transaction in it.
    pub commit: Commit,
    /// How many records.
    pub records: u64,
}

/// A backup that was read to its end and verified.
#[derive(Debug)]
pub(crate) struct Verified {
    path: PathBuf,
    schema: u32,
    pub(crate) restored: Restored,
}

impl Verified {
    /// Reads and checks the whole file.
    fn read(path: &Path) -> Result<Verified, RestoreError> {
        let wrong = |source: FormatError| RestoreError::Backup { path: path.to_owned(), source: source.into() };
        let mut decoder = open(path)?;
        let header = decoder.header.clone();
        if header.schema > SCHEMA {
            let text = format!("its schema {} is newer than {SCHEMA}: use a newer Muster", header.schema);
            return Err(RestoreError::Backup { path: path.to_owned(), source: text.into() });
        }
        let cluster = header.cluster.ok_or(FormatError::Damaged("it names no cluster")).map_err(wrong)?;
        let cluster = ClusterRecord::from_message(cluster);
        let cluster = cluster.map_err(|_| wrong(FormatError::Damaged("its cluster cannot be read")))?;
        let mut records = 0;
        while let Some((key, value)) = decoder.next().map_err(wrong)? {
            let lifted = CURRENT.lift(header.schema, key, value);
            lifted.map_err(|error| RestoreError::Backup { path: path.to_owned(), source: error.into() })?;
            records += 1;
        }
        let (generation, commit) = (header.generation.saturating_add(1), Commit(header.commit));
        let restored = Restored { cluster, generation, commit, records };
        Ok(Verified { path: path.to_owned(), schema: header.schema, restored })
    }

    /// Reads the records once more, in the present schema.
    pub(crate) fn records(&self) -> Result<impl Iterator<Item = Result<(Key, Vec<u8>), RestoreError>>, RestoreError> {
        let mut decoder = open(&self.path)?;
        let wrong = |source: crate::error::Cause| RestoreError::Backup { path: self.path.clone(), source };
        Ok(std::iter::from_fn(move || {
            let (key, value) = match decoder.next() {
                Ok(next) => next?,
                Err(error) => return Some(Err(wrong(error.into()))),
            };
            let lifted = CURRENT.lift(self.schema, key, value);
            Some(lifted.map(|value| (key, value)).map_err(|error| wrong(error.into())))
        }))
    }
}

fn open(path: &Path) -> Result<Decoder<BufReader<File>>, RestoreError> {
    let file = File::open(path).map_err(|source| RestoreError::File { path: path.to_owned(), source })?;
    Decoder::begin(BufReader::with_capacity(256 << 10, file))
        .map_err(|error| RestoreError::Backup { path: path.to_owned(), source: error.into() })
}

/// Makes a store from a backup, in an empty prefix or directory, with the generation after that of
/// the backup. The file is read to its end before anything is made.
pub async fn restore(path: &Path, location: &Location) -> Result<Restored, RestoreError> {
    let verified = Verified::read(path)?;
    match location {
        Location::Memory => return Err(RestoreError::Nowhere),
        Location::Embedded(directory) => embedded::restore(directory, &verified)?,
        Location::Etcd(location) => etcd::restore(location, &verified).await?,
    }
    Ok(verified.restored)
}
