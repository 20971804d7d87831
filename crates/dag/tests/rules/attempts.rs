use muster_dag::{
    FailureCause, ReplaceReason, SchedulerEffect, SchedulerInput, StageId, TaskAttemptId, TaskEnd, TaskLaunch,
};
use muster_types::ExecutorId;

use crate::support::*;

#[test]
fn a_task_that_fails_four_times_ends_its_job_with_the_last_failure() {
    let mut rig = Rig::on(&[1]);
    let mut launch = rig.submit(7, vec![results(1, 1, &[])]).launch();
    for _ in 0..3 {
        launch = rig.fail(launch).launch();
    }
    let last = rig.fail(launch);
    let failure = &last.failures()[0];
    assert_eq!((failure.job.0, failure.stage), (7, Some(StageId(1))));
    assert_eq!(failure.cause, FailureCause::Function { message: "no".into(), retry: true });
    let attempt = failure.attempt.as_ref().expect("one has failed");
    assert_eq!((attempt.number, attempt.executor), (3, ExecutorId(0)));
}

#[test]
fn a_failure_that_no_try_can_mend_ends_the_job_at_once() {
    let mut rig = Rig::on(&[1]);
    let launch = rig.submit(1, vec![results(1, 1, &[])]).launch();
    let end = TaskEnd::Failed { message: "no function `f`".into(), retry: false };
    assert_eq!(rig.end(launch, end).failed(), [1]);
}

#[test]
fn a_lost_result_counts_and_a_kill_a_denial_and_a_return_do_not() {
    let counted = |end: TaskEnd| {
        let mut rig = Rig::on(&[1]);
        let launch = rig.submit(1, vec![results(1, 1, &[])]).launch();
        let ended = rig.end(launch, end);
        assert_eq!(ended.launched(), [(1, 0, 0)], "it runs again");
        ended.task_failures()[0].counted
    };
    assert!(counted(TaskEnd::ResultLost));
    assert!(!counted(TaskEnd::Killed));
    assert!(!counted(TaskEnd::CommitDenied));
    assert!(!counted(TaskEnd::NotStarted));
}

#[test]
fn a_second_answer_and_one_for_another_executor_change_nothing() {
    let mut rig = Rig::on(&[1, 2]);
    let launches = rig.submit(1, vec![results(1, 4, &[])]).launches();
    let stolen = TaskLaunch { executor: launches[1].executor, ..launches[0] };
    assert!(rig.succeed(stolen).0.is_empty());
    assert_eq!(rig.succeed(launches[0]).launches().len(), 1);
    assert!(rig.succeed(launches[0]).0.is_empty());
    assert!(rig.fail(launches[0]).0.is_empty());
    let nobody = SchedulerInput::AttemptEnded(ExecutorId(0), TaskAttemptId(0), success());
    assert!(rig.give(nobody).0.is_empty());
}

#[test]
fn results_that_are_too_large_together_end_the_job_and_say_so() {
    let mut config = config();
    config.max_result_bytes = 100;
    let mut rig = Rig::with(config);
    rig.add_executor(0, 1, 1);
    let first = rig.submit(1, vec![results(1, 3, &[])]);
    let end = TaskEnd::Succeeded { ran: millis(1), kept_by: None, result_bytes: 60 };
    let second = rig.end(first.launch(), end.clone());
    let over = rig.end(second.launch(), end);
    assert_eq!(over.failures()[0].cause, FailureCause::ResultsTooLarge { bytes: 120, most: 100 });
}

pub(crate) fn ask(rig: &mut Rig, launch: TaskLaunch) -> bool {
    let answer = rig.give(SchedulerInput::AskCommit(launch.executor, launch.attempt));
    let said = |allowed| SchedulerEffect::CommitAnswer { executor: launch.executor, attempt: launch.attempt, allowed };
    assert!(answer.0 == [said(true)] || answer.0 == [said(false)]);
    answer.has(&said(true))
}

#[test]
fn one_attempt_of_a_task_may_commit_and_another_one_when_that_has_failed() {
    let mut rig = Rig::on(&[1]);
    let first = rig.submit(1, vec![results(1, 1, &[])]).launch();
    assert!(ask(&mut rig, first));
    assert!(ask(&mut rig, first), "asking again changes nothing");
    let second = rig.fail(first).launch();
    assert!(!ask(&mut rig, first));
    assert!(ask(&mut rig, second));
    assert_eq!(rig.succeed(second).succeeded(), [1]);
    assert!(!ask(&mut rig, second));
}

#[test]
fn a_killed_attempt_that_does_not_end_has_its_executor_replaced() {
    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![results(1, 1, &[])]);
    let cancel = muster_dag::JobSelection::All;
    rig.give(SchedulerInput::Cancel { jobs: cancel, reason: "enough".into() });
    assert!(rig.submit(2, vec![results(2, 1, &[])]).launches().is_empty(), "it still has its core");
    rig.give(SchedulerInput::ExecutorHeartbeat(ExecutorId(0)));
    let late = rig.pass(seconds(60));
    assert_eq!(late.0, [SchedulerEffect::ReplaceExecutor(ExecutorId(0), ReplaceReason::TaskNotKilled)]);
}
