//! Jobs that come.

use std::collections::{BTreeMap, BTreeSet};

use super::JobEntry;
use crate::ids::{PoolIndex, StageSlot};
use crate::locality::LocalityKey;
use crate::pool::QueueKey;
use crate::scheduler::Scheduler;
use crate::speculation::StageSpeculation;
use crate::stage::pending::{PendingTasks, TaskPreferences};
use crate::stage::tasks::TaskRecord;
use crate::stage::{QueuePlace, StageAttempts, StageNode, StagePhase, StageTerms, TaskShape};
use crate::{JobId, JobRejection, JobSpec, Locality, Preference, SchedulerEffect, StageId, StageKind, StageSpec};

impl Scheduler {
    /// Takes a job with its stages, or refuses it as a whole.
    pub(crate) fn submit_job(&mut self, spec: JobSpec) {
        if let Err(rejection) = self.check_job(&spec) {
            return self.effect(SchedulerEffect::JobRejected(spec.job, rejection));
        }
        let pool = self.pools.find_or_add(&spec.pool);
        for stage in spec.stages {
            self.add_stage(spec.job, pool, stage);
        }
        let Some(target) = self.stages.find(spec.target) else { return };
        let entry =
            JobEntry { target, pool, group: spec.group, tags: spec.tags, stages: BTreeSet::new(), result_bytes: 0 };
        self.jobs.insert(spec.job, entry);
        self.require_stage(spec.job, target);
        if self.stages.get(target).is_some_and(StageNode::is_complete) {
            self.succeed_job(spec.job);
        }
    }

    fn check_job(&self, spec: &JobSpec) -> Result<(), JobRejection> {
        let limits = self.config.limits;
        if self.jobs.get(spec.job).is_some() {
            return Err(JobRejection::DuplicateJob);
        }
        if spec.group.as_ref().is_some_and(|group| self.jobs.is_refused(group)) {
            return Err(JobRejection::GroupCancelled);
        }
        if self.jobs.len() >= limits.jobs {
            return Err(JobRejection::TooMany("jobs"));
        }
        if self.stages.len() + spec.stages.len() > limits.stages {
            return Err(JobRejection::TooMany("stages"));
        }
        if !self.pools.is_known(&spec.pool) && self.pools.len() >= limits.pools {
            return Err(JobRejection::TooMany("pools"));
        }
        let mut kinds: BTreeMap<StageId, StageKind> = BTreeMap::new();
        for stage in &spec.stages {
            check_stage(stage, limits.tasks)?;
            for parent in &stage.parents {
                match kinds.get(parent).copied().or_else(|| self.kind_of(*parent)) {
                    Some(StageKind::Outputs) => {}
                    Some(StageKind::Results) => return Err(JobRejection::NoOutputs(*parent)),
                    None => return Err(JobRejection::UnknownStage(*parent)),
                }
            }
            if self.stages.find(stage.stage).is_some() || kinds.insert(stage.stage, stage.kind).is_some() {
                return Err(JobRejection::DuplicateStage(stage.stage));
            }
            if stage.kind == StageKind::Results && stage.stage != spec.target {
                return Err(JobRejection::ForeignTarget(stage.stage));
            }
        }
        match (kinds.contains_key(&spec.target), self.kind_of(spec.target)) {
            (true, _) | (false, Some(StageKind::Outputs)) => Ok(()),
            (false, Some(StageKind::Results)) => Err(JobRejection::ForeignTarget(spec.target)),
            (false, None) => Err(JobRejection::UnknownStage(spec.target)),
        }
    }

    fn kind_of(&self, stage: StageId) -> Option<StageKind> {
        self.stages.find(stage).and_then(|slot| self.stages.get(slot)).map(|node| node.terms.kind)
    }

    fn add_stage(&mut self, job: JobId, pool: PoolIndex, spec: StageSpec) {
        let parents: Vec<StageSlot> = spec.parents.iter().filter_map(|parent| self.stages.find(*parent)).collect();
        let preferences = (!spec.preferences.is_empty()).then(|| self.preferences(&spec.preferences));
        let speculates = self.config.speculation.is_some() && !spec.barrier;
        let node = StageNode {
            terms: StageTerms {
                id: spec.stage,
                kind: spec.kind,
                shape: TaskShape { profile: spec.profile, cores: spec.cores },
                barrier: spec.barrier,
                deterministic: spec.deterministic,
                parents,
            },
            phase: StagePhase::Idle,
            children: BTreeSet::new(),
            jobs: BTreeSet::new(),
            is_released: false,
            attempts: StageAttempts::default(),
            records: vec![TaskRecord::NEW; spec.tasks as usize],
            done: 0,
            pending: PendingTasks::new(spec.tasks, preferences),
            locations: BTreeSet::new(),
            running: Vec::new(),
            mean_run: 0,
            place: QueuePlace {
                pool,
                key: QueueKey::new(job, spec.stage),
                is_listed: false,
                level: Locality::Any,
                level_since: self.now,
                is_timed: false,
            },
            committers: BTreeMap::new(),
            exclusion: None,
            speculation: speculates.then(|| Box::new(StageSpeculation::new())),
        };
        let slot = self.stages.insert(node);
        if let Some(node) = self.stages.get_mut(slot) {
            node.place.key.slot = slot;
        }
    }

    /// The keys of what tasks prefer, each once. The rack of a worker is known when an executor of
    /// it has registered.
    fn preferences(&mut self, preferences: &[Vec<Preference>]) -> TaskPreferences {
        let mut found = TaskPreferences::default();
        for preferred in preferences {
            let mut keys = BTreeSet::new();
            for preference in preferred {
                let worker = match preference {
                    Preference::Worker(uid) => Some(self.executors.worker_index(*uid)),
                    Preference::Executor(id) => {
                        keys.insert(LocalityKey::Executor(*id));
                        let node = self.executors.find(*id).and_then(|slot| self.executors.get(slot));
                        node.map(|node| node.worker)
                    }
                };
                let rack = worker.and_then(|worker| self.executors.worker(worker)).and_then(|worker| worker.rack);
                keys.extend(worker.map(LocalityKey::Worker));
                keys.extend(rack.map(LocalityKey::Rack));
            }
            found.push(keys);
        }
        found
    }
}

fn check_stage(stage: &StageSpec, most: u32) -> Result<(), JobRejection> {
    if stage.tasks == 0 {
        return Err(JobRejection::NoTasks(stage.stage));
    }
    if stage.tasks > most {
        return Err(JobRejection::TooManyTasks(stage.stage));
    }
    if stage.cores == 0 {
        return Err(JobRejection::NoCores(stage.stage));
    }
    if !stage.preferences.is_empty() && stage.preferences.len() != stage.tasks as usize {
        return Err(JobRejection::Preferences(stage.stage));
    }
    Ok(())
}
