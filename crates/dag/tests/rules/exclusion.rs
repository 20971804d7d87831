use muster_dag::{
    ExclusionRule, ExecutorLoss, ExecutorRefusal, FailureCause, SchedulerConfig, SchedulerEffect, SchedulerInput,
    StageId, TaskId,
};
use muster_types::ExecutorId;

use crate::support::*;

fn rig(workers: &[u64]) -> Rig {
    let config = SchedulerConfig { exclusion: Some(ExclusionRule::default()), max_task_failures: 10, ..config() };
    let mut rig = Rig::with(config);
    rig.add_executors(workers);
    rig
}

#[test]
fn a_task_avoids_an_executor_after_one_failure_and_a_worker_after_two() {
    let mut rig = rig(&[1, 1, 2]);
    let first = rig.submit(1, vec![results(1, 1, &[])]).launch();
    assert_eq!(first.executor, ExecutorId(2));
    let second = rig.fail(first).launch();
    assert_eq!(second.executor, ExecutorId(1));
    let third = rig.fail(second).launch();
    assert_eq!(third.executor, ExecutorId(0));
    let nowhere = rig.fail(third);
    let task = TaskId { stage: StageId(1), partition: 0 };
    assert!(nowhere.launches().is_empty() && nowhere.has(&SchedulerEffect::Unschedulable(task)));
    // A new executor on the worker where it failed twice does not help.
    assert!(rig.add_executor(3, 1, 1).launches().is_empty());
    assert_eq!(rig.add_executor(4, 3, 1).launch().executor, ExecutorId(4));
}

#[test]
fn a_stage_avoids_an_executor_on_which_two_tasks_failed() {
    let mut rig = rig(&[1, 2]);
    let first = rig.submit(1, vec![results(1, 6, &[])]);
    let on_0 = |launches: Vec<muster_dag::TaskLaunch>| {
        launches.into_iter().find(|it| it.executor == ExecutorId(0)).expect("executor 0 has one")
    };
    let second = rig.fail(on_0(first.launches()));
    let third = rig.fail(on_0(second.launches()));
    assert!(third.launches().is_empty(), "executor 0 gets no other task");
    // Another stage does not avoid it.
    assert_eq!(rig.submit(2, vec![results(2, 1, &[])]).launched(), [(2, 0, 0)]);
}

#[test]
fn all_avoid_an_executor_on_which_tasks_of_stages_failed_that_succeeded_at_last() {
    let mut rig = rig(&[1, 2]);
    let first = rig.submit(1, vec![results(1, 3, &[])]).launches();
    let again = rig.fail(first[0]);
    assert_eq!(again.launch().executor, first[0].executor, "another task goes there");
    let other = rig.fail(again.launch());
    assert!(other.launches().is_empty());
    let bad = first[0].executor;
    let done = rig.finish(vec![first[1]]);
    assert_eq!(done.succeeded(), [1]);
    let next = rig.submit(2, vec![results(2, 2, &[])]);
    assert!(next.launches().len() == 1 && next.launch().executor != bad);
    // It is avoided for an hour, and so is a worker with two of them: here there is one.
    rig.give(SchedulerInput::ExecutorHeartbeat(ExecutorId(0)));
    rig.give(SchedulerInput::ExecutorHeartbeat(ExecutorId(1)));
    assert_eq!(ExecutorRefusal::Excluded.sentence(bad), format!("Executor is excluded due to failures: {bad}"));
}

#[test]
fn a_stage_that_avoids_all_that_is_left_is_found_though_nothing_fails_any_more() {
    let mut rig = rig(&[1, 2]);
    let first = rig.submit(1, vec![results(1, 1, &[])]).launch();
    let second = rig.fail(first).launch();
    rig.give(SchedulerInput::ExecutorLost(second.executor, ExecutorLoss::WorkerLost));
    let found = rig.pass(seconds(15));
    assert!(found.has(&SchedulerEffect::Unschedulable(TaskId { stage: StageId(1), partition: 0 })));
    rig.give(SchedulerInput::ExecutorHeartbeat(first.executor));
    let ended = rig.pass(seconds(119));
    assert!(ended.failed().is_empty());
    rig.give(SchedulerInput::ExecutorHeartbeat(first.executor));
    assert_eq!(rig.pass(seconds(20)).failures()[0].cause, FailureCause::Unschedulable);
}
