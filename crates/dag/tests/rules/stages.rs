use muster_dag::{
    ExecutorLoss, FailureCause, OutputLocation, SchedulerEffect, SchedulerInput, StageId, StageSpec, TaskEnd, TaskId,
};
use muster_types::{ExecutorId, WorkerUid};

use crate::support::*;

#[test]
fn parents_run_before_children_and_the_target_ends_the_job() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![outputs(1, 2, &[]), outputs(2, 1, &[1]), results(3, 1, &[1, 2])]);
    assert_eq!(first.launched(), [(1, 0, 1), (1, 1, 0)]);
    assert!(rig.succeed(first.launches()[0]).launches().is_empty());
    let second = rig.succeed(first.launches()[1]);
    assert!(second.has(&SchedulerEffect::StageCompleted(StageId(1))));
    assert_eq!(second.launched(), [(2, 0, 0)]);
    let third = rig.succeed(second.launch());
    assert_eq!(third.launched(), [(3, 0, 0)]);
    assert_eq!(rig.succeed(third.launch()).succeeded(), [1]);
}

#[test]
fn two_jobs_that_read_the_same_outputs_make_them_once() {
    let mut rig = Rig::on(&[1]);
    let first = rig.submit(1, vec![outputs(1, 1, &[]), results(2, 1, &[1])]);
    assert!(rig.submit(2, vec![results(3, 1, &[1])]).launches().is_empty());
    let both = rig.finish(first.launches());
    assert_eq!(both.launched(), [(2, 0, 0), (3, 0, 0)]);
    assert_eq!(both.succeeded(), [1, 2]);
    // What is complete is not run again for a third one, nor for its own sake.
    let third = rig.submit(3, vec![results(4, 1, &[1])]);
    assert_eq!(third.launched(), [(4, 0, 0)]);
    let mut own = spec(4);
    own.target = StageId(1);
    assert_eq!(rig.submit_as(own).succeeded(), [4]);
}

#[test]
fn a_released_stage_is_forgotten_when_nothing_needs_it() {
    let mut rig = Rig::on(&[1]);
    let first = rig.submit(1, vec![outputs(1, 1, &[]), outputs(2, 1, &[1]), results(3, 1, &[2])]);
    assert!(rig.give(SchedulerInput::ReleaseStage(StageId(1))).0.is_empty(), "its child needs it");
    rig.finish(first.launches());
    let gone = rig.give(SchedulerInput::ReleaseStage(StageId(2)));
    assert_eq!(gone.0, [SchedulerEffect::StageReleased(StageId(2)), SchedulerEffect::StageReleased(StageId(1))]);
}

#[test]
fn only_the_outputs_that_are_lost_are_made_again_and_the_child_waits_for_them() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![outputs(1, 4, &[]), results(2, 4, &[1])]);
    let after = rig.finish(first.launches()[..1].to_vec());
    assert_eq!(after.launched().len(), 2, "executor 1 makes all but the one that executor 0 is at");
    let second = rig.succeed(first.launches()[1]);
    // The child runs on both; executor 0 has one of its parents' outputs.
    assert_eq!(second.launched(), [(2, 0, 0), (2, 1, 1)]);
    let lost = rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), ExecutorLoss::WorkerLost));
    assert!(lost.launches().is_empty(), "executor 1 is busy");
    let again = rig.succeed(second.launches()[1]);
    assert_eq!(again.launched(), [(1, 1, 1)]);
    let child = rig.finish(again.launches());
    assert_eq!(child.launched(), [(2, 0, 1), (2, 2, 1), (2, 3, 1)]);
    assert_eq!(child.succeeded(), [1]);
}

#[test]
fn an_output_that_an_agent_keeps_outlives_its_executor_and_not_its_worker() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![outputs(1, 1, &[]), results(2, 2, &[1])]);
    let kept_by = Some(OutputLocation::Worker(WorkerUid(2)));
    let end = TaskEnd::Succeeded { ran: millis(1), kept_by, result_bytes: 0 };
    assert_eq!(first.launch().executor, ExecutorId(1));
    let child = rig.end(first.launch(), end);
    rig.give(SchedulerInput::ExecutorLost(ExecutorId(1), ExecutorLoss::Killed));
    assert_eq!(rig.scheduler.outputs(StageId(1)).collect::<Vec<_>>(), [kept_by]);
    rig.give(SchedulerInput::WorkerLost(WorkerUid(2)));
    assert_eq!(rig.scheduler.outputs(StageId(1)).collect::<Vec<_>>(), [None]);
    let on_0 = child.launches().into_iter().find(|it| it.executor == ExecutorId(0)).expect("both have one");
    assert_eq!(rig.succeed(on_0).launched(), [(1, 0, 0)]);
}

