//! What the scheduler wants done.

use muster_dag::{ExecutorLoss, FailureCause, SchedulerEffect, TaskLaunch};

use crate::World;
use crate::checks::KnownExecutor;
use crate::events::Event;
use crate::executors::Running;
use crate::sabotage::Sabotage;

impl World {
    pub(crate) fn carry_out(&mut self) {
        let effects: Vec<SchedulerEffect> = self.scheduler.drain().collect();
        self.check_barriers(&effects);
        for effect in &effects {
            if let SchedulerEffect::ExecutorRemoved(id, loss) = effect {
                let loss = if self.on_lost_worker.contains(id) { ExecutorLoss::WorkerLost } else { *loss };
                self.count_loss(*id, loss);
            }
        }
        let mut begun = Vec::new();
        for effect in effects {
            self.note(|| format!("   {effect:?}"));
            match effect {
                SchedulerEffect::Launch(launch) => {
                    self.observer.check_copy(&launch, |attempt| self.scheduler.task_of(attempt).is_some());
                    self.observer.launched(&launch);
                    self.start(&launch);
                    if self.is_planted(Sabotage::LaunchTwice) && self.rng.chance(50) {
                        self.observer.launched(&launch);
                    }
                    begun.push(launch.executor);
                }
                SchedulerEffect::Kill { executor, attempt, .. } => {
                    self.count("kill");
                    let running = self.reality.executors.get_mut(&executor);
                    let found = running.and_then(|it| it.attempts.iter_mut().find(|it| it.attempt == attempt));
                    if let Some(found) = found {
                        found.is_killed = true;
                        // Some tasks do not stop: only the end of their executor ends them.
                        if self.calm || self.rng.chance(900) {
                            let pause = self.rng.between(0, 100);
                            self.after(pause, Event::Stop(executor, attempt));
                        }
                    }
                }
                SchedulerEffect::TaskSucceeded { task, attempt } => {
                    self.count("task succeeded");
                    self.observer.succeeded(task, attempt);
                }
                SchedulerEffect::TaskFailed(_) => self.count("task failed"),
                SchedulerEffect::JobSucceeded(job) => {
                    self.count("job succeeded");
                    self.observer.job_succeeded(job);
                }
                SchedulerEffect::JobFailed(failure) => {
                    self.count(match failure.cause {
                        FailureCause::Cancelled(_) => "job failed: cancelled",
                        FailureCause::Fetch { .. } => "job failed: fetch",
                        FailureCause::Function { .. } => "job failed: function",
                        FailureCause::ExecutorLost(_) => "job failed: executor lost",
                        FailureCause::CannotRollBack(_) => "job failed: cannot roll back",
                        FailureCause::Unschedulable => "job failed: unschedulable",
                        FailureCause::TooFewSlots { .. } => "job failed: too few slots",
                        _ => "job failed: other",
                    });
                    self.observer.job_failed(&failure);
                }
                SchedulerEffect::JobRejected(job, rejection) => {
                    self.note(|| format!("rejected: {rejection}"));
                    self.observer.jobs.remove(&job);
                }
                SchedulerEffect::CommitAnswer { attempt, allowed, .. } => {
                    let allowed = allowed || self.is_planted(Sabotage::CommitAlways);
                    self.count(if allowed { "commit allowed" } else { "commit denied" });
                    self.commit_answer = Some(allowed);
                    if allowed {
                        self.observer.may_commit(attempt);
                    }
                }
                SchedulerEffect::ExecutorAccepted(id) => {
                    let known = KnownExecutor { profile: 0, cores: 0, takes_tasks: false, used: 0 };
                    self.observer.known.insert(id, known);
                }
                SchedulerEffect::ExecutorRefused(id, _) => {
                    self.count("executor refused");
                    self.reality.executors.remove(&id);
                    self.lost.insert(id);
                    self.after(1_000, Event::StartExecutor);
                }
                SchedulerEffect::ExecutorRemoved(id, _) => {
                    let open: Vec<_> = self.observer.open.iter().filter(|(_, open)| open.executor == id).collect();
                    let open: Vec<_> = open.into_iter().map(|(attempt, _)| *attempt).collect();
                    open.into_iter().for_each(|attempt| self.observer.over(attempt));
                    self.observer.known.remove(&id);
                    self.lost.insert(id);
                }
                SchedulerEffect::ReplaceExecutor(id, reason) => {
                    self.count("executor replaced");
                    if reason == muster_dag::ReplaceReason::HeartbeatTimeout {
                        self.count("heartbeat timeout");
                    }
                    if let Some(known) = self.observer.known.get_mut(&id) {
                        known.takes_tasks = false;
                    }
                    self.after(100, Event::Replace(id));
                }
                SchedulerEffect::StageReleased(stage) => self.reality.forget_stage(stage),
                SchedulerEffect::Unschedulable(_) => {
                    self.count("unschedulable");
                    self.after(500, Event::StartExecutor);
                }
                SchedulerEffect::ResultsTakenBack(stage) => {
                    self.count("results taken back");
                    self.observer.taken_back(stage);
                }
                SchedulerEffect::StageStarted { .. }
                | SchedulerEffect::StageCompleted(_)
                | SchedulerEffect::StageFailed { .. } => {}
            }
        }
        begun.into_iter().for_each(|id| self.begin(id));
    }

