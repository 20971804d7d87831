//! What happens in the world.

use std::time::Duration;

use muster_dag::{
    ExecutorLoss, ExecutorSpec, FetchFailure, OutputLocation, SchedulerInput, StageKind, TaskAttemptId, TaskEnd,
};
use muster_types::{ExecutorId, ProfileId, WorkerUid};

use crate::World;
use crate::executors::SimulatedExecutor;
use crate::jobs::{PROFILES, WORKERS};
use crate::sabotage::Sabotage;

/// An event.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Somebody submits a job.
    Submit,
    /// A worker starts an executor.
    StartExecutor,
    /// An executor can run tasks.
    Ready(ExecutorId),
    /// An attempt has run for as long as it takes.
    Finish(ExecutorId, TaskAttemptId),
    /// A killed attempt stops.
    Stop(ExecutorId, TaskAttemptId),
    /// A message about an attempt arrives at the driver.
    Arrive(ExecutorId, TaskAttemptId, TaskEnd),
    /// An executor gives back what waits behind a task that runs long.
    GiveBack(ExecutorId),
    /// The master says that an executor is gone.
    Told(ExecutorId, ExecutorLoss),
    /// The master ends an executor for the driver.
    Replace(ExecutorId),
    /// Every executor says that it lives.
    Heartbeats,
    /// Something goes wrong.
    Fault,
}