#[test]
fn a_failed_fetch_makes_the_output_again_after_a_delay_and_does_not_count() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![outputs(1, 2, &[]), results(2, 2, &[1])]);
    let child = rig.finish(first.launches()[..1].to_vec());
    assert!(child.launches().is_empty());
    let child = rig.succeed(first.launches()[1]);
    let failed = rig.fail_fetch(child.launches()[0], (1, 0), 1, false);
    assert!(!failed.task_failures()[0].counted);
    assert!(failed.has(&SchedulerEffect::StageFailed { stage: StageId(2), attempt: 0 }));
    assert!(failed.launches().is_empty());
    // A second failure of the same attempt of the stage fails nothing more.
    let second = rig.fail_fetch(child.launches()[1], (1, 0), 1, false);
    assert!(!second.0.iter().any(|effect| matches!(effect, SchedulerEffect::StageFailed { .. })));
    assert!(rig.pass(millis(199)).launches().is_empty());
    let again = rig.pass(millis(1));
    assert_eq!(again.launched(), [(1, 0, 1)]);
    assert_eq!(rig.finish(again.launches()).succeeded(), [1]);
}

#[test]
fn where_nothing_can_be_read_all_outputs_are_lost_once() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![outputs(1, 3, &[]), results(2, 2, &[1])]);
    let more = rig.finish(first.launches()[..1].to_vec());
    assert_eq!(more.launched(), [(1, 2, 1)]);
    let child = rig.succeed(first.launches()[1]);
    assert_eq!(child.launched(), [(2, 0, 0), (2, 1, 1)]);
    rig.fail_fetch(child.launches()[1], (1, 0), 1, true);
    let here = Some(OutputLocation::Executor(ExecutorId(0)));
    assert_eq!(rig.scheduler.outputs(StageId(1)).collect::<Vec<_>>(), [None, here, None]);
    let again = rig.pass(millis(200));
    assert_eq!(again.launched(), [(1, 0, 1)]);
    let other = rig.succeed(again.launch());
    // What the older attempt says about the same executor is not news.
    rig.fail_fetch(child.launches()[0], (1, 0), 1, true);
    assert!(rig.scheduler.outputs(StageId(1)).next().flatten().is_some());
    assert_eq!(rig.finish(other.launches()).succeeded(), [1]);
}

#[test]
fn an_output_that_was_begun_before_its_executor_lost_its_outputs_is_not_taken() {
    let mut rig = Rig::with(config());
    rig.add_executor(0, 1, 2);
    let first = rig.submit(1, vec![outputs(1, 1, &[]), results(2, 1, &[1])]);
    let child = rig.succeed(first.launch());
    let slow = rig.submit(2, vec![outputs(3, 1, &[]), results(4, 1, &[3])]);
    rig.fail_fetch(child.launch(), (1, 0), 0, true);
    let refused = rig.succeed(slow.launch());
    assert_eq!(refused.task_failures()[0].cause, FailureCause::OutputLost);
    assert!(!refused.task_failures()[0].counted);
    // The next attempt there was launched later, and is taken.
    assert_eq!(rig.finish(refused.launches()).succeeded(), [2]);
}

#[test]
fn the_fourth_failed_attempt_in_a_row_ends_the_job_with_the_last_cause() {
    let mut rig = Rig::on(&[1]);
    let mut child = rig.submit(1, vec![outputs(1, 1, &[]), results(2, 1, &[1])]).launches();
    for attempt in 0..4 {
        child = rig.succeed(child[0]).launches();
        assert_eq!(child[0].stage_attempt, attempt);
        let failed = rig.fail_fetch(child[0], (1, 0), 0, false);
        if attempt == 3 {
            assert!(matches!(failed.failures()[0].cause, FailureCause::Fetch { .. }));
            assert_eq!(failed.failures()[0].attempt.as_ref().map(|it| it.stage_attempt), Some(3));
        } else {
            assert!(failed.failed().is_empty());
            child = rig.pass(millis(200)).launches();
        }
    }
}

#[test]
fn fetches_from_an_executor_that_is_decommissioned_fail_no_stage() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![outputs(1, 1, &[]), results(2, 1, &[1])]);
    let mut child = rig.succeed(first.launch());
    let keeper = first.launch().executor;
    rig.give(SchedulerInput::DecommissionExecutor(keeper));
    let failed = rig.fail_fetch(child.launch(), (1, 0), keeper.0, false);
    assert!(!failed.0.iter().any(|effect| matches!(effect, SchedulerEffect::StageFailed { .. })));
    child = rig.pass(millis(200));
    assert_eq!(rig.finish(child.launches()).succeeded(), [1]);
}