    /// An executor takes a launch. It learns there where its inputs are.
    fn start(&mut self, launch: &TaskLaunch) {
        let Some(stage) = self.observer.stages.get(&launch.task.stage) else { return };
        let mut reads = Vec::new();
        for parent in &stage.parents {
            for (partition, location) in (0u32..).zip(self.scheduler.outputs(*parent)) {
                match location {
                    Some(location) => reads.push((muster_dag::TaskId { stage: *parent, partition }, location)),
                    // Between two deadlines that have passed, it may have been lost again.
                    None if self.is_tick => {
                        let nowhere = muster_dag::OutputLocation::Executor(muster_types::ExecutorId(u32::MAX));
                        reads.push((muster_dag::TaskId { stage: *parent, partition }, nowhere));
                    }
                    None => self.observer.broken.push(("parents come first", format!("{launch:?}, {parent}"))),
                }
            }
        }
        let (cores, is_calm) = (stage.cores, self.calm);
        let hangs = !is_calm && self.rng.chance(10);
        if launch.speculative {
            self.count("copy");
        }
        let Some(executor) = self.reality.executors.get_mut(&launch.executor) else { return };
        if executor.busy() + cores > executor.cores {
            *self.tally.entry("sent ahead").or_default() += 1;
        }
        executor.attempts.push_back(Running {
            attempt: launch.attempt,
            task: launch.task,
            cores,
            is_killed: false,
            hangs,
            has_begun: false,
            reads,
        });
        let planted = self.is_planted(Sabotage::SuccessInvented) && self.rng.chance(20);
        if planted {
            let (ran, id) = (std::time::Duration::from_millis(1), launch.executor);
            let end = muster_dag::TaskEnd::Succeeded { ran, kept_by: None, result_bytes: 1 };
            self.after(0, Event::Arrive(id, launch.attempt, end));
        }
    }

    /// The tasks of a barrier stage are launched together, or not at all.
    fn check_barriers(&mut self, effects: &[SchedulerEffect]) {
        let mut launched = std::collections::BTreeMap::new();
        for effect in effects {
            if let SchedulerEffect::Launch(launch) = effect {
                *launched.entry(launch.task.stage).or_insert(0u32) += 1;
            }
        }
        for (stage, count) in launched {
            let Some(spec) = self.observer.stages.get(&stage).filter(|spec| spec.barrier) else { continue };
            let tasks = spec.tasks;
            let count = if self.is_planted(Sabotage::BarrierSplit) { count - 1 } else { count };
            self.count("barrier launched");
            if count != tasks {
                self.observer.violate("a barrier is passed by all", format!("stage {stage}: {count} of {tasks}"));
            }
        }
    }
}
