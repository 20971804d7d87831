//! Makes one transaction durable, even if for a while the store does not answer or has no room.

use std::time::Duration;

use muster_store::{CommitError, Deadline, Store, Transaction};
use muster_types::Verdict;
use tokio::sync::watch;

use crate::clock;
use crate::stop::until_stopped;

/// The pause between two tries of a transaction whose outcome is unknown. It is short, because each
/// try already gave the store its time.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(20);
/// The pause between two tries on a full store, in which somebody has to make room.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// What the commits of a term share.
#[derive(Debug, Clone)]
pub(crate) struct CommitTerms {
    /// Until when the term may act. After that, an unknown outcome stays unknown.
    pub deadline: Deadline,
    /// True while the store is full.
    pub full: watch::Sender<bool>,
}

/// A transaction was not made durable, as far as is known.
#[derive(Debug)]
pub(crate) struct CommitFailed {
    /// The last error of the store.
    pub error: CommitError,
    /// The verdict over all tries.
    pub verdict: Verdict,
}

/// Offers a transaction until the store has answered for certain. The number of the transaction
/// makes sure that it is applied at most once: the store refuses a repetition because its number is
/// not the next, which shows that an earlier try was applied.
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
            // A commit that is dropped halfway has an unknown outcome.
            () = clock::past(terms.deadline.clone()) => {
                Err(CommitError::Unanswered { source: "the term is over".into() })
            }
        };
        let error = match answer {
            Ok(()) => break,
            // Only an earlier try of this term can have taken the number: if another term had, the
            // guard of the transaction would have failed.
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
