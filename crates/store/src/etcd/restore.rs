//! Filling a prefix from a backup, and raising its generation.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};

use super::check::{self, CALL_TOTAL, CALL_WITHIN, EtcdName, find, is_empty};
use super::connection::{Access, ClientHandle, EtcdConnection};
use super::keys::{KeyKind, Keys};
use super::location::EtcdLocation;
use crate::backup::Verified;
use crate::codec::Stored as _;
use crate::codec::proto::{GenerationRecord, HeadRecord, SchemaRecord};
use crate::random::random_u128;
use crate::schema::SCHEMA;
use crate::{OpenError, RestoreError};

/// Records and bytes of one transaction, within what etcd takes: 128 operations and 1.5 MiB.
const BATCH: usize = 120;
const BATCH_BYTES: usize = 1 << 20;

/// A prefix that is being filled. Its mark is there from the first transaction to the last, which
/// writes the schema: until then the prefix is not taken for a cluster by anyone.
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
        [self.keys.meta().0.as_slice(), b"restoring"].concat()
    }

    fn own(&self) -> Compare {
        Compare::value(self.mark(), CompareOp::Equal, self.token.clone())
    }

    async fn begin(&mut self) -> Result<(), RestoreError> {
        let mark = TxnOp::put(self.mark(), self.token.clone(), None);
        // Made by us already, if an attempt was not answered.
        let own = Txn::new().when([self.own()]);
        let txn = Txn::new().when([is_empty(&self.keys)]).and_then([mark]).or_else([TxnOp::txn(own)]);
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
        // With the mark still there, so that a repeat of it finds its own; then the mark goes.
        self.write(last).await?;
        self.write(vec![TxnOp::delete(self.mark(), None)]).await.or_else(|error| match error {
            // Gone already, by an attempt that was not answered.
            RestoreError::NotEmpty { .. } => Ok(()),
            error => Err(error),
        })
    }

    async fn write(&mut self, operations: Vec<TxnOp>) -> Result<(), RestoreError> {
        let txn = Txn::new().when([self.own()]).and_then(operations);
        let ask = async |mut client: ClientHandle| client.txn(txn.clone()).await;
        let asked = self.connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await;
        let answer = asked.map_err(|failure| self.subject.error(failure))?;
        // Somebody else is at work there.
        answer.succeeded().then_some(()).ok_or_else(|| RestoreError::NotEmpty { store: self.subject.0.clone() })
    }

    /// Takes away what was begun, if it is still ours.
    async fn clear(&mut self) {
        let (start, end) = self.keys.everything();
        let all = TxnOp::delete(start, Some(DeleteOptions::new().with_range(end)));
        if let Err(error) = self.write(vec![all]).await {
            tracing::warn!(%error, "what was begun under the prefix was not taken away");
        }
    }
}

/// Raises the generation, and deletes every election key with it: whatever leads or waits begins
/// anew.
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
    // A repeat of one that was applied finds the generation raised, as does one that somebody else
    // was faster than: raised it is.
    connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await.map_err(|failure| subject.error(failure))?;
    Ok(generation)
}
