//! What the threads of an executor share.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use muster_proto::v1;
use muster_types::ExecutorId;

use super::outgoing::ExecutorOutgoing;
use super::output::{ExecutorOutputs, KeptOutput};
use super::plan_run::StageWork;
use super::queue::{QueuedTask, RunningAttempt, TaskQueue};
use crate::TaskError;
use crate::broadcast::BroadcastCache;
use crate::foreign::ForeignRunner;
use crate::outbox::{LinkOutbox, MESSAGE_BYTES};

/// Results that wait to be sent, or to be fetched. A thread with another one waits while there are
/// more.
const HELD_RESULT_BYTES: usize = 16 << 20;
/// The largest result of a task: no job may have more in all.
pub(crate) const LARGEST_RESULT: usize = 1 << 30;

/// What the threads of an executor share.
pub(crate) struct SharedByThreads {
    executor: ExecutorId,
    pub(crate) queue: TaskQueue,
    pub(crate) outbox: LinkOutbox<ExecutorOutgoing>,
    pub(crate) broadcasts: BroadcastCache,
    pub(crate) outputs: ExecutorOutputs,
    /// A result of more bytes is kept until it is fetched. The driver says how many.
    direct_result_bytes: AtomicU64,
    /// What runs functions that are not this program's own.
    pub(crate) foreign: Option<Arc<dyn ForeignRunner>>,
    stages: Mutex<HashMap<u64, Result<StageWork, TaskError>>>,
    kept: Mutex<HashMap<u64, Bytes>>,
    kept_bytes: AtomicUsize,
    commits: Mutex<HashMap<u64, SyncSender<bool>>>,
}

impl fmt::Debug for SharedByThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedByThreads").field("executor", &self.executor).finish_non_exhaustive()
    }
}

impl SharedByThreads {
    pub(crate) fn new(
        executor: ExecutorId,
        outbox: LinkOutbox<ExecutorOutgoing>,
        outputs: ExecutorOutputs,
        foreign: Option<Arc<dyn ForeignRunner>>,
    ) -> Arc<SharedByThreads> {
        Arc::new(SharedByThreads {
            executor,
            queue: TaskQueue::default(),
            broadcasts: BroadcastCache::default(),
            outbox,
            outputs,
            direct_result_bytes: AtomicU64::new(1 << 20),
            foreign,
            stages: Mutex::default(),
            kept: Mutex::default(),
            kept_bytes: AtomicUsize::new(0),
            commits: Mutex::default(),
        })
    }

    pub(crate) fn executor(&self) -> ExecutorId {
        self.executor
    }

    /// Says who this executor is: first of all.
    pub(crate) fn register(&self, registration: v1::ExecutorRegistration) {
        let first = v1::executor_link_service_link_request::Message::Registration(registration);
        self.outbox.add(|outgoing| outgoing.first.push_back(first));
    }

    pub(crate) fn is_registered(&self, terms: &v1::ExecutorRegistered) {
        if terms.direct_result_bytes > 0 {
            self.direct_result_bytes.store(terms.direct_result_bytes, Ordering::Relaxed);
        }
        self.outputs.configure(terms);
    }

    /// Does what the driver wants, but for ending.
    pub(crate) fn take_work(&self, work: v1::TaskWork) {
        let v1::TaskWork { stages, launches, kills, commit_answers, result_fetches, result_drops, .. } = work;
        for number in work.broadcast_drops {
            self.broadcasts.remove(number);
        }
        for locations in work.output_locations {
            self.outputs.directory.set(locations);
        }
        self.queue_launches(stages, launches);
        if !kills.is_empty() {
            self.kill(&kills);
        }
        for answer in commit_answers {
            if let Some(asking) = lock(&self.commits).remove(&answer.task_attempt) {
                // An error means that nobody waits for it any more.
                let _ = asking.try_send(answer.allowed);
            }
        }
        for attempt in result_fetches {
            self.send_kept(attempt);
        }
        for attempt in result_drops {
            self.drop_kept(attempt);
        }
        if !work.stage_drops.is_empty() {
            let mut stages = lock(&self.stages);
            for stage in work.stage_drops {
                stages.remove(&stage);
                self.outputs.remove(stage);
            }
        }
        for piece in work.broadcast_pieces {
            self.broadcasts.add_piece(piece);
        }
    }

    fn queue_launches(&self, stages: Vec<v1::TaskStage>, launches: Vec<v1::TaskLaunch>) {
        let mut known = lock(&self.stages);
        for stage in stages {
            known.insert(stage.stage, StageWork::find(&stage, self.foreign.is_some()));
        }
        if launches.is_empty() {
            return;
        }
        let unknown = || Err(TaskError::for_ever("the driver launched a task before its stage"));
        let queued = launches.into_iter().map(|launch| QueuedTask {
            attempt: launch.task_attempt,
            stage: launch.stage,
            partition: launch.partition,
            launches_before: launch.launches_before,
            work: known.get(&launch.stage).cloned().unwrap_or_else(unknown),
            argument: launch.argument,
        });
        self.queue.add(queued);
    }

