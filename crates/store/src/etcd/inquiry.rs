//! Answers for election keys: whether one is there, and deletes one, if it is still the one that is meant.

use std::time::Duration;

use etcd_client::{Txn, TxnOp};
use muster_types::Epoch;
use tokio::sync::{mpsc, watch};

use super::failure::Kind;
use super::follow::Sight;
use super::keys::{Keys, Place};
use super::line::{Handle, Line};
use super::transaction::Guard;
use crate::{ElectionError, Inquiry};

/// Inquiries that may wait.
pub(super) const WAITING: usize = 4;

/// Answers for as long as anyone can ask.
pub(super) async fn run(
    mut line: Line,
    keys: Keys,
    sight: watch::Receiver<Sight>,
    mut inquiries: mpsc::Receiver<Inquiry>,
    lease: Duration,
) {
    while let Some(inquiry) = inquiries.recv().await {
        let (leader, reply, deposes) = match inquiry {
            Inquiry::Depose(leader, reply) => (leader, reply, true),
            Inquiry::Holds(leader, reply) => (leader, reply, false),
        };
        let guard = guard(&keys, &sight.borrow(), leader);
        let answer = match guard {
            Some(guard) => {
                let key = guard.key.clone();
                let then = if deposes { TxnOp::delete(key, None) } else { TxnOp::get(key, None) };
                under(&mut line, &guard, then, lease).await
            }
            // It is gone already.
            None => Ok(false),
        };
        let _ = reply.send(answer);
    }
}

fn guard(keys: &Keys, sight: &Sight, leader: Epoch) -> Option<Guard> {
    let created = i64::try_from(leader.revision).ok()?;
    let lease = sight.roll.lease(created).filter(|_| sight.roll.generation == leader.generation)?;
    Some(Guard { key: keys.bytes(Place::Election(lease)), created })
}

/// Does something if the key is there. Whether it was.
async fn under(line: &mut Line, guard: &Guard, then: TxnOp, lease: Duration) -> Result<bool, ElectionError> {
    let ask = async |mut client: Handle| {
        let txn = Txn::new().when([guard.compare()]).and_then([then.clone()]);
        client.txn(txn).await
    };
    match line.persist(lease / 3, lease, ask).await {
        Ok(answer) => Ok(answer.succeeded()),
        Err(failure) if failure.kind == Kind::Unanswered => Err(ElectionError::Unanswered { source: failure.source }),
        Err(failure) => Err(ElectionError::Refused { source: failure.source }),
    }
}
