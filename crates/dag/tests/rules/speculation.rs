use muster_dag::{SchedulerConfig, SchedulerEffect, SpeculationRule, TaskEnd, TaskKillReason};
use muster_types::ExecutorId;

use crate::attempts::ask;
use crate::support::*;

fn rig(workers: &[u64]) -> Rig {
    let mut rig = Rig::with(SchedulerConfig { speculation: Some(SpeculationRule::default()), ..config() });
    rig.add_executors(workers);
    rig
}

#[test]
fn a_copy_of_a_slow_task_runs_on_another_worker_and_the_first_to_finish_wins() {
    let mut rig = rig(&[1, 2, 2]);
    let first = rig.submit(1, vec![results(1, 10, &[])]).launches();
    let slow = *first.iter().find(|it| it.executor == ExecutorId(1)).expect("each has one");
    let others = first.into_iter().filter(|it| *it != slow).collect();
    rig.finish(others);
    // Three times the median of 100 ms, within an eighth.
    assert!(rig.pass(millis(290)).launches().is_empty());
    let copy = rig.pass(millis(200)).launch();
    assert!(copy.speculative && copy.task == slow.task);
    assert_eq!(copy.executor, ExecutorId(0), "executor 2 is on the worker of the first");
    let won = rig.succeed(copy);
    assert_eq!(won.succeeded(), [1]);
    let kill = SchedulerEffect::Kill {
        executor: slow.executor,
        attempt: slow.attempt,
        reason: TaskKillReason::AnotherSucceeded,
    };
    assert!(won.has(&kill));
    assert!(rig.succeed(slow).0.is_empty(), "the loser's result counts for nothing");
}

#[test]
fn a_copy_that_fails_leaves_the_first_attempt_alone() {
    let mut rig = rig(&[1, 2]);
    let first = rig.submit(1, vec![results(1, 10, &[])]).launches();
    rig.finish(vec![first[0]]);
    let copy = rig.pass(seconds(1)).launch();
    let failed = rig.end(copy, TaskEnd::Killed);
    assert!(failed.launches().is_empty());
    assert_eq!(rig.succeed(first[1]).succeeded(), [1]);
}

#[test]
fn nothing_is_copied_before_most_tasks_have_succeeded() {
    let mut rig = rig(&[1, 2, 3]);
    let first = rig.submit(1, vec![results(1, 5, &[])]).launches();
    rig.finish(vec![first[0]]);
    assert!(rig.pass(seconds(60)).launches().is_empty(), "three of five");
}

#[test]
fn of_a_task_and_its_copy_one_may_commit() {
    let mut rig = rig(&[1, 2]);
    let first = rig.submit(1, vec![results(1, 10, &[])]).launches();
    rig.finish(vec![first[0]]);
    let copy = rig.pass(seconds(1)).launch();
    assert!(ask(&mut rig, first[1]));
    assert!(!ask(&mut rig, copy));
    rig.fail(first[1]);
    assert!(ask(&mut rig, copy));
}
