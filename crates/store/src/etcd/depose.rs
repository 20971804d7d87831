//! Deposes leaders: deletes an election key, if it is still the one that is meant.

use std::time::Duration;

use etcd_client::{Txn, TxnOp};
use muster_types::Epoch;
use tokio::sync::{mpsc, watch};

use super::failure::Kind;
use super::follow::Sight;
use super::keys::{Keys, Place};
use super::line::{Handle, Line};
use super::transaction::Guard;
use crate::{Deposition, ElectionError};

/// Wishes that may wait.
pub(super) const WAITING: usize = 4;

/// Takes wishes for as long as anyone can have one.
pub(super) async fn run(
    mut line: Line,
    keys: Keys,
    sight: watch::Receiver<Sight>,
    mut wishes: mpsc::Receiver<Deposition>,
    lease: Duration,
) {
    while let Some(Deposition { leader, reply }) = wishes.recv().await {
        let guard = guard(&keys, &sight.borrow(), leader);
        let answer = match guard {
            Some(guard) => delete(&mut line, &guard, lease).await,
            // It is gone already.
            None => Ok(false),
        };
        if matches!(answer, Ok(true)) {
            tracing::warn!(epoch = %leader, "deposed a leader that is gone");
        }
        let _ = reply.send(answer);
    }
}

fn guard(keys: &Keys, sight: &Sight, leader: Epoch) -> Option<Guard> {
    let created = i64::try_from(leader.revision).ok()?;
    let lease = sight.roll.lease(created).filter(|_| sight.roll.generation == leader.generation)?;
    Some(Guard { key: keys.bytes(Place::Election(lease)), created })
}

async fn delete(line: &mut Line, guard: &Guard, lease: Duration) -> Result<bool, ElectionError> {
    let ask = async |mut client: Handle| {
        let txn = Txn::new().when([guard.compare()]).and_then([TxnOp::delete(guard.key.clone(), None)]);
        client.txn(txn).await
    };
    match line.persist(lease / 3, lease, ask).await {
        Ok(answer) => Ok(answer.succeeded()),
        Err(failure) if failure.kind == Kind::Unanswered => Err(ElectionError::Unanswered { source: failure.source }),
        Err(failure) => Err(ElectionError::Refused { source: failure.source }),
    }
}