impl World {
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Submit => self.submit(),
            Event::StartExecutor => self.start_executor(),
            Event::Ready(id) => self.ready(id),
            Event::Finish(id, attempt) => self.finish(id, attempt),
            Event::Stop(id, attempt) => self.stop(id, attempt),
            Event::Arrive(id, attempt, end) => self.arrive(id, attempt, end),
            Event::GiveBack(id) => self.give_back(id),
            Event::Told(id, loss) => self.tell_loss(id, loss),
            Event::Replace(id) => self.replace(id),
            Event::Heartbeats => self.heartbeats(),
            Event::Fault => self.fault(),
        }
    }

    fn start_executor(&mut self) {
        if self.reality.executors.len() >= 8 && !self.calm {
            return;
        }
        if self.next_executor == 0 {
            self.set_pools();
        }
        let id = ExecutorId(self.next_executor);
        self.next_executor += 1;
        let worker = WorkerUid(u128::from(self.rng.between(0, WORKERS)));
        let profile = (u64::from(id.0) % PROFILES) as u32;
        let cores = if self.calm { 4 } else { self.rng.between(1, 5) as u32 };
        let executor = SimulatedExecutor { id, worker, profile, cores, attempts: std::collections::VecDeque::new() };
        self.reality.executors.insert(id, executor);
        let rack = (worker.0 < 3).then(|| if worker.0 < 2 { "a".into() } else { "b".into() });
        let said = if self.is_planted(Sabotage::CoresDoubled) { 2 * cores } else { cores };
        let spec = ExecutorSpec { executor: id, worker, rack, profile: ProfileId(profile), cores: said };
        self.give(SchedulerInput::RegisterExecutor(spec));
        let pause = self.rng.between(0, 50);
        self.after(pause, Event::Ready(id));
    }

    fn ready(&mut self, id: ExecutorId) {
        let Some(executor) = self.reality.executors.get(&id).filter(|_| !self.lost.contains(&id)) else { return };
        let (profile, cores) = (executor.profile, executor.cores);
        if let Some(known) = self.observer.known.get_mut(&id)
            && known.cores == 0
        {
            *known = crate::checks::KnownExecutor { profile, cores, takes_tasks: true, used: 0 };
        }
        self.give(SchedulerInput::ExecutorReady(id));
    }

    /// Begins what there are cores for.
    pub(crate) fn begin(&mut self, id: ExecutorId) {
        loop {
            let Some(executor) = self.reality.executors.get_mut(&id) else { return };
            let free = executor.cores - executor.busy();
            let Some(next) = executor.attempts.iter_mut().find(|it| !it.has_begun) else { return };
            if next.cores > free {
                return;
            }
            next.has_begun = true;
            let (attempt, hangs) = (next.attempt, next.hangs);
            let started = self.rng.chance(300);
            if !hangs {
                let slow = self.rng.chance(30) && !self.calm;
                let usual = if self.is_quick { 2 } else { 60 };
                let length = if slow { self.rng.between(500, 8_000) } else { self.rng.between(1, usual) };
                self.after(length, Event::Finish(id, attempt));
                if slow {
                    self.after(100, Event::GiveBack(id));
                }
            } else {
                self.count("hang");
                self.after(100, Event::GiveBack(id));
            }
            if started && !self.lost.contains(&id) {
                self.give(SchedulerInput::AttemptStarted(id, attempt, Duration::ZERO));
            }
        }
    }

    fn finish(&mut self, id: ExecutorId, attempt: TaskAttemptId) {
        let Some(executor) = self.reality.executors.get(&id) else { return };
        let Some(running) = executor.attempts.iter().find(|it| it.attempt == attempt).cloned() else { return };
        let Some(stage) = self.observer.stages.get(&running.task.stage).cloned() else { return };
        // A task with results asks before it commits.
        if stage.kind == StageKind::Results && !self.ask(id, attempt) {
            return self.end(id, attempt, TaskEnd::CommitDenied);
        }
        let missing = running.reads.iter().find(|(task, location)| !self.reality.outputs.contains(&(*location, *task)));
        if let Some((output, location)) = missing.copied() {
            self.count("fetch failed");
            let gone = matches!(location, OutputLocation::Executor(at) if !self.reality.executors.contains_key(&at));
            let message = "it is not there".to_owned();
            let failure = FetchFailure { output, location, unreachable: gone, message };
            if !self.is_planted(Sabotage::FetchAsFailure) {
                *self.observer.stage_failures.entry(running.task.stage).or_default() += 1;
                return self.end(id, attempt, TaskEnd::FetchFailed(failure));
            }
            return self.end(id, attempt, TaskEnd::Failed { message: "fetch".into(), retry: true });
        }
        if running.task.partition == 0 && self.poisonous.contains(&running.task.stage) {
            return self.end_by_task(id);
        }
        if !self.calm && self.rng.chance(40) {
            return self.fail(id, attempt);
        }
        self.observer.finished.insert(attempt);
        let kept_by = (stage.kind == StageKind::Outputs && self.rng.chance(200))
            .then_some(OutputLocation::Worker(executor_worker(self, id)));
        if stage.kind == StageKind::Outputs {
            let location = kept_by.unwrap_or(OutputLocation::Executor(id));
            if !self.is_leaky || self.calm || self.rng.chance(900) {
                self.reality.outputs.insert((location, running.task));
            }
        }
        let ran = Duration::from_micros(self.rng.between(1, if self.is_quick { 2_000 } else { 60_000 }));
        self.end(id, attempt, TaskEnd::Succeeded { ran, kept_by, result_bytes: 100 });
    }

    fn fail(&mut self, id: ExecutorId, attempt: TaskAttemptId) {
        let end = match self.rng.between(0, 20) {
            0 => TaskEnd::Failed { message: "not there".into(), retry: false },
            1..4 => TaskEnd::ResultLost,
            4 => TaskEnd::Killed,
            _ => TaskEnd::Failed { message: "no".into(), retry: true },
        };
        self.end(id, attempt, end);
    }

    /// Asks whether an attempt may commit. Returns the answer.
    fn ask(&mut self, id: ExecutorId, attempt: TaskAttemptId) -> bool {
        if self.lost.contains(&id) {
            return false;
        }
        self.commit_answer = None;
        self.give(SchedulerInput::AskCommit(id, attempt));
        self.commit_answer == Some(true)
    }

    /// An attempt ends on its executor, and says so; now and then twice, and late.
    fn end(&mut self, id: ExecutorId, attempt: TaskAttemptId, end: TaskEnd) {
        let Some(executor) = self.reality.executors.get_mut(&id) else { return };
        executor.attempts.retain(|it| it.attempt != attempt);
        if self.rng.chance(30) {
            self.count("second answer");
            let pause = self.rng.between(0, 500);
            self.after(pause, Event::Arrive(id, attempt, end.clone()));
        }
        if !self.calm && self.is_planted(Sabotage::EndDropped) && self.rng.chance(100) {
            return self.begin(id);
        }
        let pause = if self.rng.chance(100) { self.rng.between(1, 2_000) } else { 0 };
        self.after(pause, Event::Arrive(id, attempt, end));
        self.begin(id);
    }

    fn stop(&mut self, id: ExecutorId, attempt: TaskAttemptId) {
        let Some(executor) = self.reality.executors.get(&id) else { return };
        if executor.attempts.iter().any(|it| it.attempt == attempt && it.is_killed) {
            self.end(id, attempt, TaskEnd::Killed);
        }
    }

    fn arrive(&mut self, id: ExecutorId, attempt: TaskAttemptId, end: TaskEnd) {
        if self.lost.contains(&id) {
            // The driver does not read what is left on a stream that has ended, or reads it late.
            if self.rng.chance(500) {
                return;
            }
            self.count("late answer");
        }
        if let Some(open) = self.observer.open.get(&attempt).cloned()
            && open.executor == id
        {
            let wanted = self.scheduler.task_of(attempt).is_some();
            match &end {
                TaskEnd::Failed { retry, .. } if wanted => {
                    if !*retry {
                        self.observer.fatal.insert(open.task);
                    }
                    if !self.is_planted(Sabotage::FetchAsFailure) {
                        *self.observer.may_count.entry(open.task).or_default() += 1;
                        *self.observer.does_count.entry(open.task).or_default() += 1;
                    }
                }
                TaskEnd::ResultLost if wanted => {
                    *self.observer.may_count.entry(open.task).or_default() += 1;
                    *self.observer.does_count.entry(open.task).or_default() += 1;
                }
                _ => {}
            }
            if wanted && !matches!(end, TaskEnd::Succeeded { .. } | TaskEnd::FetchFailed(_)) {
                *self.observer.stage_failures.entry(open.task.stage).or_default() += 1;
            }
            self.observer.over(attempt);
        }
        self.give(SchedulerInput::AttemptEnded(id, attempt, end));
    }

    fn give_back(&mut self, id: ExecutorId) {
        let Some(executor) = self.reality.executors.get(&id) else { return };
        let waiting: Vec<TaskAttemptId> =
            executor.attempts.iter().filter(|it| !it.has_begun).map(|it| it.attempt).collect();
        for attempt in waiting {
            self.count("given back");
            self.end(id, attempt, TaskEnd::NotStarted);
        }
    }

    fn heartbeats(&mut self) {
        self.after(10_000, Event::Heartbeats);
        let silent = self.silent.clone();
        let alive: Vec<ExecutorId> = self.reality.executors.keys().copied().collect();
        let heard: Vec<ExecutorId> =
            alive.into_iter().filter(|id| !silent.contains(id) && !self.lost.contains(id)).collect();
        for id in heard {
            self.give(SchedulerInput::ExecutorHeartbeat(id));
        }
        if self.is_planted(Sabotage::LossNotTold) {
            for id in self.untold.clone() {
                self.give(SchedulerInput::ExecutorHeartbeat(id));
            }
        }
    }
}

fn executor_worker(world: &World, id: ExecutorId) -> WorkerUid {
    world.reality.executors.get(&id).map_or(WorkerUid(0), |executor| executor.worker)
}
