//! The tasks of an executor that wait, in the order of their launches, and those that run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::plan_run::StageWork;
use crate::TaskError;

/// A task that runs for longer gives back what waits behind it: those that were sent ahead of free
/// cores were expected to wait for 10 ms.
const LONG_RUN: Duration = Duration::from_millis(50);

/// An attempt that was launched.
#[derive(Debug)]
pub(crate) struct QueuedTask {
    pub(crate) attempt: u64,
    pub(crate) stage: u64,
    pub(crate) partition: u32,
    pub(crate) launches_before: u32,
    pub(crate) work: Result<StageWork, TaskError>,
    pub(crate) argument: Bytes,
}

/// An attempt that runs.
#[derive(Debug)]
pub(crate) struct RunningAttempt {
    pub(crate) id: u64,
    pub(crate) partition: u32,
    pub(crate) launches_before: u32,
    pub(crate) began: Instant,
    pub(crate) is_killed: AtomicBool,
    pub(crate) was_denied: AtomicBool,
    is_long: AtomicBool,
}

/// What a look at the queue has found.
#[derive(Debug, Default)]
pub(crate) struct QueueLook {
    /// Attempts that have run for long since the last look.
    pub(crate) long: Vec<Arc<RunningAttempt>>,
    /// Attempts that are given back.
    pub(crate) given_back: Vec<u64>,
    /// Whether nothing runs and nothing waits.
    pub(crate) is_idle: bool,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<QueuedTask>,
    running: BTreeMap<u64, Arc<RunningAttempt>>,
    is_closed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct TaskQueue {
    state: Mutex<QueueState>,
    added: Condvar,
}

impl TaskQueue {
    pub(crate) fn add(&self, tasks: impl IntoIterator<Item = QueuedTask>) {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.extend(tasks);
        let added = state.waiting.len() - before;
        drop(state);
        if added == 1 {
            self.added.notify_one();
        } else {
            self.added.notify_all();
        }
    }

    /// The next task. It waits for one, and ends the attempt that the thread has run before. `None`
    /// when there will be no more.
    pub(crate) fn next(&self, ended: Option<u64>) -> Option<(QueuedTask, Arc<RunningAttempt>)> {
        let mut state = self.lock();
        if let Some(ended) = ended {
            state.running.remove(&ended);
        }
        while !state.is_closed {
            if let Some(task) = state.waiting.pop_front() {
                let running = Arc::new(RunningAttempt {
                    id: task.attempt,
                    partition: task.partition,
                    launches_before: task.launches_before,
                    began: Instant::now(),
                    is_killed: AtomicBool::new(false),
                    was_denied: AtomicBool::new(false),
                    is_long: AtomicBool::new(false),
                });
                state.running.insert(task.attempt, running.clone());
                return Some((task, running));
            }
            state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Kills what runs, and has nothing more run.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting.clear();
        state.running.values().for_each(|running| running.is_killed.store(true, Ordering::Relaxed));
        self.added.notify_all();
    }

    /// Whether no task waits.
    pub(crate) fn is_drained(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Kills attempts. Returns those that will not run.
    pub(crate) fn kill(&self, attempts: &[u64]) -> Vec<u64> {
        let mut state = self.lock();
        let mut never = Vec::new();
        for attempt in attempts {
            if let Some(running) = state.running.get(attempt) {
                running.is_killed.store(true, Ordering::Relaxed);
            } else if let Some(at) = state.waiting.iter().position(|task| task.attempt == *attempt) {
                state.waiting.remove(at);
                never.push(*attempt);
            }
        }
        never
    }

    /// Looks for tasks that run for long.
    pub(crate) fn look(&self) -> QueueLook {
        let mut state = self.lock();
        let is_new = |running: &&Arc<RunningAttempt>| {
            running.began.elapsed() > LONG_RUN && !running.is_long.swap(true, Ordering::Relaxed)
        };
        let long: Vec<_> = state.running.values().filter(is_new).cloned().collect();
        let given_back =
            if long.is_empty() { Vec::new() } else { state.waiting.drain(..).map(|task| task.attempt).collect() };
        QueueLook { long, given_back, is_idle: state.running.is_empty() && state.waiting.is_empty() }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
