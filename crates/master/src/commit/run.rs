//! The loop: take what waits, ask the core, commit, release. One commit is in flight at a time;
//! what arrives meanwhile is handled by the core and becomes the next transaction. Placement runs
//! once per transaction.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{BATCH_INPUTS, Core, Effect, Group};
use muster_store::{CommitError, DropInBackground, Store, Transaction};
use muster_types::{Commit, EventsRecord, Verdict, Write};
use tokio::sync::{oneshot, watch};

use super::decisions::{CorePanicked, DecisionCore, Decisions};
use super::durable::{CommitFailed, CommitTerms, make_durable};
use super::input_queue::{Batch, InputQueue};
use super::pack::{Bounds, PackedTransaction, pack};
use super::pending_call::Calls;
use super::release::EffectSinks;
use crate::clock;
use crate::events::EventRetention;
use crate::stop::until_stopped;

/// Once this many groups wait for a transaction, no more inputs are taken.
const BACKLOG: usize = 4096;
/// The loop checks the clock at least this often, to notice that the process was stopped.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// A delay that a busy machine alone does not explain.
const LATE: Duration = Duration::from_millis(500);

/// How a term of the loop ended.
#[derive(Debug)]
pub(crate) enum LoopEnd {
    /// It was told to stop; the transaction in flight was finished.
    Stopped,
    /// The store refused a transaction: this term is over, and the transaction was not applied.
    Deposed(CommitError),
    /// The term ended with a transaction whose outcome is unknown: the state in memory can no
    /// longer be trusted.
    Unknown(CommitError),
    /// The store failed: nothing that it says can be trusted, and the process must end.
    Fatal(CommitError),
    /// The core panicked: the state is thrown away.
    Torn(CorePanicked),
}

/// What is released after a transaction.
struct AfterCommit {
    commit: Commit,
    effects: Vec<Effect>,
    record: Option<Arc<EventsRecord>>,
    /// The events up to this commit are deleted.
    forgotten: Commit,
}

/// A finished transaction, with the store that it held.
type Finished<S> = (AfterCommit, S, Result<(), CommitFailed>);

/// A transaction in flight. It holds the store.
type Committing<S> = Pin<Box<dyn Future<Output = Finished<S>> + Send>>;

/// The store is idle, or held by the transaction in flight.
enum StoreState<S> {
    Idle(S),
    Busy(Committing<S>),
    /// Only during a change from one to the other, and after the end.
    Gone,
}

/// The commit loop of one term.
pub(crate) struct CommitLoop<S, M: DecisionCore = Core> {
    decisions: DropInBackground<Decisions<M>>,
    queue: InputQueue,
    sinks: EffectSinks,
    retention: EventRetention,
    bounds: Bounds,
    terms: CommitTerms,
    store: StoreState<S>,
    calls: Calls,
    /// Decisions that are not yet sent to the store, in order.
    backlog: VecDeque<Group>,
    /// Inputs handled since the core was last asked what it decided.
    handled: usize,
    /// The newest transaction that was sent to the store.
    newest: Commit,
    ready: Option<oneshot::Sender<()>>,
    stop: watch::Receiver<bool>,
}

