//! Migrates the records from an older schema to the present one. The leader does this before it
//! loads, in as many guarded transactions as necessary. Each of them records the progress, so that
//! the next leader continues there; the last one writes the schema.

use etcd_client::{Txn, TxnOp, TxnOpResponse};

use super::connection::ClientHandle;
use super::keys::KeyKind;
use super::page::Pages;
use super::store::{EtcdStore, ReadFailed};
use crate::codec::Stored as _;
use crate::codec::proto::{MigrationRecord, SchemaRecord};
use crate::schema::Schema;

/// The most records and bytes of one transaction, within etcd's limits.
const BATCH: usize = 100;
const BATCH_BYTES: usize = 1 << 20;

impl EtcdStore {
    /// Migrates the records; returns whether anything was changed.
    pub(crate) async fn migrate(&mut self, schema: Schema) -> Result<bool, ReadFailed> {
        let (found, begun) = self.form().await?;
        let newest = begun.as_ref().map_or(found, |begun| begun.to);
        if newest > schema.version() {
            return Err(ReadFailed::Newer { found: newest, known: schema.version() });
        }
        if found >= schema.version() {
            return Ok(false);
        }
        tracing::info!(from = found, to = schema.version(), "bringing the records into a newer form");
        let mut range = self.keys.everything();
        if let Some(begun) = begun.filter(|begun| begun.to == schema.version() && !begun.after.is_empty()) {
            range.0 = [begun.after.as_slice(), b"\0"].concat();
        }
        let mut pages = Pages::now(range);
        let (mut batch, mut bytes, mut last) = (Vec::new(), 0, Vec::new());
        while let Some(page) = pages.next(&mut self.connection).await? {
            for record in page {
                let Some(KeyKind::Record(key)) = self.keys.place(record.key()) else { continue };
                let (name, value) = record.into_key_value();
                let lifted = schema
                    .lift(found, key, value)
                    .map_err(|error| ReadFailed::damaged(self.keys.name(&name).unwrap_or_default(), error.into()))?;
                if batch.len() >= BATCH || bytes + lifted.len() > BATCH_BYTES {
                    self.note_migrated(std::mem::take(&mut batch), schema, &last).await?;
                    bytes = 0;
                }
                bytes += lifted.len();
                last.clone_from(&name);
                batch.push(TxnOp::put(name, lifted, None));
            }
        }
        self.note_migrated(batch, schema, &last).await?;
        let form = SchemaRecord { version: schema.version() }.encode();
        self.guarded(vec![
            TxnOp::put(self.keys.bytes(KeyKind::Schema), form, None),
            TxnOp::delete(self.keys.bytes(KeyKind::Migration), None),
        ])
        .await?;
        Ok(true)
    }

    /// The schema of the records, and the progress of an unfinished migration.
    async fn form(&mut self) -> Result<(u32, Option<MigrationRecord>), ReadFailed> {
        let get = |place| TxnOp::get(self.keys.bytes(place), None);
        let answers = self.guarded(vec![get(KeyKind::Schema), get(KeyKind::Migration)]).await?;
        let value = |index: usize| match answers.get(index) {
            Some(TxnOpResponse::Get(read)) => read.kvs().first().map(|kv| kv.value().to_vec()),
            _ => None,
        };
        let schema = value(0).ok_or_else(|| ReadFailed::damaged("m/schema", "the schema is missing".into()))?;
        let schema = SchemaRecord::decode(&schema).map_err(|error| ReadFailed::damaged("m/schema", error.into()))?;
        let begun = value(1).map(|bytes| MigrationRecord::decode(&bytes)).transpose();
        let begun = begun.map_err(|error| ReadFailed::damaged("m/migration", error.into()))?;
        Ok((schema.version, begun))
    }

    async fn note_migrated(&mut self, mut batch: Vec<TxnOp>, schema: Schema, last: &[u8]) -> Result<(), ReadFailed> {
        let begun = MigrationRecord { to: schema.version(), after: last.to_vec() };
        batch.push(TxnOp::put(self.keys.bytes(KeyKind::Migration), begun.encode(), None));
        self.guarded(batch).await.map(drop)
    }

    /// Runs repeatable operations under the guard of the term.
    async fn guarded(&mut self, operations: Vec<TxnOp>) -> Result<Vec<TxnOpResponse>, ReadFailed> {
        let txn = Txn::new().when([self.guard.compare()]).and_then(operations);
        let ask = async |mut client: ClientHandle| client.txn(txn.clone()).await;
        let answer = self.connection.persist(self.answer_within(), self.lease, ask).await?;
        match answer.succeeded() {
            true => Ok(answer.op_responses()),
            false => Err(ReadFailed::Superseded),
        }
    }
}
