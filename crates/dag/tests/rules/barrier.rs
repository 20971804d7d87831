use muster_dag::{FailureCause, SchedulerEffect, SchedulerInput, StageId, StageSpec, TaskEnd};
use muster_types::ExecutorId;

use crate::attempts::ask;
use crate::support::*;

fn barrier(stage: u64, tasks: u32) -> StageSpec {
    StageSpec { barrier: true, ..results(stage, tasks, &[]) }
}

#[test]
fn all_tasks_of_a_barrier_stage_are_launched_or_none() {
    let mut rig = Rig::on(&[1, 2, 3]);
    assert!(rig.submit(1, vec![barrier(1, 4)]).launches().is_empty());
    assert_eq!(rig.add_executor(3, 4, 1).launches().len(), 4);
}

#[test]
fn a_barrier_stage_goes_first_when_there_is_room_for_it() {
    let mut rig = Rig::with(config());
    rig.add_executor(0, 1, 2);
    let first = rig.submit(1, vec![results(1, 2, &[])]).launches();
    rig.submit(2, vec![barrier(2, 1)]);
    rig.submit(3, vec![results(3, 5, &[])]);
    assert_eq!(rig.succeed(first[0]).launched(), [(2, 0, 0)]);
}

#[test]
fn one_failure_begins_all_of_it_again_and_takes_results_back() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![barrier(1, 2)]).launches();
    rig.succeed(first[0]);
    let failed = rig.fail(first[1]);
    assert!(failed.has(&SchedulerEffect::ResultsTakenBack(StageId(1))));
    assert!(failed.has(&SchedulerEffect::StageFailed { stage: StageId(1), attempt: 0 }));
    assert!(failed.launches().is_empty());
    let again = rig.pass(millis(200)).launches();
    assert_eq!(again.iter().map(|it| (it.task.partition, it.stage_attempt)).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
    rig.succeed(again[0]);
    assert_eq!(rig.succeed(again[1]).succeeded(), [1]);
}

#[test]
fn too_few_executors_for_too_long_end_the_job() {
    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![barrier(1, 2)]);
    let mut failures = Vec::new();
    for _ in 0..11 {
        rig.give(SchedulerInput::ExecutorHeartbeat(ExecutorId(0)));
        failures.extend(rig.pass(seconds(60)).failures());
    }
    assert_eq!(failures[0].cause, FailureCause::TooFewSlots { needed: 2, available: 1 });
}

#[test]
fn what_is_killed_of_a_barrier_stage_keeps_its_core_until_it_ends() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![barrier(1, 2)]).launches();
    assert_eq!(rig.fail(first[0]).kills(), 1);
    assert!(rig.pass(millis(200)).launches().is_empty());
    assert_eq!(rig.end(first[1], TaskEnd::Killed).launches().len(), 2);
}

#[test]
fn what_is_killed_may_still_commit_until_it_has_ended() {
    let mut rig = Rig::on(&[1, 2, 3]);
    let first = rig.submit(1, vec![barrier(1, 2)]).launches();
    assert!(ask(&mut rig, first[1]));
    rig.fail(first[0]);
    let again = rig.pass(millis(200)).launches();
    let next = *again.iter().find(|it| it.task == first[1].task).expect("all of it runs again");
    assert!(!ask(&mut rig, next), "the older one may be at it");
    rig.end(first[1], TaskEnd::Killed);
    assert!(ask(&mut rig, next));
}
