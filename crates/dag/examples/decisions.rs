//! Measures decisions and memory of the scheduler, with 1,000 executors of one core each: one
//! `name`, value and unit per line, with tabs between. `make bench` prints them with its figures.
//!
//! A decision is the end of an attempt with all that follows: the task is done, and the core is
//! given to the next one. It runs in one thread, and does nothing but decide.

#![allow(clippy::print_stdout, reason = "printing figures is what the program is for")]

use std::alloc::System;
use std::collections::VecDeque;
use std::time::Duration;

use cap::Cap;
use muster_dag::{
    ExecutorSpec, JobId, JobSpec, PoolOrder, PoolSpec, Preference, Scheduler, SchedulerConfig, SchedulerEffect,
    SchedulerInput, StageId, StageSpec, TaskEnd, TaskLaunch,
};
use muster_types::{ExecutorId, ProfileId, Time, WorkerUid};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const EXECUTORS: u32 = 1_000;
/// Executors of a worker.
const PER_WORKER: u32 = 10;
const SIZES: [u32; 2] = [100_000, 1_000_000];
/// A run time at which nothing is sent ahead, and one at which much is.
const LONG: Duration = Duration::from_millis(100);
const SHORT: Duration = Duration::from_micros(10);

/// A scheduler, and the launches that wait for their ends.
struct SchedulerRun {
    scheduler: Scheduler,
    launched: VecDeque<TaskLaunch>,
    now: u64,
    ended: u64,
}

impl SchedulerRun {
    fn new() -> SchedulerRun {
        let scheduler = Scheduler::new(SchedulerConfig::default());
        SchedulerRun { scheduler, launched: VecDeque::new(), now: 0, ended: 0 }
    }

    fn give(&mut self, input: SchedulerInput) {
        self.now += 1_000;
        self.scheduler.handle(Time(self.now), input);
        for effect in self.scheduler.drain() {
            if let SchedulerEffect::Launch(launch) = effect {
                self.launched.push_back(launch);
            }
        }
    }

    fn start_executors(&mut self) {
        for number in 0..EXECUTORS {
            let executor = ExecutorId(number);
            let worker = WorkerUid(u128::from(number / PER_WORKER));
            let spec = ExecutorSpec { executor, worker, rack: None, profile: ProfileId(0), cores: 1 };
            self.give(SchedulerInput::RegisterExecutor(spec));
            self.give(SchedulerInput::ExecutorReady(executor));
        }
    }

    fn submit(&mut self, job: u64, pool: &str, stages: Vec<StageSpec>) {
        let target = stages.last().expect("a job has stages").stage;
        let spec = JobSpec { job: JobId(job), stages, target, pool: pool.into(), group: None, tags: Vec::new() };
        self.give(SchedulerInput::SubmitJob(Box::new(spec)));
    }

    /// Ends attempts in the order of their launches until none is left.
    fn end_all(&mut self, ran: Duration) {
        while let Some(launch) = self.launched.pop_front() {
            let end = TaskEnd::Succeeded { ran, kept_by: None, result_bytes: 0 };
            self.ended += 1;
            self.give(SchedulerInput::AttemptEnded(launch.executor, launch.attempt, end));
        }
    }
}

/// Runs jobs on executors that are there, and prints the time of each decision; submission is part
/// of it.
fn time(name: &str, tasks: u32, ran: Duration, submit: impl FnOnce(&mut SchedulerRun)) {
    let mut run = SchedulerRun::new();
    run.start_executors();
    let began = cpu_time();
    submit(&mut run);
    run.end_all(ran);
    let nanos = (cpu_time() - began).as_nanos() as f64 / run.ended as f64;
    assert!(run.ended >= u64::from(tasks), "{name}: {} of {tasks} tasks have run", run.ended);
    println!("dag: {name}, {tasks} tasks\t{nanos:.1}\tns per decision");
}

/// The time that this thread had a processor, which does not depend on what else runs.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn near_executors(stage: StageSpec) -> StageSpec {
    let preferences = (0..stage.tasks).map(|task| vec![Preference::Executor(ExecutorId(task % EXECUTORS))]);
    StageSpec { preferences: preferences.collect(), ..stage }
}

fn main() {
    for tasks in SIZES {
        time("one stage of long tasks", tasks, LONG, |run| {
            run.submit(1, "default", vec![StageSpec::results(StageId(1), tasks)]);
        });
        time("one stage of short tasks", tasks, SHORT, |run| {
            run.submit(1, "default", vec![StageSpec::results(StageId(1), tasks)]);
        });
        time("two stages with outputs and preferences", tasks, LONG, |run| {
            let first = near_executors(StageSpec::outputs(StageId(1), tasks / 2));
            let second = StageSpec::results(StageId(2), tasks / 2);
            let second = StageSpec { parents: vec![StageId(1)], ..near_executors(second) };
            run.submit(1, "default", vec![first, second]);
        });
        time("100 jobs in 10 fair pools", tasks, LONG, |run| {
            for job in 0..100 {
                let name = format!("pool {}", job % 10);
                let weight = 1 + job as u32 % 3;
                let pool = PoolSpec { order: PoolOrder::Fair, weight, ..PoolSpec::new(name.as_str()) };
                run.give(SchedulerInput::SetPool(pool));
                run.submit(job, &name, vec![StageSpec::results(StageId(job), tasks / 100)]);
            }
        });
        time("jobs of one task, submission and end, one after the other", tasks / 10, LONG, |run| {
            for job in 0..u64::from(tasks / 10) {
                run.submit(job, "default", vec![StageSpec::results(StageId(job), 1)]);
                run.end_all(LONG);
            }
        });
        memory("", tasks, |stage| stage);
        memory(" with a preference", tasks, near_executors);
    }
}

/// Prints what each task takes: while it waits, and when it is done and its output is kept.
fn memory(name: &str, tasks: u32, with: impl FnOnce(StageSpec) -> StageSpec) {
    let mut run = SchedulerRun::new();
    let per_task = |bytes: usize| bytes as f64 / f64::from(tasks);
    let before = ALLOCATOR.allocated();
    run.submit(1, "default", vec![with(StageSpec::outputs(StageId(1), tasks))]);
    let pending = ALLOCATOR.allocated().saturating_sub(before);
    println!("dag: pending task{name}, {tasks} tasks\t{:.1}\tbytes", per_task(pending));
    run.start_executors();
    run.end_all(LONG);
    // What the executors themselves take is part of it.
    let finished = ALLOCATOR.allocated().saturating_sub(before);
    println!("dag: finished task{name}, {tasks} tasks\t{:.1}\tbytes", per_task(finished));
}