    fn kill(&self, attempts: &[u64]) {
        let never = self.queue.kill(attempts);
        self.outbox.add(|outgoing| {
            for attempt in never {
                outgoing.end(ended(attempt, v1::task_ended::Kind::Killed));
            }
        });
        if let Some(foreign) = &self.foreign {
            attempts.iter().for_each(|attempt| foreign.kill(*attempt));
        }
        for attempt in attempts {
            // Its function waits for a word that will not come.
            lock(&self.commits).remove(attempt);
        }
    }

    /// Hands over the end of an attempt with its result, which stays here if it is large. It waits
    /// while too much is held already.
    pub(super) fn end_with_result(&self, mut ended: v1::TaskEnded, result: Vec<u8>, may_wait: bool) {
        let size = result.len();
        if size > 0 {
            let fits = |outgoing: &ExecutorOutgoing| {
                let held = outgoing.ended_bytes + self.kept_bytes.load(Ordering::Relaxed);
                held <= HELD_RESULT_BYTES
            };
            self.outbox.wait_until(fits);
        }
        if size as u64 > self.direct_result_bytes.load(Ordering::Relaxed) {
            ended.kept_bytes = size as u64;
            self.kept_bytes.fetch_add(size, Ordering::Relaxed);
            lock(&self.kept).insert(ended.task_attempt, result.into());
        } else {
            ended.result = result.into();
        }
        let due = self.outbox.add_quietly(|outgoing| {
            outgoing.end(ended);
            outgoing.ended.len() >= FLUSH_ENDS || outgoing.ended_bytes >= FLUSH_BYTES
        });
        if !may_wait || due == Some(true) {
            self.outbox.wake();
        }
    }

    /// Keeps the output of a task, if its stage is still known: whoever is told that the task has
    /// succeeded may read it.
    pub(super) fn keep_output(&self, stage: u64, partition: u32, output: KeptOutput) {
        let stages = lock(&self.stages);
        if stages.contains_key(&stage) {
            self.outputs.store.insert(stage, partition, output);
        }
    }

    fn send_kept(&self, attempt: u64) {
        let kept = self.remove_kept(attempt);
        self.outbox.add(|outgoing| {
            let Some(mut rest) = kept else {
                let missing = v1::DataPiece { number: attempt, last: true, missing: true, ..Default::default() };
                return outgoing.result_pieces.push_back(missing);
            };
            while !rest.is_empty() {
                let data = rest.split_to(rest.len().min(MESSAGE_BYTES));
                let last = rest.is_empty();
                outgoing.result_pieces.push_back(v1::DataPiece { number: attempt, data, last, missing: false });
            }
        });
    }

    fn drop_kept(&self, attempt: u64) {
        self.remove_kept(attempt);
        self.outbox.notify();
    }

    fn remove_kept(&self, attempt: u64) -> Option<Bytes> {
        let kept = lock(&self.kept).remove(&attempt)?;
        self.kept_bytes.fetch_sub(kept.len(), Ordering::Relaxed);
        Some(kept)
    }

    /// Ends all that runs or waits, since there is no driver any more.
    pub(crate) fn close(&self) {
        self.queue.close();
        lock(&self.commits).clear();
        self.broadcasts.clear();
        self.outputs.store.clear();
        self.outbox.close();
    }

    /// Asks the driver, and waits for its word.
    pub(super) fn ask_commit(&self, attempt: &RunningAttempt) -> Result<(), TaskError> {
        let (asking, answer): (_, Receiver<bool>) = sync_channel(1);
        lock(&self.commits).insert(attempt.id, asking);
        self.outbox.add(|outgoing| outgoing.commit_questions.push(attempt.id));
        match answer.recv() {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => {
                attempt.was_denied.store(true, Ordering::Relaxed);
                Err(TaskError::new("another try of the task may commit"))
            }
        }
    }

    /// Looks for tasks that run for long: says so, and gives back what waits behind them. Returns
    /// whether anything is left to look at.
    pub(crate) fn look(&self) -> bool {
        let found = self.queue.look();
        self.outbox.add_quietly(|outgoing| {
            for running in &found.long {
                let ran_micros = u64::try_from(running.began.elapsed().as_micros()).unwrap_or(u64::MAX);
                outgoing.started.push(v1::TaskStarted { task_attempt: running.id, ran_micros });
            }
            for attempt in &found.given_back {
                outgoing.end(ended(*attempt, v1::task_ended::Kind::NotStarted));
            }
        });
        self.outbox.wake();
        !found.is_idle
    }
}

/// Ends that wait for more of them are sent when there are so many, …
const FLUSH_ENDS: usize = 128;
/// … or have so many bytes, or when nothing is left to run.
const FLUSH_BYTES: usize = 256 << 10;

/// The end of an attempt without a result.
pub(super) fn ended(attempt: u64, kind: v1::task_ended::Kind) -> v1::TaskEnded {
    v1::TaskEnded { task_attempt: attempt, kind: kind.into(), ..Default::default() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
