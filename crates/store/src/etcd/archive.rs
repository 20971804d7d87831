//! Backups of a prefix. It is read in pages at one revision, from any member, by a leader or a
//! standby alike.

use std::sync::Arc;

use muster_types::{ClusterRecord, Commit};

use super::connection::{Access, EtcdConnection};
use super::failure::{EtcdFailure, FailureKind};
use super::keys::{KeyKind, Keys};
use super::page::Pages;
use crate::ArchiveError;
use crate::backup::{BackupSource, Pour};
use crate::codec::proto::{GenerationRecord, HeadRecord, SchemaRecord};
use crate::codec::{DecodeError, Stored as _};

/// The access that reading a prefix needs.
pub(super) struct EtcdSource {
    pub(super) access: Arc<Access>,
    pub(super) keys: Keys,
}

impl BackupSource for EtcdSource {
    fn pour(&self, into: Pour) {
        tokio::spawn(pour(self.access.connection(0), self.keys.clone(), into));
    }
}

async fn pour(mut connection: EtcdConnection, keys: Keys, mut into: Pour) {
    match pour_all(&mut connection, &keys, &mut into).await {
        Ok(()) => into.end().await,
        Err(Some(error)) => into.fail(error).await,
        // The reader is gone.
        Err(None) => {}
    }
}

/// Writes everything. An error of `None` means that the reader is gone.
async fn pour_all(connection: &mut EtcdConnection, keys: &Keys, into: &mut Pour) -> Result<(), Option<ArchiveError>> {
    // The records that every store has come first; their revision is that of the whole backup.
    let mut head = Pages::now(keys.meta());
    let mut meta = Meta::default();
    while let Some(page) = head.next(connection).await.map_err(failed)? {
        for record in page {
            if keys.place(record.key()) == Some(KeyKind::Migration) {
                return Err(Some(ArchiveError::Store { source: "its records are on the way to a newer form".into() }));
            }
            meta.take(keys.place(record.key()), record.value()).map_err(unreadable)?;
        }
    }
    let Meta { schema: Some(schema), cluster: Some(cluster), generation: Some(generation), head: Some(commit) } = meta
    else {
        return Err(Some(ArchiveError::Store { source: "there is no cluster under the prefix".into() }));
    };
    into.begin(schema, &cluster, generation, commit);
    let mut pages = Pages::at(keys.everything(), head.revision());
    while let Some(page) = pages.next(connection).await.map_err(failed)? {
        for record in page {
            let Some(KeyKind::Record(key)) = keys.place(record.key()) else { continue };
            let (_, value) = record.into_key_value();
            if into.add(key, value) {
                into.flush().await.map_err(|_| None)?;
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Meta {
    schema: Option<u32>,
    cluster: Option<ClusterRecord>,
    generation: Option<u64>,
    head: Option<Commit>,
}

impl Meta {
    fn take(&mut self, place: Option<KeyKind>, value: &[u8]) -> Result<(), DecodeError> {
        match place {
            Some(KeyKind::Schema) => self.schema = Some(SchemaRecord::decode(value)?.version),
            Some(KeyKind::Cluster) => self.cluster = Some(ClusterRecord::decode(value)?),
            Some(KeyKind::Generation) => self.generation = Some(GenerationRecord::decode(value)?.generation),
            Some(KeyKind::Head) => self.head = Some(Commit(HeadRecord::decode(value)?.commit)),
            Some(KeyKind::Migration | KeyKind::Election(_) | KeyKind::Record(_)) | None => {}
        }
        Ok(())
    }
}

fn failed(failure: EtcdFailure) -> Option<ArchiveError> {
    Some(match failure.kind {
        FailureKind::Compacted => ArchiveError::Forgotten,
        _ => ArchiveError::Store { source: failure.source },
    })
}

fn unreadable(error: DecodeError) -> Option<ArchiveError> {
    Some(ArchiveError::Store { source: error.into() })
}
