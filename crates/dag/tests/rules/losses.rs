use muster_dag::{ExecutorLoss, ExecutorRefusal, FailureCause, ReplaceReason, SchedulerEffect, SchedulerInput};
use muster_types::ExecutorId;

use crate::support::*;

/// Whether a loss counts against a task that runs there.
fn counts(loss: ExecutorLoss) -> bool {
    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![results(1, 1, &[])]);
    let lost = rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), loss));
    assert!(lost.has(&SchedulerEffect::ExecutorRemoved(ExecutorId(0), loss)));
    lost.task_failures()[0].counted
}

#[test]
fn which_losses_count_against_tasks() {
    for code in [0, 1, 50, 52, 137] {
        assert!(counts(ExecutorLoss::Exited { code }), "{code}");
    }
    for code in [53, 56] {
        assert!(!counts(ExecutorLoss::Exited { code }), "{code}");
    }
    assert!(counts(ExecutorLoss::ProcessLost));
    assert!(counts(ExecutorLoss::HeartbeatTimeout));
    assert!(!counts(ExecutorLoss::WorkerLost));
    assert!(!counts(ExecutorLoss::Killed));
    assert!(!counts(ExecutorLoss::Decommissioned));
}

#[test]
fn an_end_that_the_driver_or_an_operator_wanted_does_not_count_however_it_is_reported() {
    for wanted in
        [SchedulerInput::ExecutorKillRequested(ExecutorId(0)), SchedulerInput::DecommissionExecutor(ExecutorId(0))]
    {
        let mut rig = Rig::on(&[1]);
        rig.submit(1, vec![results(1, 1, &[])]);
        rig.give(wanted);
        let lost = rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), ExecutorLoss::Exited { code: 143 }));
        assert!(!lost.task_failures()[0].counted);
    }
}

#[test]
fn a_task_that_had_not_started_does_not_count() {
    let mut config = config();
    config.prefetch.most = 4;
    let mut rig = Rig::with(config);
    rig.add_executor(0, 1, 1);
    let first = rig.submit(1, vec![results(1, 40, &[])]);
    let end = muster_dag::TaskEnd::Succeeded { ran: millis(1), kept_by: None, result_bytes: 0 };
    assert_eq!(rig.end(first.launch(), end).launches().len(), 5, "one core, and four ahead");
    let lost = rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), ExecutorLoss::Exited { code: 1 }));
    let counted: Vec<bool> = lost.task_failures().iter().map(|failure| failure.counted).collect();
    assert_eq!(counted, [true, false, false, false, false]);
}

#[test]
fn a_task_whose_executor_ends_four_times_by_its_doing_fails_its_job() {
    let mut rig = Rig::on(&[]);
    rig.submit(1, vec![results(1, 1, &[])]);
    for number in 0..4 {
        assert_eq!(rig.add_executor(number, 1, 1).launch().number, number as u16);
        let lost = rig.give(SchedulerInput::ExecutorLost(ExecutorId(number), ExecutorLoss::Exited { code: 139 }));
        assert_eq!(lost.failed().len(), usize::from(number == 3));
        if number == 3 {
            let cause = FailureCause::ExecutorLost(ExecutorLoss::Exited { code: 139 });
            assert_eq!(lost.failures()[0].cause, cause);
        }
    }
}

#[test]
fn a_broken_stream_is_no_death_until_the_reason_has_had_its_time() {
    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![results(1, 2, &[])]);
    assert!(rig.give(SchedulerInput::ExecutorDisconnected(ExecutorId(0))).0.is_empty());
    assert!(rig.pass(millis(4_999)).task_failures().is_empty());
    let lost = rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), ExecutorLoss::Exited { code: 53 }));
    assert!(!lost.task_failures()[0].counted);
    assert!(rig.pass(seconds(10)).0.is_empty());

    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![results(1, 2, &[])]);
    rig.give(SchedulerInput::ExecutorDisconnected(ExecutorId(0)));
    let lost = rig.pass(seconds(5));
    assert!(lost.has(&SchedulerEffect::ExecutorRemoved(ExecutorId(0), ExecutorLoss::ProcessLost)));
    assert!(lost.task_failures()[0].counted);
}

#[test]
fn an_executor_that_sends_no_heartbeat_is_replaced_and_its_tasks_run_elsewhere() {
    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![results(1, 1, &[])]);
    rig.pass(seconds(100));
    rig.give(SchedulerInput::ExecutorHeartbeat(ExecutorId(0)));
    assert!(rig.pass(seconds(119)).0.is_empty());
    let silent = rig.pass(seconds(1));
    let replace = SchedulerEffect::ReplaceExecutor(ExecutorId(0), ReplaceReason::HeartbeatTimeout);
    assert_eq!(silent.0[0], replace);
    assert!(silent.task_failures()[0].counted);
    assert_eq!(rig.add_executor(1, 1, 1).launched(), [(1, 0, 1)]);
}

#[test]
fn the_number_of_an_executor_is_never_used_again() {
    let mut rig = Rig::on(&[1]);
    let refused = [SchedulerEffect::ExecutorRefused(ExecutorId(0), ExecutorRefusal::Duplicate)];
    assert_eq!(rig.add_executor(0, 2, 1).0, refused);
    rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), ExecutorLoss::Killed));
    assert_eq!(rig.add_executor(0, 2, 1).0, refused);
    assert_eq!(ExecutorRefusal::Duplicate.sentence(ExecutorId(0)), "Duplicate executor ID: 0");
}

#[test]
fn what_a_lost_executor_says_concerns_nothing() {
    let mut rig = Rig::on(&[1]);
    let launch = rig.submit(1, vec![results(1, 1, &[])]).launch();
    rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), ExecutorLoss::Killed));
    assert!(rig.succeed(launch).0.is_empty());
}
