//! The shares to count: each is given to one executor at a time, and to another when that one is
//! lost.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::count::Count;

pub(crate) struct WorkQueue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<usize>,
    counts: Vec<Option<Count>>,
    missing: usize,
}

impl WorkQueue {
    pub(crate) fn new(shares: usize) -> WorkQueue {
        let state = State { waiting: (0..shares).collect(), counts: vec![None; shares], missing: shares };
        WorkQueue { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes the next share. It waits while executors have all of them, since one may be given
    /// back; `None` once all are counted.
    pub(crate) fn take(&self) -> Option<usize> {
        let mut state = self.lock();
        while state.missing > 0 {
            if let Some(share) = state.waiting.pop_front() {
                return Some(share);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Records the count of a share.
    pub(crate) fn put(&self, share: usize, count: Count) {
        let mut state = self.lock();
        if state.counts[share].replace(count).is_none() {
            state.missing -= 1;
        }
        self.changed.notify_all();
    }

    /// Returns the share of a lost executor, so that another can take it.
    pub(crate) fn give_back(&self, share: usize) {
        self.lock().waiting.push_front(share);
        self.changed.notify_all();
    }

    /// Waits until all are counted, and joins them in the order of the files.
    pub(crate) fn total(&self) -> Count {
        let mut state = self.lock();
        while state.missing > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut total = Count::default();
        for count in state.counts.drain(..).flatten() {
            total.join(count);
        }
        total
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
