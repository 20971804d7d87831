//! Serves requests about election keys: whether a leader's key exists, and the deletion of exactly
//! that key.

use std::time::Duration;

use etcd_client::{Txn, TxnOp};
use muster_types::Epoch;
use tokio::sync::{mpsc, watch};

use super::connection::{ClientHandle, EtcdConnection};
use super::failure::FailureKind;
use super::follow::WatchState;
use super::keys::{KeyKind, Keys};
use super::transaction::KeyGuard;
use crate::{ElectionError, KeyRequest};

/// The most requests that may wait.
pub(super) const WAITING: usize = 4;

/// Serves requests until all senders are gone.
pub(super) async fn run(
    mut connection: EtcdConnection,
    keys: Keys,
    watch_state: watch::Receiver<WatchState>,
    mut key_requests: mpsc::Receiver<KeyRequest>,
    lease: Duration,
) {
    while let Some(request) = key_requests.recv().await {
        let (leader, reply, deposes) = match request {
            KeyRequest::Depose(leader, reply) => (leader, reply, true),
            KeyRequest::Holds(leader, reply) => (leader, reply, false),
        };
        let guard = guard(&keys, &watch_state.borrow(), leader);
        let answer = match guard {
            Some(guard) => {
                let key = guard.key.clone();
                let then = if deposes { TxnOp::delete(key, None) } else { TxnOp::get(key, None) };
                under(&mut connection, &guard, then, lease).await
            }
            // The key is gone already.
            None => Ok(false),
        };
        let _ = reply.send(answer);
    }
}

fn guard(keys: &Keys, watch_state: &WatchState, leader: Epoch) -> Option<KeyGuard> {
    let created = i64::try_from(leader.revision).ok()?;
    let lease = watch_state.queue.lease(created).filter(|_| watch_state.queue.generation == leader.generation)?;
    Some(KeyGuard { key: keys.bytes(KeyKind::Election(lease)), created })
}

/// Runs an operation if the key exists; returns whether it existed.
async fn under(
    connection: &mut EtcdConnection,
    guard: &KeyGuard,
    then: TxnOp,
    lease: Duration,
) -> Result<bool, ElectionError> {
    let ask = async |mut client: ClientHandle| {
        let txn = Txn::new().when([guard.compare()]).and_then([then.clone()]);
        client.txn(txn).await
    };
    match connection.persist(lease / 3, lease, ask).await {
        Ok(answer) => Ok(answer.succeeded()),
        Err(failure) if failure.kind == FailureKind::Unanswered => {
            Err(ElectionError::Unanswered { source: failure.source })
        }
        Err(failure) => Err(ElectionError::Refused { source: failure.source }),
    }
}
