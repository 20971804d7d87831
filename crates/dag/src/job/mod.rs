//! Jobs that have not ended.

mod cancel;
mod end;
mod submit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::JobId;
use crate::ids::{PoolIndex, StageSlot};

/// A job.
#[derive(Debug)]
pub(crate) struct JobEntry {
    pub(crate) target: StageSlot,
    pub(crate) pool: PoolIndex,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) tags: Vec<Arc<str>>,
    /// The stages that it needs and that are not complete.
    pub(crate) stages: BTreeSet<StageSlot>,
    /// Bytes of its results so far.
    pub(crate) result_bytes: u64,
}

/// Every job that has not ended, by id, group and tag.
#[derive(Debug, Default)]
pub(crate) struct JobTable {
    entries: BTreeMap<JobId, JobEntry>,
    groups: BTreeMap<Arc<str>, BTreeSet<JobId>>,
    tags: BTreeMap<Arc<str>, BTreeSet<JobId>>,
    /// Groups whose later jobs are refused, the oldest first.
    cancelled: VecDeque<Arc<str>>,
}

impl JobTable {
    pub(crate) fn get(&self, job: JobId) -> Option<&JobEntry> {
        self.entries.get(&job)
    }

    pub(crate) fn get_mut(&mut self, job: JobId) -> Option<&mut JobEntry> {
        self.entries.get_mut(&job)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = JobId> + '_ {
        self.entries.keys().copied()
    }

    pub(crate) fn insert(&mut self, job: JobId, entry: JobEntry) {
        if let Some(group) = &entry.group {
            self.groups.entry(group.clone()).or_default().insert(job);
        }
        for tag in &entry.tags {
            self.tags.entry(tag.clone()).or_default().insert(job);
        }
        self.entries.insert(job, entry);
    }

    pub(crate) fn remove(&mut self, job: JobId) -> Option<JobEntry> {
        let entry = self.entries.remove(&job)?;
        if let Some(group) = &entry.group {
            remove_from(&mut self.groups, group, job);
        }
        for tag in &entry.tags {
            remove_from(&mut self.tags, tag, job);
        }
        Some(entry)
    }

    pub(crate) fn of_group(&self, group: &str) -> Vec<JobId> {
        self.groups.get(group).into_iter().flatten().copied().collect()
    }

    pub(crate) fn of_tag(&self, tag: &str) -> Vec<JobId> {
        self.tags.get(tag).into_iter().flatten().copied().collect()
    }

    /// Refuses later jobs of a group. So many groups are remembered, the newest.
    pub(crate) fn refuse_group(&mut self, group: Arc<str>, most: usize) {
        if !self.cancelled.contains(&group) {
            self.cancelled.push_back(group);
        }
        while self.cancelled.len() > most {
            self.cancelled.pop_front();
        }
    }

    pub(crate) fn is_refused(&self, group: &str) -> bool {
        self.cancelled.iter().any(|cancelled| &**cancelled == group)
    }
}

fn remove_from(index: &mut BTreeMap<Arc<str>, BTreeSet<JobId>>, name: &Arc<str>, job: JobId) {
    if let Some(jobs) = index.get_mut(name) {
        jobs.remove(&job);
        if jobs.is_empty() {
            index.remove(name);
        }
    }
}