#[test]
fn a_late_success_of_an_older_attempt_counts() {
    let mut rig = Rig::on(&[1, 2, 3]);
    let first = rig.submit(1, vec![outputs(1, 1, &[]), outputs(2, 2, &[1]), results(3, 1, &[2])]);
    let middle = rig.succeed(first.launch());
    let keeper = first.launch().executor.0;
    rig.fail_fetch(middle.launches()[0], (1, 0), keeper, false);
    let late = middle.launches()[1];
    rig.succeed(late);
    let again = rig.pass(millis(200));
    let rest = rig.finish(again.launches());
    assert_eq!(rest.launches().iter().filter(|it| it.task == late.task).count(), 0);
    assert_eq!(rest.succeeded(), [1]);
}

#[test]
fn outputs_that_differ_each_time_take_back_what_was_made_of_them() {
    let mut rig = Rig::on(&[1, 2]);
    let random = StageSpec { deterministic: false, ..outputs(1, 2, &[]) };
    let first = rig.submit(1, vec![random, outputs(2, 2, &[1]), results(3, 1, &[2])]);
    rig.succeed(first.launches()[0]);
    let middle = rig.succeed(first.launches()[1]);
    rig.succeed(middle.launches()[0]);
    let lost = rig.fail_fetch(middle.launches()[1], (1, 0), 1, false);
    assert!(lost.failed().is_empty());
    let again = rig.pass(millis(200));
    assert_eq!(again.launches().len(), 2, "both tasks of the first stage run again");
    let all = rig.finish(again.launches());
    assert_eq!(all.launches().iter().filter(|it| it.task.stage == StageId(2)).count(), 2);
    assert_eq!(all.succeeded(), [1]);
}

#[test]
fn a_job_fails_when_results_were_made_of_what_cannot_be_made_again() {
    let mut rig = Rig::on(&[1, 2]);
    let random = StageSpec { deterministic: false, ..outputs(1, 2, &[]) };
    let first = rig.submit(1, vec![random, results(2, 2, &[1])]);
    rig.succeed(first.launches()[0]);
    let child = rig.succeed(first.launches()[1]);
    rig.succeed(child.launches()[0]);
    let failed = rig.fail_fetch(child.launches()[1], (1, 0), 1, false);
    assert_eq!(failed.failures()[0].cause, FailureCause::CannotRollBack(StageId(1)));
}

#[test]
fn an_output_that_is_moved_is_where_it_was_moved_to() {
    let mut rig = Rig::on(&[1, 2]);
    let first = rig.submit(1, vec![outputs(1, 1, &[]), results(2, 1, &[1])]);
    rig.succeed(first.launch());
    let (output, to) = (TaskId { stage: StageId(1), partition: 0 }, OutputLocation::Executor(ExecutorId(0)));
    rig.give(SchedulerInput::OutputMoved(output, to));
    rig.give(SchedulerInput::ExecutorLost(ExecutorId(1), ExecutorLoss::Decommissioned));
    assert_eq!(rig.scheduler.outputs(StageId(1)).collect::<Vec<_>>(), [Some(to)]);
    // One that is moved to an executor that is gone is lost.
    rig.give(SchedulerInput::OutputMoved(output, OutputLocation::Executor(ExecutorId(1))));
    assert_eq!(rig.scheduler.outputs(StageId(1)).collect::<Vec<_>>(), [None]);
}

#[test]
fn failed_attempts_are_counted_from_the_last_time_that_the_stage_was_complete() {
    let mut rig = Rig::on(&[1]);
    let mut middle = rig.submit(1, vec![outputs(1, 1, &[]), outputs(2, 1, &[1]), results(3, 1, &[2])]).launches();
    for _ in 0..3 {
        // The middle stage fails three times, and is complete at the fourth.
        for _ in 0..3 {
            middle = rig.succeed(middle[0]).launches();
            assert!(rig.fail_fetch(middle[0], (1, 0), 0, false).failed().is_empty());
            middle = rig.pass(millis(200)).launches();
        }
        middle = rig.succeed(middle[0]).launches();
        let last = rig.succeed(middle[0]).launch();
        assert_eq!(last.task.stage, StageId(3));
        // Its output is lost, and so is that of the first.
        rig.fail_fetch(last, (2, 0), 0, true);
        middle = rig.pass(millis(200)).launches();
        assert_eq!(middle[0].task.stage, StageId(1));
    }
}

#[test]
fn an_executor_that_is_decommissioned_finishes_what_it_runs_and_gets_nothing_more() {
    let mut rig = Rig::on(&[1]);
    let first = rig.submit(1, vec![results(1, 2, &[])]).launch();
    rig.give(SchedulerInput::DecommissionExecutor(ExecutorId(0)));
    let done = rig.succeed(first);
    assert!(done.launches().is_empty() && !done.0.is_empty());
    assert_eq!(rig.add_executor(1, 1, 1).launched(), [(1, 1, 1)]);
}
