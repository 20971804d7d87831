use muster_dag::{ExecutorLoss, Locality, Preference, SchedulerInput, StageSpec};
use muster_types::{ExecutorId, WorkerUid};

use crate::support::*;

fn preferring(stage: u64, preferences: &[Option<Preference>]) -> StageSpec {
    let preferences: Vec<Vec<Preference>> = preferences.iter().map(|one| one.iter().copied().collect()).collect();
    StageSpec { preferences: preferences.clone(), ..results(stage, preferences.len() as u32, &[]) }
}

const fn executor(number: u32) -> Option<Preference> {
    Some(Preference::Executor(ExecutorId(number)))
}

const fn worker(number: u128) -> Option<Preference> {
    Some(Preference::Worker(WorkerUid(number)))
}

#[test]
fn a_task_starts_where_it_prefers_to() {
    let mut rig = Rig::on(&[1, 2, 3]);
    let first = rig.submit(1, vec![preferring(1, &[executor(2), worker(1), None])]);
    let got: Vec<_> = first.launches().iter().map(|it| (it.task.partition, it.executor.0, it.locality)).collect();
    assert_eq!(got, [(0, 2, Locality::Process), (2, 1, Locality::NoPreference)]);
    // The preferred worker has an idle executor, and the stage is at the nearer level still.
    assert_eq!(rig.pass(seconds(3)).launched(), [(1, 1, 0)]);
}

#[test]
fn a_task_waits_at_each_level_and_then_takes_a_worse_place() {
    // Executor 0 is preferred and busy; 1 is on its worker, 2 in its rack, 3 is elsewhere.
    for (workers, waits, locality) in
        [(&[1, 1][..], 3, Locality::Node), (&[1, 2][..], 6, Locality::Rack), (&[1, 12][..], 9, Locality::Any)]
    {
        let mut rig = Rig::on(&workers[..1]);
        rig.submit(1, vec![results(1, 1, &[])]);
        rig.add_executor(1, workers[1], 1);
        assert!(rig.submit(2, vec![preferring(2, &[executor(0)])]).launches().is_empty());
        assert!(rig.pass(millis(waits * 1_000 - 1)).launches().is_empty(), "{locality:?}");
        let launch = rig.pass(millis(1)).launch();
        assert_eq!((launch.executor, launch.locality), (ExecutorId(1), locality));
    }
}

#[test]
fn nobody_waits_for_what_is_not_there() {
    let mut rig = Rig::on(&[1]);
    let launch = rig.submit(1, vec![preferring(1, &[executor(7)])]).launch();
    assert_eq!(launch.locality, Locality::Any);
    // Nor any longer when it goes.
    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![results(1, 1, &[])]);
    rig.submit(2, vec![preferring(2, &[executor(0)])]);
    assert!(rig.add_executor(1, 12, 1).launches().is_empty());
    let lost = rig.give(SchedulerInput::ExecutorLost(ExecutorId(0), ExecutorLoss::WorkerLost));
    assert_eq!(lost.launched().iter().filter(|launch| launch.2 == 1).count(), 1);
}

#[test]
fn the_wait_counts_only_while_something_is_refused() {
    let mut rig = Rig::on(&[1, 12]);
    let busy = rig.submit(1, vec![results(1, 2, &[])]).launches();
    rig.submit(2, vec![preferring(2, &[executor(0)])]);
    rig.pass(seconds(60));
    let far = busy.iter().find(|it| it.executor == ExecutorId(1)).expect("both are busy");
    assert!(rig.succeed(*far).launches().is_empty(), "it has refused nothing yet");
    let later = rig.pass(seconds(12));
    assert_eq!(later.launched(), [(2, 0, 1)]);
}

#[test]
fn a_later_stage_takes_what_an_earlier_one_refuses() {
    let mut rig = Rig::on(&[1]);
    rig.submit(1, vec![results(1, 1, &[])]);
    rig.submit(2, vec![preferring(2, &[executor(0)])]);
    rig.add_executor(1, 12, 1);
    assert_eq!(rig.submit(3, vec![results(3, 1, &[])]).launched(), [(3, 0, 1)]);
}