impl<S: Store + 'static, M: DecisionCore> CommitLoop<S, M> {
    /// A loop whose first transaction follows `newest`, the newest commit of the store.
    #[expect(clippy::too_many_arguments, reason = "what a term is made of, each of its own type")]
    pub(crate) fn new(
        decisions: Decisions<M>,
        queue: InputQueue,
        sinks: EffectSinks,
        retention: EventRetention,
        bounds: Bounds,
        terms: CommitTerms,
        store: S,
        newest: Commit,
        stop: watch::Receiver<bool>,
    ) -> CommitLoop<S, M> {
        CommitLoop {
            decisions: DropInBackground::new(decisions),
            queue,
            sinks,
            retention,
            bounds,
            terms,
            store: StoreState::Idle(store),
            calls: Calls::default(),
            backlog: VecDeque::new(),
            // The decisions of the load are taken at once.
            handled: 1,
            newest,
            ready: None,
            stop,
        }
    }

    /// Runs until the term ends. Callers that wait are told what is known; callers that are still
    /// queued are told that nothing was done. `warm` is notified once the decisions of the load are
    /// committed and shown. The store is returned if it is idle.
    pub(crate) async fn run(mut self, warm: oneshot::Sender<()>) -> (LoopEnd, Option<S>) {
        self.ready = Some(warm);
        let mut stop = self.stop.clone();
        let ended = match self.work(&mut stop).await {
            Ok(()) => self.finish(LoopEnd::Stopped).await,
            Err(LoopEnd::Torn(panicked)) => self.finish(LoopEnd::Torn(panicked)).await,
            Err(ended) => ended,
        };
        match &ended {
            // The transaction in flight may be in the store.
            LoopEnd::Fatal(_) => self.calls.abandon(),
            // Nothing of these is ever sent. After an unknown outcome, the callers of the
            // transaction that was sent are not among them any more.
            LoopEnd::Unknown(_) | LoopEnd::Stopped | LoopEnd::Deposed(_) | LoopEnd::Torn(_) => self.calls.dismiss(),
        }
        for call in self.queue.close() {
            call.dismiss();
        }
        let store = match self.store {
            StoreState::Idle(store) => Some(store),
            StoreState::Busy(_) | StoreState::Gone => None,
        };
        (ended, store)
    }

    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), LoopEnd> {
        let mut batch = Batch::default();
        let mut woken = Instant::now();
        loop {
            self.advance()?;
            self.tell_warm();
            self.sinks.metrics.loop_turn.observe(woken.elapsed());
            let wake = self.wake();
            let timer = tokio::time::sleep_until(wake.into());
            let room = self.handled < BATCH_INPUTS && self.backlog.len() < BACKLOG;
            tokio::select! {
                biased;
                done = finished(&mut self.store) => {
                    woken = Instant::now();
                    self.committed(done).await?;
                }
                () = until_stopped(stop) => return Ok(()),
                open = self.queue.take(&mut batch, BATCH_INPUTS), if room => {
                    woken = Instant::now();
                    self.handle(&mut batch)?;
                    if !open {
                        return Ok(());
                    }
                }
                () = timer => woken = Instant::now(),
            }
            self.keep_time(wake)?;
        }
    }

    fn tell_warm(&mut self) {
        if matches!(self.store, StoreState::Idle(_))
            && let Some(warm) = self.ready.take()
        {
            let _ = warm.send(());
        }
    }

    /// When to look at the clock next.
    fn wake(&self) -> Instant {
        Instant::now() + self.decisions.until_deadline().map_or(MAX_SLEEP, |left| left.min(MAX_SLEEP))
    }

    /// Ticks when a deadline has come. If the process was stopped meanwhile, all deadlines move
    /// first. Inputs that waited in the queues were taken before.
    fn keep_time(&mut self, wake: Instant) -> Result<(), LoopEnd> {
        let late = wake.elapsed();
        if late >= LATE {
            tracing::warn!(late_ms = late.as_millis(), "the commit loop was late; its deadlines move by that much");
            self.decisions.extend_all(late);
        }
        if self.decisions.until_deadline() == Some(Duration::ZERO) {
            self.handled += 1;
            self.decisions.tick().map_err(LoopEnd::Torn)?;
        }
        Ok(())
    }

    fn handle(&mut self, batch: &mut Batch) -> Result<(), LoopEnd> {
        self.handled += batch.len();
        let mut handled = batch.links.drain(..).try_for_each(|input| self.decisions.handle(input));
        for call in batch.calls.drain(..) {
            match handled {
                Ok(()) => handled = self.decisions.call(call, &mut self.calls),
                // The core panicked: the rest of the batch is not handled any more.
                Err(_) => call.dismiss(),
            }
        }
        handled.map_err(LoopEnd::Torn)
    }

    /// Starts the next transaction if the store is idle, and releases effects that need none.
    fn advance(&mut self) -> Result<(), LoopEnd> {
        while matches!(self.store, StoreState::Idle(_)) {
            if self.handled > 0 {
                self.handled = 0;
                self.backlog.extend(self.decisions.decide().map_err(LoopEnd::Torn)?);
            }
            let trim = self.retention.is_due(clock::wall());
            if self.backlog.is_empty() && !trim {
                break;
            }
            let packed = pack(&mut self.backlog, self.bounds);
            if packed.is_durable() || trim {
                self.begin(packed);
            } else {
                self.sinks.release(self.newest, packed.effects, &mut self.calls);
            }
        }
        Ok(())
    }

    fn begin(&mut self, mut packed: PackedTransaction) {
        let StoreState::Idle(mut store) = std::mem::replace(&mut self.store, StoreState::Gone) else { return };
        let commit = self.newest.next();
        self.newest = commit;
        let record = packed.take_events(commit);
        let mut writes = packed.writes;
        if let Some(record) = &record {
            self.retention.add(record);
            writes.push(Write::PutEvents(record.clone()));
        }
        self.retention.delete(clock::wall(), &mut writes);
        self.sinks.metrics.commit_writes.count(writes.len());
        let transaction = Transaction { commit, writes };
        let then = AfterCommit { commit, effects: packed.effects, record, forgotten: self.retention.forgotten() };
        let (terms, stop) = (self.terms.clone(), self.stop.clone());
        let (began, metrics) = (Instant::now(), self.sinks.metrics.clone());
        self.store = StoreState::Busy(Box::pin(async move {
            let result = make_durable(&mut store, transaction, &terms, stop).await;
            metrics.commit_duration.observe(began.elapsed());
            (then, store, result)
        }));
    }

    /// Releases the effects of a finished transaction, or returns why the term ends.
    async fn committed(&mut self, (then, store, result): Finished<S>) -> Result<(), LoopEnd> {
        self.store = StoreState::Idle(store);
        match result {
            Ok(()) => {
                self.sinks.release(then.commit, then.effects, &mut self.calls);
                self.sinks.publish(then.commit, then.record, then.forgotten).await;
                Ok(())
            }
            Err(CommitFailed { error, .. }) if error.is_fatal() => Err(LoopEnd::Fatal(error)),
            Err(CommitFailed { error, verdict: Verdict::Unknown }) => {
                self.calls.leave_unanswered(&then.effects);
                Err(LoopEnd::Unknown(error))
            }
            Err(CommitFailed { error, .. }) => Err(LoopEnd::Deposed(error)),
        }
    }

    /// Waits for the transaction in flight and releases its effects: it was decided before the
    /// event that ends this term.
    async fn finish(&mut self, ended: LoopEnd) -> LoopEnd {
        if !matches!(self.store, StoreState::Busy(_)) {
            return ended;
        }
        let done = finished(&mut self.store).await;
        match self.committed(done).await {
            Ok(()) => ended,
            Err(worse) => worse,
        }
    }
}

/// Waits for the transaction in flight; for ever if there is none. Cancel-safe.
async fn finished<S>(state: &mut StoreState<S>) -> Finished<S> {
    let StoreState::Busy(committing) = state else { return std::future::pending().await };
    let finished = committing.as_mut().await;
    *state = StoreState::Gone;
    finished
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
