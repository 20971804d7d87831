//! What goes wrong.

use muster_dag::{ExecutorLoss, JobId, JobSelection, OutputLocation, SchedulerInput, StageId};
use muster_types::{ExecutorId, WorkerUid};

use crate::World;
use crate::events::Event;
use crate::jobs::WORKERS;
use crate::sabotage::Sabotage;

impl World {
    /// Something goes wrong, and something else later.
    pub(crate) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let often = self.is_planted(Sabotage::LossAsExit) || self.is_planted(Sabotage::FetchAsFailure);
        let pause = self.rng.between(50, if often { 200 } else { 3_000 });
        self.after(pause, Event::Fault);
        let alive: Vec<ExecutorId> = self.reality.executors.keys().copied().collect();
        let Some(id) = self.rng.pick(&alive) else { return self.after(1, Event::StartExecutor) };
        let roll = match self.sabotage {
            // They show when the same happens to one task again and again.
            Some(Sabotage::LossAsExit) => 30,
            Some(Sabotage::FetchAsFailure) => [0, 65][self.rng.between(0, 2) as usize],
            Some(_) | None => self.rng.between(0, 100),
        };
        match roll {
            0..25 => self.crash(id),
            25..35 => self.lose_worker(),
            35..42 => self.decommission(id),
            42..46 => self.fall_silent(id),
            46..60 => self.cancel(),
            60..70 => self.lose_output(id),
            70..78 => self.move_outputs(id),
            78..84 => self.release(),
            84..90 => self.ask_for_end(id),
            _ => self.after(1, Event::StartExecutor),
        }
    }

    /// The driver asks the master to end an executor.
    fn ask_for_end(&mut self, id: ExecutorId) {
        self.stop_taking(id);
        self.give(SchedulerInput::ExecutorKillRequested(id));
        let pause = self.rng.between(0, 1_000);
        self.after(pause, Event::Replace(id));
    }

    fn crash(&mut self, id: ExecutorId) {
        self.count("executor lost");
        self.end_executor(id);
        let code = [1, 137, 53, 56][self.rng.between(0, 4) as usize];
        let disconnects = self.rng.chance(500) && !self.is_planted(Sabotage::LossNotTold);
        if disconnects {
            self.count("disconnected");
            self.stop_taking(id);
            self.give(SchedulerInput::ExecutorDisconnected(id));
        }
        // The master's word may be too late, or never come.
        let pause = self.rng.between(0, 8_000);
        if !disconnects || self.rng.chance(800) {
            self.after(pause, Event::Told(id, ExecutorLoss::Exited { code }));
        }
        let pause = self.rng.between(0, 3_000);
        self.after(pause, Event::StartExecutor);
    }

    /// A task ends its executor.
    pub(crate) fn end_by_task(&mut self, id: ExecutorId) {
        self.count("ended by a task");
        self.end_executor(id);
        let pause = self.rng.between(0, 100);
        self.after(pause, Event::Told(id, ExecutorLoss::Exited { code: 134 }));
        self.after(10, Event::StartExecutor);
    }

    /// An executor is really gone, with what it has.
    fn end_executor(&mut self, id: ExecutorId) {
        self.reality.executors.remove(&id);
        self.reality.forget_outputs_at(OutputLocation::Executor(id));
    }

    fn stop_taking(&mut self, id: ExecutorId) {
        if let Some(known) = self.observer.known.get_mut(&id) {
            known.takes_tasks = false;
        }
    }

    /// The driver hears that an executor is gone.
    pub(crate) fn tell_loss(&mut self, id: ExecutorId, loss: ExecutorLoss) {
        if self.is_planted(Sabotage::LossNotTold) {
            self.untold.insert(id);
            return;
        }
        self.lost.insert(id);
        self.give(SchedulerInput::ExecutorLost(id, loss));
    }

    /// Attempts of an executor that is gone by a fault of the program may count.
    pub(crate) fn count_loss(&mut self, id: ExecutorId, loss: ExecutorLoss) {
        let counts = match loss {
            ExecutorLoss::Exited { code } => code != 53 && code != 56,
            ExecutorLoss::ProcessLost | ExecutorLoss::HeartbeatTimeout => true,
            ExecutorLoss::WorkerLost | ExecutorLoss::Killed | ExecutorLoss::Decommissioned => false,
        };
        let open: Vec<_> = self.observer.open.values().filter(|open| open.executor == id).cloned().collect();
        for open in open {
            if counts {
                *self.observer.may_count.entry(open.task).or_default() += 1;
            }
            *self.observer.stage_failures.entry(open.task.stage).or_default() += 1;
        }
    }

    fn lose_worker(&mut self) {
        self.count("worker lost");
        let worker = WorkerUid(u128::from(self.rng.between(0, WORKERS)));
        let on: Vec<ExecutorId> =
            self.reality.executors.values().filter(|it| it.worker == worker).map(|it| it.id).collect();
        for id in &on {
            self.end_executor(*id);
            self.on_lost_worker.insert(*id);
            self.after(500, Event::StartExecutor);
        }
        self.reality.forget_outputs_at(OutputLocation::Worker(worker));
        if self.is_planted(Sabotage::LossAsExit) {
            for id in on {
                self.lost.insert(id);
                self.give(SchedulerInput::ExecutorLost(id, ExecutorLoss::Exited { code: 1 }));
            }
        }
        for open in self.observer.open.clone().into_values() {
            *self.observer.stage_failures.entry(open.task.stage).or_default() += 1;
        }
        self.give(SchedulerInput::WorkerLost(worker));
    }

    fn decommission(&mut self, id: ExecutorId) {
        self.count("decommissioned");
        self.stop_taking(id);
        self.give(SchedulerInput::DecommissionExecutor(id));
        let pause = self.rng.between(10, 1_000);
        self.after(pause, Event::Replace(id));
    }

    /// An executor goes on, and nobody hears it.
    fn fall_silent(&mut self, id: ExecutorId) {
        self.silent.insert(id);
        self.after(1_000, Event::StartExecutor);
    }

    /// The master ends an executor, and says so.
    pub(crate) fn replace(&mut self, id: ExecutorId) {
        if !self.reality.executors.contains_key(&id) {
            return;
        }
        self.end_executor(id);
        self.after(10, Event::Told(id, ExecutorLoss::Killed));
        self.after(20, Event::StartExecutor);
    }

    fn cancel(&mut self) {
        let live: Vec<JobId> =
            self.observer.jobs.keys().filter(|job| !self.observer.ended.contains(job)).copied().collect();
        let Some(job) = self.rng.pick(&live) else { return };
        let jobs = match self.rng.between(0, 8) {
            0 => JobSelection::Group { group: "group".into(), future: false },
            1 => JobSelection::Tag("tag".into()),
            2 => JobSelection::Stage(self.observer.jobs[&job]),
            _ => JobSelection::Job(job),
        };
        match &jobs {
            JobSelection::Job(job) => drop(self.observer.cancelled.insert(*job)),
            // Which jobs are meant is checked by tests of their own.
            _ => self.observer.cancelled.extend(live),
        }
        let was_all = !matches!(jobs, JobSelection::Job(_));
        if !self.is_planted(Sabotage::CancelDropped) {
            self.give(SchedulerInput::Cancel { jobs, reason: "enough".into() });
        }
        if was_all {
            let ended = &self.observer.ended;
            self.observer.cancelled.retain(|job| ended.contains(job));
        }
    }

    /// An executor loses one output, and does not know.
    fn lose_output(&mut self, id: ExecutorId) {
        let found: Vec<_> =
            self.reality.outputs.iter().filter(|(at, _)| *at == OutputLocation::Executor(id)).copied().collect();
        if let Some(output) = self.rng.pick(&found) {
            self.reality.outputs.remove(&output);
        }
    }

    /// An executor moves its outputs to another one.
    fn move_outputs(&mut self, id: ExecutorId) {
        let alive: Vec<ExecutorId> =
            self.reality.executors.keys().copied().filter(|other| *other != id && !self.lost.contains(other)).collect();
        let Some(to) = self.rng.pick(&alive).map(OutputLocation::Executor) else { return };
        let from = OutputLocation::Executor(id);
        let found: Vec<_> = self.reality.outputs.iter().filter(|(at, _)| *at == from).copied().collect();
        for (_, task) in found {
            self.count("outputs moved");
            self.reality.outputs.remove(&(from, task));
            self.reality.outputs.insert((to, task));
            self.give(SchedulerInput::OutputMoved(task, to));
        }
    }

    /// Tasks that hang go on, and those that do not stop do.
    pub(crate) fn end_what_hangs(&mut self) {
        let mut found = Vec::new();
        for executor in self.reality.executors.values_mut() {
            for running in executor.attempts.iter_mut() {
                running.hangs = false;
                found.push((executor.id, running.attempt, running.has_begun, running.is_killed));
            }
        }
        for (id, attempt, has_begun, is_killed) in found {
            if is_killed {
                self.after(1, Event::Stop(id, attempt));
            } else if has_begun {
                self.after(1, Event::Finish(id, attempt));
            }
        }
    }

    fn release(&mut self) {
        let datasets: Vec<StageId> = self.datasets.clone();
        if let Some(stage) = self.rng.pick(&datasets) {
            self.datasets.retain(|other| *other != stage);
            self.give(SchedulerInput::ReleaseStage(stage));
        }
    }
}
