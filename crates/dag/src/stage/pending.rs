//! The tasks of a stage that wait, so that the next one for an executor is found in amortised
//! constant time.
//!
//! Tasks that no attempt was made of are a range of which only the beginning is kept. Everything
//! else is lists of which a task is never removed when it is taken by another list: an entry whose
//! task no longer waits is dropped when it comes to the front.

use std::collections::{BTreeMap, VecDeque};

use super::tasks::TaskRecord;
use crate::locality::LocalityKey;

/// What each task of a stage prefers, in one array.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskPreferences {
    keys: Vec<LocalityKey>,
    /// Where the keys of each task end.
    ends: Vec<u32>,
}

impl TaskPreferences {
    /// Adds the keys of the next task.
    pub(crate) fn push(&mut self, keys: impl IntoIterator<Item = LocalityKey>) {
        self.keys.extend(keys);
        self.ends.push(u32::try_from(self.keys.len()).unwrap_or(u32::MAX));
    }

    pub(crate) fn of(&self, partition: u32) -> &[LocalityKey] {
        let at = partition as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(at).copied().unwrap_or(start);
        self.keys.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// The waiting tasks.
#[derive(Debug)]
pub(crate) struct PendingTasks {
    /// How many wait.
    count: u32,
    /// Every task from here on is in the range of those that were never taken from it.
    fresh: u32,
    /// Tasks that wait again.
    requeued: VecDeque<u32>,
    /// `None` when no task prefers anything.
    preferences: Option<Box<TaskPreferences>>,
    local: BTreeMap<LocalityKey, VecDeque<u32>>,
    /// Tasks that prefer nothing, where others do.
    free: VecDeque<u32>,
}

impl PendingTasks {
    /// All tasks wait.
    pub(crate) fn new(tasks: u32, preferences: Option<TaskPreferences>) -> PendingTasks {
        let mut pending = PendingTasks {
            count: tasks,
            fresh: 0,
            requeued: VecDeque::new(),
            preferences: preferences.map(Box::new),
            local: BTreeMap::new(),
            free: VecDeque::new(),
        };
        if pending.preferences.is_some() {
            (0..tasks).for_each(|partition| pending.add_to_lists(partition));
        }
        pending
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn has_preferences(&self) -> bool {
        self.preferences.is_some()
    }

    /// What a task prefers.
    pub(crate) fn preferred(&self, partition: u32) -> &[LocalityKey] {
        self.preferences.as_ref().map_or(&[], |preferences| preferences.of(partition))
    }

    /// Keys that a waiting task may prefer.
    pub(crate) fn keys(&self) -> impl Iterator<Item = LocalityKey> + '_ {
        self.local.keys().copied()
    }

    /// Whether a task that prefers nothing may wait, where others do prefer something.
    pub(crate) fn may_have_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// A task that waits, if any does.
    pub(crate) fn first(&self, records: &[TaskRecord]) -> Option<u32> {
        let waits = |partition: &u32| records.get(*partition as usize).is_some_and(TaskRecord::is_pending);
        let again = self.requeued.iter().copied().find(waits);
        let tasks = u32::try_from(records.len()).unwrap_or(u32::MAX);
        again.or_else(|| (self.fresh..tasks).find(waits))
    }

    /// Whether a task that waits is in the lists that it must be in.
    pub(crate) fn is_listed(&self, partition: u32) -> bool {
        let preferred = self.preferred(partition);
        let is_in = |list: Option<&VecDeque<u32>>| list.is_some_and(|list| list.contains(&partition));
        (partition >= self.fresh || self.requeued.contains(&partition))
            && preferred.iter().all(|key| is_in(self.local.get(key)))
            && (self.preferences.is_none() || !preferred.is_empty() || self.free.contains(&partition))
    }

    /// Adds a task that waits again.
    pub(crate) fn push(&mut self, partition: u32) {
        self.count += 1;
        self.requeued.push_back(partition);
        if self.preferences.is_some() {
            self.add_to_lists(partition);
        }
    }

    fn add_to_lists(&mut self, partition: u32) {
        let keys = self.preferences.as_ref().map_or(&[][..], |preferences| preferences.of(partition));
        if keys.is_empty() {
            return self.free.push_back(partition);
        }
        for key in keys {
            self.local.entry(*key).or_default().push_back(partition);
        }
    }

    /// Takes a waiting task that prefers a key, and says whether none is left for it.
    pub(crate) fn take_local(
        &mut self,
        key: LocalityKey,
        records: &[TaskRecord],
        may: impl Fn(u32) -> bool,
    ) -> (Option<u32>, bool) {
        let Some(list) = self.local.get_mut(&key) else { return (None, false) };
        let taken = take_from(list, records, may);
        let is_exhausted = list.is_empty();
        if is_exhausted {
            self.local.remove(&key);
        }
        (self.taken(taken), is_exhausted)
    }

    /// Takes a waiting task that prefers nothing, where others do prefer something.
    pub(crate) fn take_free(&mut self, records: &[TaskRecord], may: impl Fn(u32) -> bool) -> Option<u32> {
        let taken = take_from(&mut self.free, records, may);
        self.taken(taken)
    }

    /// Takes any waiting task: first those that wait again, so that one that always fails ends its
    /// job soon.
    pub(crate) fn take_any(&mut self, records: &[TaskRecord], may: impl Fn(u32) -> bool) -> Option<u32> {
        let again = take_from(&mut self.requeued, records, &may);
        let taken = again.or_else(|| {
            while let Some(record) = records.get(self.fresh as usize) {
                let partition = self.fresh;
                self.fresh += 1;
                // One that waits again, and may not go to this executor, is in the other list too.
                if record.is_pending() && may(partition) {
                    return Some(partition);
                }
            }
            None
        });
        self.taken(taken)
    }

    fn taken(&mut self, taken: Option<u32>) -> Option<u32> {
        self.count -= u32::from(taken.is_some());
        taken
    }

    /// Takes every task, if all of them wait.
    pub(crate) fn take_all(&mut self) {
        self.fresh = u32::MAX;
        self.count = 0;
    }

    /// Drops the entries of tasks that no longer wait, if no task waits.
    pub(crate) fn forget_taken(&mut self) {
        if self.count == 0 {
            self.local = BTreeMap::new();
            self.free = VecDeque::new();
            self.requeued = VecDeque::new();
        }
    }
}

/// Takes the first task of a list that waits and may be taken. Entries before it whose tasks no
/// longer wait are dropped.
fn take_from(list: &mut VecDeque<u32>, records: &[TaskRecord], may: impl Fn(u32) -> bool) -> Option<u32> {
    let mut at = 0;
    while let Some(partition) = list.get(at).copied() {
        if !records.get(partition as usize).is_some_and(TaskRecord::is_pending) {
            list.remove(at);
        } else if may(partition) {
            list.remove(at);
            return Some(partition);
        } else {
            at += 1;
        }
    }
    None
}
