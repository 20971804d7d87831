//! One transaction, made durable in spite of a store that does not answer or has no room for a
//! while.

use std::time::Duration;

use muster_store::{CommitError, Deadline, Store, Transaction};
use muster_types::Verdict;
use tokio::sync::watch;

use crate::clock;
use crate::stop::until_stopped;

/// Between two tries of a transaction whose outcome is unknown: the store was given its time with
/// each.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(20);
/// Between two tries on a store that is full: somebody has to make room.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// What a term has while it commits.
#[derive(Debug, Clone)]
pub(crate) struct CommitTerms {
    /// Until when it may act: past it, an unknown outcome stays unknown.
    pub deadline: Deadline,
    /// Told while the store is full.
    pub full: watch::Sender<bool>,
}

/// A transaction was not made durable, as far as is known.
#[derive(Debug)]
pub(crate) struct CommitFailed {
    /// What the store said last.
    pub error: CommitError,
    /// Of all tries together.
    pub verdict: Verdict,
}

/// Offers a transaction until the store has answered for certain. Its number has it applied at most
/// once, however often it is offered: a repetition of what was applied is refused as not the next,
/// and that tells.
pub(crate) async fn make_durable<S: Store>(
    store: &mut S,
    transaction: Transaction,
    terms: &CommitTerms,
    mut stop: watch::Receiver<bool>,
) -> Result<(), CommitFailed> {
    let mut verdict = Verdict::NotApplied;
    loop {
        let answer = tokio::select! {
            biased;
            answer = store.commit(transaction.clone()) => answer,
            // Dropped halfway, its outcome is unknown.
            () = clock::past(terms.deadline.clone()) => {
                Err(CommitError::Unanswered { source: "the term is over".into() })
            }
        };
        let error = match answer {
            Ok(()) => break,
            // Only this term's own earlier try can have taken the number: every other one fails the
            // guard.
            Err(CommitError::Number { newest, offered }) if verdict == Verdict::Unknown && newest == offered => break,
            Err(error) => error,
        };
        if error.verdict() == Verdict::Unknown {
            verdict = Verdict::Unknown;
        }
        if !error.may_repeat() || !terms.deadline.stands(clock::boottime()) {
            return Err(CommitFailed { error, verdict });
        }
        if error.is_full() {
            if !terms.full.send_replace(true) {
                tracing::error!(%error, "the store is full; what runs goes on, and nothing new is taken until there is room");
            }
            tokio::select! {
                () = until_stopped(&mut stop) => return Err(CommitFailed { error, verdict }),
                () = tokio::time::sleep(FULL_PAUSE) => {}
            }
        } else {
            tracing::warn!(%error, commit = transaction.commit.0, "the store did not answer; asking again");
            tokio::time::sleep(UNANSWERED_PAUSE).await;
        }
    }
    if terms.full.send_replace(false) {
        tracing::info!("the store has room again");
    }
    Ok(())
}
