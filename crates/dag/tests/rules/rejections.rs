use muster_dag::{JobId, JobRejection, JobSpec, SchedulerConfig, SchedulerEffect, SchedulerLimits, StageId, StageSpec};

use crate::support::*;

fn rejection(rig: &mut Rig, job: u64, stages: Vec<StageSpec>) -> JobRejection {
    let effects = rig.submit(job, stages).0;
    match effects.as_slice() {
        [SchedulerEffect::JobRejected(id, rejection)] if *id == JobId(job) => rejection.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_that_makes_no_sense_is_refused_as_a_whole() {
    let mut rig = Rig::on(&[]);
    rig.submit(1, vec![outputs(1, 1, &[]), results(2, 1, &[1])]);
    let one = StageId(10);
    let mut bad = |stages| rejection(&mut rig, 9, stages);
    assert_eq!(bad(vec![results(10, 0, &[])]), JobRejection::NoTasks(one));
    assert_eq!(bad(vec![StageSpec { cores: 0, ..results(10, 1, &[]) }]), JobRejection::NoCores(one));
    assert_eq!(bad(vec![results(10, 1, &[77])]), JobRejection::UnknownStage(StageId(77)));
    assert_eq!(bad(vec![results(10, 1, &[10])]), JobRejection::UnknownStage(one));
    assert_eq!(bad(vec![results(10, 1, &[2])]), JobRejection::NoOutputs(StageId(2)));
    assert_eq!(bad(vec![results(1, 1, &[])]), JobRejection::DuplicateStage(StageId(1)));
    assert_eq!(bad(vec![outputs(10, 1, &[]), results(10, 1, &[])]), JobRejection::DuplicateStage(one));
    assert_eq!(bad(vec![results(10, 1, &[]), results(11, 1, &[])]), JobRejection::ForeignTarget(one));
    let preferences = vec![Vec::new()];
    assert_eq!(bad(vec![StageSpec { preferences, ..results(10, 2, &[]) }]), JobRejection::Preferences(one));
    assert_eq!(bad(vec![results(10, u32::MAX, &[])]), JobRejection::TooManyTasks(one));
    assert_eq!(rejection(&mut rig, 1, vec![results(10, 1, &[])]), JobRejection::DuplicateJob);
    assert_eq!(rig.scheduler.progress(one), None, "nothing of them is known");
}

#[test]
fn the_target_of_another_job_is_not_mine_and_one_that_is_not_there_is_named() {
    let mut rig = Rig::on(&[]);
    rig.submit(1, vec![results(1, 1, &[])]);
    for (target, wanted) in [(1, JobRejection::ForeignTarget(StageId(1))), (5, JobRejection::UnknownStage(StageId(5)))]
    {
        let effects = rig.submit_as(JobSpec { target: StageId(target), ..spec(2) });
        assert_eq!(effects.0, [SchedulerEffect::JobRejected(JobId(2), wanted)]);
    }
}

#[test]
fn everything_is_bounded() {
    let limits = SchedulerLimits { jobs: 2, stages: 3, pools: 1, ..SchedulerLimits::default() };
    let mut rig = Rig::with(SchedulerConfig { limits, ..config() });
    rig.submit(1, vec![outputs(1, 1, &[]), results(2, 1, &[1])]);
    let two = vec![outputs(3, 1, &[]), results(4, 1, &[3])];
    assert_eq!(rejection(&mut rig, 2, two), JobRejection::TooMany("stages"));
    let elsewhere = JobSpec { stages: vec![results(3, 1, &[])], pool: "other".into(), ..spec(2) };
    let effects = rig.submit_as(elsewhere).0;
    assert_eq!(effects, [SchedulerEffect::JobRejected(JobId(2), JobRejection::TooMany("pools"))]);
    rig.submit(2, vec![results(3, 1, &[])]);
    assert_eq!(rejection(&mut rig, 3, vec![results(5, 1, &[])]), JobRejection::TooMany("jobs"));
}
