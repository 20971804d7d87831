use muster_dag::{FailureCause, JobId, JobRejection, JobSelection, JobSpec, SchedulerEffect, SchedulerInput, StageId};

use crate::support::*;

/// Three jobs that run: of group `g`; of tag `t`; of both. Returns those that a cancellation ends.
fn cancelled(jobs: JobSelection) -> Vec<u64> {
    let mut rig = Rig::on(&[1, 2, 3]);
    let (group, tags) = (Some("g".into()), vec!["t".into()]);
    rig.submit_as(JobSpec { stages: vec![results(1, 1, &[])], group: group.clone(), ..spec(1) });
    rig.submit_as(JobSpec { stages: vec![results(2, 1, &[])], tags: tags.clone(), ..spec(2) });
    rig.submit_as(JobSpec { stages: vec![results(3, 1, &[])], group, tags, ..spec(3) });
    let ended = rig.give(SchedulerInput::Cancel { jobs, reason: "enough".into() });
    assert_eq!(ended.kills(), ended.failed().len(), "only their tasks are killed");
    assert!(ended.failures().iter().all(|failure| failure.cause == FailureCause::Cancelled("enough".into())));
    ended.failed()
}

#[test]
fn the_jobs_that_are_meant_end_and_no_others() {
    assert_eq!(cancelled(JobSelection::Job(JobId(2))), [2]);
    assert_eq!(cancelled(JobSelection::Job(JobId(9))), [0u64; 0]);
    assert_eq!(cancelled(JobSelection::Group { group: "g".into(), future: false }), [1, 3]);
    assert_eq!(cancelled(JobSelection::Tag("t".into())), [2, 3]);
    assert_eq!(cancelled(JobSelection::Stage(StageId(3))), [3]);
    assert_eq!(cancelled(JobSelection::All), [1, 2, 3]);
}

#[test]
fn a_group_may_be_cancelled_in_advance() {
    let mut rig = Rig::on(&[1]);
    let jobs = JobSelection::Group { group: "g".into(), future: true };
    rig.give(SchedulerInput::Cancel { jobs, reason: "enough".into() });
    let spec = JobSpec { stages: vec![results(1, 1, &[])], group: Some("g".into()), ..spec(1) };
    assert_eq!(rig.submit_as(spec).0, [SchedulerEffect::JobRejected(JobId(1), JobRejection::GroupCancelled)]);
}

#[test]
fn a_stage_that_another_job_needs_goes_on() {
    let mut rig = Rig::on(&[1]);
    let first = rig.submit(1, vec![outputs(1, 2, &[]), results(2, 1, &[1])]);
    rig.submit(2, vec![results(3, 1, &[1])]);
    let ended = rig.give(SchedulerInput::Cancel { jobs: JobSelection::Job(JobId(1)), reason: String::new() });
    assert_eq!((ended.failed(), ended.kills()), (vec![1], 0));
    assert_eq!(rig.finish(first.launches()).succeeded(), [2]);
}

#[test]
fn what_was_done_of_a_cancelled_job_is_kept_for_the_next() {
    let mut rig = Rig::on(&[1]);
    let first = rig.submit(1, vec![outputs(1, 2, &[]), results(2, 1, &[1])]);
    let second = rig.succeed(first.launch());
    rig.give(SchedulerInput::Cancel { jobs: JobSelection::All, reason: String::new() });
    assert!(rig.submit(2, vec![results(3, 1, &[1])]).launches().is_empty());
    let freed = rig.end(second.launch(), muster_dag::TaskEnd::Killed);
    assert_eq!(freed.launched(), [(1, 1, 0)]);
    assert_eq!(rig.finish(freed.launches()).succeeded(), [2]);
}
