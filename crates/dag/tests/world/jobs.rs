//! Jobs: random graphs of stages.

use muster_dag::{JobId, JobSpec, PoolSpec, Preference, SchedulerInput, StageId, StageSpec};
use muster_types::{ExecutorId, ProfileId, WorkerUid};

use crate::World;
use crate::events::Event;

/// Workers of the world.
pub(crate) const WORKERS: u64 = 4;
/// Profiles of executors.
pub(crate) const PROFILES: u64 = 2;

impl World {
    /// Submits a job, and then another one later.
    pub(crate) fn submit(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.rng.between(20, 3_000);
        self.after(pause, Event::Submit);
        let job = JobId(self.next_job);
        self.next_job += 1;
        let mut stages: Vec<StageSpec> = Vec::new();
        for _ in 0..self.rng.between(0, 4) {
            let stage = self.random_stage(&stages, false);
            stages.push(stage);
        }
        let target = self.random_stage(&stages, true);
        let target_id = target.stage;
        stages.push(target);
        for stage in &stages {
            self.observer.stages.insert(stage.stage, stage.clone());
        }
        let kept = stages.iter().filter(|stage| stage.stage != target_id);
        self.datasets.extend(kept.map(|stage| stage.stage));
        self.observer.jobs.insert(job, target_id);
        let pool = ["default", "batch", "fair"][self.rng.between(0, 3) as usize];
        let spec = JobSpec {
            job,
            stages,
            target: target_id,
            pool: pool.into(),
            group: self.rng.chance(300).then(|| "group".into()),
            tags: if self.rng.chance(300) { vec!["tag".into()] } else { Vec::new() },
        };
        self.give(SchedulerInput::SubmitJob(Box::new(spec)));
    }

    pub(crate) fn set_pools(&mut self) {
        let fair = PoolSpec { order: muster_dag::PoolOrder::Fair, weight: 3, min_share: 2, ..PoolSpec::new("fair") };
        self.give(SchedulerInput::SetPool(fair));
    }

    fn random_stage(&mut self, before: &[StageSpec], is_target: bool) -> StageSpec {
        let id = StageId(self.next_stage);
        self.next_stage += 1;
        let tasks = self.rng.between(1, if self.is_quick { 60 } else { 12 }) as u32;
        let mut stage = if is_target { StageSpec::results(id, tasks) } else { StageSpec::outputs(id, tasks) };
        for parent in before {
            if self.rng.chance(if is_target { 600 } else { 400 }) {
                stage.parents.push(parent.stage);
            }
        }
        if self.rng.chance(200)
            && let Some(shared) = self.rng.pick(&self.datasets)
        {
            stage.parents.push(shared);
        }
        stage.profile = ProfileId(self.rng.between(0, 10 * PROFILES) as u32 / 10);
        stage.cores = if self.rng.chance(150) { 2 } else { 1 };
        if self.rng.chance(100) {
            stage.barrier = true;
            stage.tasks = self.rng.between(1, 4) as u32;
            stage.cores = 1;
        }
        if self.rng.chance(15) {
            self.poisonous.insert(id);
        }
        stage.deterministic = !self.rng.chance(150);
        if self.rng.chance(400) {
            stage.preferences = (0..stage.tasks).map(|_| self.random_preferences()).collect();
        }
        stage
    }

    fn random_preferences(&mut self) -> Vec<Preference> {
        let count = self.rng.between(0, 3);
        let next = u64::from(self.next_executor);
        (0..count)
            .map(|_| {
                if self.rng.chance(500) {
                    Preference::Worker(WorkerUid(u128::from(self.rng.between(0, WORKERS))))
                } else {
                    Preference::Executor(ExecutorId(self.rng.between(next.saturating_sub(4), next + 1) as u32))
                }
            })
            .collect()
    }
}
