use muster_dag::{SchedulerConfig, TaskEnd};

use crate::support::*;

fn ran(micros: u64) -> TaskEnd {
    TaskEnd::Succeeded { ran: std::time::Duration::from_micros(micros), kept_by: None, result_bytes: 0 }
}

#[test]
fn short_tasks_are_sent_ahead_as_many_as_run_within_the_rule() {
    let mut rig = Rig::with(SchedulerConfig::default());
    rig.add_executor(0, 1, 1);
    let first = rig.submit(1, vec![results(1, 1_000, &[])]);
    assert_eq!(first.launches().len(), 1, "nothing is known of the first");
    // 10 ms of tasks of 1 ms, and one that runs.
    assert_eq!(rig.end(first.launch(), ran(1_000)).launches().len(), 11);
}

#[test]
fn long_tasks_and_the_last_ones_are_not_sent_ahead() {
    let mut rig = Rig::with(SchedulerConfig::default());
    rig.add_executors(&[1, 2]);
    let first = rig.submit(1, vec![results(1, 9, &[])]);
    assert_eq!(rig.end(first.launches()[0], ran(20_000)).launches().len(), 1);
    let mut rig = Rig::with(SchedulerConfig::default());
    rig.add_executors(&[1, 2]);
    let first = rig.submit(1, vec![results(1, 9, &[])]);
    // Seven wait, and each of the two cores keeps less than half of its share.
    assert_eq!(rig.end(first.launches()[0], ran(10)).launches().len(), 2);
}

#[test]
fn after_one_was_given_back_none_is_sent_ahead_until_tasks_are_known_again() {
    let mut rig = Rig::with(SchedulerConfig::default());
    rig.add_executor(0, 1, 1);
    let first = rig.submit(1, vec![results(1, 1_000, &[])]);
    let ahead = rig.end(first.launch(), ran(1_000)).launches();
    assert!(rig.end(ahead[10], TaskEnd::NotStarted).launches().is_empty());
    assert!(rig.end(ahead[9], TaskEnd::NotStarted).launches().is_empty());
    assert_eq!(rig.end(ahead[0], ran(1_000)).launches().len(), 3);
}
