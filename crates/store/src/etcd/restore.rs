//! Fills a prefix from a backup, and raises the generation of a prefix.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};

use super::check::{self, CALL_TOTAL, CALL_WITHIN, EtcdName, find};
use super::connection::{Access, ClientHandle, EtcdConnection};
use super::keys::{KeyKind, Keys};
use super::location::EtcdLocation;
use crate::backup::Verified;
use crate::codec::Stored as _;
use crate::codec::proto::{GenerationRecord, HeadRecord, SchemaRecord};
use crate::random::random_u128;
use crate::schema::SCHEMA;
use crate::{OpenError, RestoreError};

/// The most records and bytes of one transaction, within etcd's limits of 128 operations and 1.5
/// MiB.
const BATCH: usize = 120;
const BATCH_BYTES: usize = 1 << 20;

/// A prefix during its filling. Its mark exists from the first transaction until after the schema
/// is written, so that no program takes an unfinished prefix for a cluster.
struct Filling {
    connection: EtcdConnection,
    keys: Keys,
    subject: EtcdName,
    token: Vec<u8>,
}

/// Fills an empty prefix.
pub(crate) async fn restore(location: &EtcdLocation, backup: &Verified) -> Result<(), RestoreError> {
    let access = Arc::new(Access::new(location)?);
    check::versions(&access, location).await?;
    let token = random_u128().map_err(|source| OpenError::Random { source })?.to_be_bytes().to_vec();
    let (keys, subject) = (Keys::new(&location.prefix), EtcdName::of(location));
    let mut filling = Filling { connection: access.connection(0), keys, subject, token };
    filling.begin().await?;
    let filled = filling.fill(backup).await;
    if filled.is_err() {
        filling.clear().await;
    }
    filled
}

impl Filling {
    fn mark(&self) -> Vec<u8> {
        self.keys.restoring()
    }

    fn own(&self) -> Compare {
        Compare::value(self.mark(), CompareOp::Equal, self.token.clone())
    }

    async fn begin(&mut self) -> Result<(), RestoreError> {
        let free = check::is_free(&mut self.connection, &self.keys, &self.subject).await?;
        let mark = TxnOp::put(self.mark(), self.token.clone(), None);
        // The mark is ours already if an earlier attempt was applied without an answer.
        let own = Txn::new().when([self.own()]);
        let txn = Txn::new().when(free).and_then([mark]).or_else([TxnOp::txn(own)]);
        let ask = async |mut client: ClientHandle| client.txn(txn.clone()).await;
        let asked = self.connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await;
        let answer = asked.map_err(|failure| self.subject.error(failure))?;
        let is_own = |answer: &etcd_client::TxnOpResponse| matches!(answer, etcd_client::TxnOpResponse::Txn(own) if own.succeeded());
        match answer.succeeded() || answer.op_responses().first().is_some_and(is_own) {
            true => Ok(()),
            false => Err(RestoreError::NotEmpty { store: self.subject.0.clone() }),
        }
    }

    async fn fill(&mut self, backup: &Verified) -> Result<(), RestoreError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for record in backup.records()? {
            let (key, value) = record?;
            let key = self.keys.record(key);
            if batch.len() >= BATCH || bytes + key.len() + value.len() > BATCH_BYTES {
                self.write(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += key.len() + value.len();
            batch.push(TxnOp::put(key, value, None));
        }
        self.write(batch).await?;
        let restored = &backup.restored;
        let put = |place, value| TxnOp::put(self.keys.bytes(place), value, None);
        let last = vec![
            put(KeyKind::Cluster, restored.cluster.encode()),
            put(KeyKind::Generation, GenerationRecord { generation: restored.generation }.encode()),
            put(KeyKind::Head, HeadRecord { commit: restored.commit.0, ..HeadRecord::default() }.encode()),
            put(KeyKind::Schema, SchemaRecord { version: SCHEMA }.encode()),
        ];
        // The mark stays during this write, so that a repeat finds its own mark. It is deleted
        // afterwards.
        self.write(last).await?;
        self.write(vec![TxnOp::delete(self.mark(), None)]).await.or_else(|error| match error {
            // An earlier attempt without an answer has deleted the mark.
            RestoreError::NotEmpty { .. } => Ok(()),
            error => Err(error),
        })
    }

    async fn write(&mut self, operations: Vec<TxnOp>) -> Result<(), RestoreError> {
        let txn = Txn::new().when([self.own()]).and_then(operations);
        let ask = async |mut client: ClientHandle| client.txn(txn.clone()).await;
        let asked = self.connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await;
        let answer = asked.map_err(|failure| self.subject.error(failure))?;
        // Without our mark, another program has changed the prefix.
        answer.succeeded().then_some(()).ok_or_else(|| RestoreError::NotEmpty { store: self.subject.0.clone() })
    }

    /// Deletes the unfinished content, if the prefix is still ours.
    async fn clear(&mut self) {
        let (start, end) = self.keys.everything();
        let all = TxnOp::delete(start, Some(DeleteOptions::new().with_range(end)));
        if let Err(error) = self.write(vec![all]).await {
            tracing::warn!(%error, "what was begun under the prefix was not taken away");
        }
    }
}

/// Raises the generation and deletes every election key in one transaction, so that all masters
/// begin anew.
pub(crate) async fn recover(location: &EtcdLocation) -> Result<u64, OpenError> {
    let access = Arc::new(Access::new(location)?);
    check::versions(&access, location).await?;
    let (keys, subject) = (Keys::new(&location.prefix), EtcdName::of(location));
    let mut connection = access.connection(0);
    let found =
        find(&mut connection, &keys, &subject).await?.ok_or_else(|| OpenError::Nothing { store: subject.0.clone() })?;
    let (place, generation) = (keys.bytes(KeyKind::Generation), found.generation + 1);
    let before = GenerationRecord { generation: found.generation }.encode();
    let (start, end) = keys.elections();
    let txn = Txn::new().when([Compare::value(place.clone(), CompareOp::Equal, before)]).and_then([
        TxnOp::put(place, GenerationRecord { generation }.encode(), None),
        TxnOp::delete(start, Some(DeleteOptions::new().with_range(end))),
    ]);
    let ask = async |mut client: ClientHandle| client.txn(txn.clone()).await;
    // A failed comparison is a success too: an earlier attempt or somebody else has raised the
    // generation.
    connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await.map_err(|failure| subject.error(failure))?;
    Ok(generation)
}
