//! What a function knows of the task that it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use muster_types::ExecutorId;

use super::queue::RunningAttempt;
use super::state::SharedByThreads;
use crate::TaskError;

/// What a function knows of the task that it runs, and may ask of its driver.
pub struct TaskContext {
    pub(crate) state: Arc<SharedByThreads>,
    pub(crate) attempt: Arc<RunningAttempt>,
    pub(crate) counts: Mutex<BTreeMap<String, u64>>,
}

impl TaskContext {
    /// Its partition: the position of its argument, counted from 0.
    pub fn partition(&self) -> u32 {
        self.attempt.partition
    }

    /// How often the task was tried before.
    pub fn tries_before(&self) -> u32 {
        self.attempt.launches_before
    }

    /// A number of this try that no other try of any task has.
    pub fn attempt(&self) -> u64 {
        self.attempt.id
    }

    /// The executor.
    pub fn executor(&self) -> ExecutorId {
        self.state.executor()
    }

    /// Whether nobody wants the result any more. A function that runs for long looks at it now and
    /// then; one that does not end within a minute of this costs its executor.
    pub fn is_killed(&self) -> bool {
        self.attempt.is_killed.load(Ordering::Relaxed)
    }

    /// Adds to a counter of the job. Of all tries of a task, only what the one that succeeds has
    /// counted is added.
    pub fn count(&self, name: &str, number: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(name) {
            Some(count) => *count = count.saturating_add(number),
            None => drop(counts.insert(name.to_owned(), number)),
        }
    }

    /// Asks whether this try may make visible what it wrote outside: one try of a task at most is
    /// told yes. One that is told no returns the error.
    ///
    /// # Errors
    /// Another try may commit, or the driver is gone.
    pub fn ask_commit(&self) -> Result<(), TaskError> {
        self.state.ask_commit(&self.attempt)
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
