//! Opens a store in etcd: checks everything before anything is written, and makes a new cluster.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use muster_types::{ClusterRecord, ClusterUid};

use super::connection::{Access, ClientHandle, EtcdConnection};
use super::failure::{EtcdFailure, FailureKind};
use super::keys::{KeyKind, Keys};
use super::location::EtcdLocation;
use super::version::{Judgement, Version};
use crate::codec::Stored as _;
use crate::codec::proto::{GenerationRecord, HeadRecord, MigrationRecord, SchemaRecord};
use crate::random::random_u128;
use crate::schema::SCHEMA;
use crate::{NewCluster, OpenError};

/// The time limit of each call; an idle etcd answers in a millisecond.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(2);
/// The time limit of each question, over all members.
pub(super) const CALL_TOTAL: Duration = Duration::from_secs(5);

/// The cluster that a prefix holds.
#[derive(Debug, Clone)]
pub(super) struct FoundCluster {
    pub(super) cluster: ClusterRecord,
    /// The stored bytes, which later writes can compare.
    pub(super) cluster_bytes: Vec<u8>,
    pub(super) generation: u64,
}

/// The name of an etcd in errors, and the conversion of its failures into them.
#[derive(Debug, Clone)]
pub(super) struct EtcdName(pub(super) String);

impl EtcdName {
    pub(super) fn of(location: &EtcdLocation) -> EtcdName {
        EtcdName(location.to_string())
    }

    pub(super) fn error(&self, failure: EtcdFailure) -> OpenError {
        let (store, source) = (self.0.clone(), failure.source);
        match failure.kind {
            FailureKind::Denied => OpenError::EtcdDenied { store, source },
            FailureKind::NoSpace => OpenError::EtcdFull { store },
            FailureKind::Unanswered | FailureKind::LeaseGone | FailureKind::Compacted | FailureKind::Refused => {
                OpenError::EtcdUnreachable { store, source }
            }
        }
    }
}

/// Asks all members for their versions concurrently. A member that does not answer is ignored if
/// another one does.
pub(super) async fn versions(access: &Arc<Access>, location: &EtcdLocation) -> Result<(), OpenError> {
    let subject = EtcdName::of(location);
    let ask = |index| {
        let mut connection = access.connection(index);
        tokio::spawn(async move {
            connection.once(CALL_WITHIN, async |mut client: ClientHandle| client.status().await).await
        })
    };
    let asked: Vec<_> = (0..access.len()).map(ask).collect();
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for (index, task) in asked.into_iter().enumerate() {
        match task.await {
            Ok(Ok(status)) => answers.push((index, status.version().to_owned())),
            Ok(Err(failure)) => failures.push((index, failure)),
            Err(panicked) => failures.push((index, EtcdFailure::unanswered(panicked))),
        }
    }
    if answers.is_empty() {
        // Wrong credentials are wrong at every member, so this failure explains more than an
        // unreachable member.
        let telling = failures.iter().position(|(_, failure)| failure.kind == FailureKind::Denied).unwrap_or(0);
        let (_, failure) = failures.swap_remove(telling);
        return Err(subject.error(failure));
    }
    for (index, failure) in &failures {
        let endpoint = &location.endpoints[*index];
        tracing::warn!(endpoint, error = %failure, "a member of the store cannot be reached");
    }
    for (index, version) in answers {
        judge(location, &location.endpoints[index], version)?;
    }
    Ok(())
}

fn judge(location: &EtcdLocation, endpoint: &str, text: String) -> Result<(), OpenError> {
    let refused = |lossy| OpenError::EtcdVersion { endpoint: endpoint.to_owned(), version: text.clone(), lossy };
    match Version::parse(&text).map(Version::judge) {
        Some(Judgement::Good) => Ok(()),
        Some(Judgement::Warned(fault)) => {
            tracing::warn!(endpoint, version = text, fault, "this version of etcd has a known fault");
            Ok(())
        }
        Some(Judgement::Lossy) if location.allow_lossy => {
            tracing::warn!(endpoint, version = text, "this version of etcd can lose data when a member is killed");
            Ok(())
        }
        Some(Judgement::Lossy) => Err(refused(true)),
        Some(Judgement::Unsupported) | None => Err(refused(false)),
    }
}

/// Requests a lease of this length, and revokes it. A longer one than requested is refused, because
/// a dead leader would be waited for longer than expected.
pub(super) async fn lease(
    connection: &mut EtcdConnection,
    subject: &EtcdName,
    length: Duration,
) -> Result<(), OpenError> {
    let asked = whole_seconds(length);
    let ask = async |client: ClientHandle| client.lease_client().grant(asked, None).await;
    let granted = connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await.map_err(|failure| subject.error(failure))?;
    let id = granted.id();
    // The lease expires by itself if this call fails.
    let _ = connection.once(CALL_WITHIN, async |client: ClientHandle| client.lease_client().revoke(id).await).await;
    match granted.ttl() > asked {
        true => Err(OpenError::EtcdLease { asked: length, granted: seconds(granted.ttl()) }),
        false => Ok(()),
    }
}

/// etcd counts leases in whole seconds; a fraction is rounded up.
pub(super) fn whole_seconds(length: Duration) -> i64 {
    i64::try_from(length.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

pub(super) fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

/// The cluster under the prefix; `None` if the prefix is empty. Foreign content is an error.
pub(super) async fn find(
    connection: &mut EtcdConnection,
    keys: &Keys,
    subject: &EtcdName,
) -> Result<Option<FoundCluster>, OpenError> {
    let failed = |failure| subject.error(failure);
    let foreign = |key: &[u8]| OpenError::EtcdForeign {
        store: subject.0.clone(),
        key: String::from_utf8_lossy(key).into_owned(),
    };
    // Both reads are in one transaction, so that the making of a cluster by another master is seen
    // whole or not at all.
    let ask = async |client: ClientHandle| client.kv_client().txn(finding_txn(keys)).await;
    let found = connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await.map_err(failed)?;
    let ranges = found.op_responses().into_iter().filter_map(|answer| match answer {
        TxnOpResponse::Get(range) => Some(range),
        _ => None,
    });
    let all: Vec<KeyValue> = ranges.flat_map(|mut range| range.take_kvs()).collect();
    let value = |place| all.iter().find(|kv| kv.key() == keys.bytes(place)).map(KeyValue::value);
    let Some(schema) = value(KeyKind::Schema) else {
        return match all.first() {
            Some(kv) => Err(foreign(kv.key())),
            None => Ok(None),
        };
    };
    let schema = SchemaRecord::decode(schema).map_err(|_| foreign(&keys.bytes(KeyKind::Schema)))?.version;
    let begun = value(KeyKind::Migration).map(MigrationRecord::decode).transpose();
    let begun = begun.map_err(|_| foreign(&keys.bytes(KeyKind::Migration)))?;
    let newest = begun.map_or(schema, |begun| begun.to.max(schema));
    if newest > SCHEMA {
        return Err(OpenError::NewerSchema { store: subject.0.clone(), found: newest, known: SCHEMA });
    }
    let read = |place| value(place).ok_or_else(|| foreign(&keys.bytes(place)));
    let cluster_bytes = read(KeyKind::Cluster)?.to_vec();
    let cluster = ClusterRecord::decode(&cluster_bytes).map_err(|_| foreign(&keys.bytes(KeyKind::Cluster)))?;
    let generation = GenerationRecord::decode(read(KeyKind::Generation)?);
    let generation = generation.map_err(|_| foreign(&keys.bytes(KeyKind::Generation)))?.generation;
    HeadRecord::decode(read(KeyKind::Head)?).map_err(|_| foreign(&keys.bytes(KeyKind::Head)))?;
    Ok(Some(FoundCluster { cluster, cluster_bytes, generation }))
}

/// Reads the records that every store has, and one further key.
fn finding_txn(keys: &Keys) -> Txn {
    let ((meta, meta_end), (start, end)) = (keys.meta(), keys.everything());
    let any = GetOptions::new().with_range(end).with_limit(1).with_keys_only();
    Txn::new().and_then([TxnOp::get(meta, Some(GetOptions::new().with_range(meta_end))), TxnOp::get(start, Some(any))])
}

/// The cluster under the prefix; it is made if the prefix is empty.
pub(super) async fn find_or_found(
    connection: &mut EtcdConnection,
    keys: &Keys,
    subject: &EtcdName,
    new_cluster: NewCluster,
) -> Result<FoundCluster, OpenError> {
    if let Some(found) = find(connection, keys, subject).await? {
        return is_asked_for(found, subject, &new_cluster);
    }
    let uid = ClusterUid(random_u128().map_err(|source| OpenError::Random { source })?);
    let cluster = ClusterRecord { uid, name: new_cluster.name.clone(), created: new_cluster.now };
    let free = is_free(connection, keys, subject).await?;
    let ask = async |client: ClientHandle| client.kv_client().txn(founding_txn(keys, &cluster, free.clone())).await;
    connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await.map_err(|failure| subject.error(failure))?;
    // The cluster is read again, because another master may have made it first.
    match find(connection, keys, subject).await? {
        Some(found) => is_asked_for(found, subject, &new_cluster),
        // Another master may have made a cluster around this prefix first.
        None => Err(match is_free(connection, keys, subject).await {
            Err(error) => error,
            Ok(_) => OpenError::EtcdUnreachable { store: subject.0.clone(), source: "its founding is gone".into() },
        }),
    }
}

fn is_asked_for(found: FoundCluster, subject: &EtcdName, new_cluster: &NewCluster) -> Result<FoundCluster, OpenError> {
    if new_cluster.is_name_default || found.cluster.name == new_cluster.name {
        return Ok(found);
    }
    let (store, asked) = (subject.0.clone(), new_cluster.name.clone());
    Err(OpenError::OtherCluster { store, found: found.cluster.name, asked })
}

/// Compares for a transaction that makes a cluster: nothing is under the prefix, and no prefix
/// around it holds a cluster, which would take what is under this one for damaged records of its
/// own. An error if there is one already. A prefix that this user may not read is none that its
/// masters share, so it is left out.
pub(super) async fn is_free(
    connection: &mut EtcdConnection,
    keys: &Keys,
    subject: &EtcdName,
) -> Result<Vec<Compare>, OpenError> {
    let is_missing = |key: Vec<u8>| Compare::version(key, CompareOp::Equal, 0);
    let (start, end) = keys.everything();
    let mut free = vec![is_missing(start).with_range(end)];
    for outer in keys.around() {
        let read = Txn::new().and_then(outer.founding().map(|key| TxnOp::get(key, None)));
        let ask = async |client: ClientHandle| client.kv_client().txn(read.clone()).await;
        let answer = match connection.persist(CALL_WITHIN, CALL_TOTAL, ask).await {
            Err(failure) if failure.kind == FailureKind::Denied => continue,
            answer => answer.map_err(|failure| subject.error(failure))?,
        };
        let is_found = |answer: &TxnOpResponse| matches!(answer, TxnOpResponse::Get(read) if !read.kvs().is_empty());
        if answer.op_responses().iter().any(is_found) {
            return Err(OpenError::EtcdNested { store: subject.0.clone(), outer: outer.to_string() });
        }
        free.extend(outer.founding().map(is_missing));
    }
    Ok(free)
}

fn founding_txn(keys: &Keys, cluster: &ClusterRecord, free: Vec<Compare>) -> Txn {
    let put = |place, value| TxnOp::put(keys.bytes(place), value, None);
    Txn::new().when(free).and_then([
        put(KeyKind::Schema, SchemaRecord { version: SCHEMA }.encode()),
        put(KeyKind::Cluster, cluster.encode()),
        put(KeyKind::Generation, GenerationRecord { generation: 1 }.encode()),
        put(KeyKind::Head, HeadRecord::default().encode()),
    ])
}
