use std::collections::{BTreeMap, VecDeque};

use muster_dag::{JobSpec, PoolOrder, PoolSpec, SchedulerInput};

use crate::support::*;

/// Runs all that waits for so many ends, and returns how many tasks each stage was given.
fn given(rig: &mut Rig, mut open: VecDeque<muster_dag::TaskLaunch>, ends: usize) -> BTreeMap<u64, usize> {
    let mut given = BTreeMap::new();
    for _ in 0..ends {
        let launch = open.pop_front().expect("something runs");
        for next in rig.succeed(launch).launches() {
            *given.entry(next.task.stage.0).or_default() += 1;
            open.push_back(next);
        }
    }
    given
}

#[test]
fn the_first_job_of_a_pool_comes_first_and_in_it_the_first_stage() {
    let mut rig = Rig::on(&[1]);
    let first = rig.submit(1, vec![results(5, 2, &[])]);
    rig.submit(3, vec![results(1, 2, &[])]);
    rig.submit(2, vec![outputs(4, 1, &[]), outputs(3, 1, &[]), results(2, 1, &[3, 4])]);
    let all = rig.finish(first.launches());
    let order: Vec<u64> = all.launched().iter().map(|(stage, ..)| *stage).collect();
    assert_eq!(order, [5, 3, 4, 2, 1, 1]);
}

#[test]
fn pools_share_by_weight() {
    let mut rig = Rig::on(&[1, 2, 3, 4, 5, 6, 7, 8]);
    rig.give(SchedulerInput::SetPool(PoolSpec { weight: 3, ..PoolSpec::new("heavy") }));
    let light = rig.submit_as(JobSpec { stages: vec![results(1, 900, &[])], pool: "light".into(), ..spec(1) });
    rig.submit_as(JobSpec { stages: vec![results(2, 900, &[])], pool: "heavy".into(), ..spec(2) });
    let given = given(&mut rig, light.launches().into(), 808);
    assert!(given[&2] > 590 && given[&2] < 615, "a quarter and three quarters: {given:?}");
}

#[test]
fn a_pool_below_its_own_share_comes_first() {
    let mut rig = Rig::on(&[1, 2, 3, 4]);
    rig.give(SchedulerInput::SetPool(PoolSpec { weight: 100, ..PoolSpec::new("heavy") }));
    rig.give(SchedulerInput::SetPool(PoolSpec { min_share: 2, ..PoolSpec::new("sure") }));
    let heavy = rig.submit_as(JobSpec { stages: vec![results(1, 900, &[])], pool: "heavy".into(), ..spec(1) });
    rig.submit_as(JobSpec { stages: vec![results(2, 900, &[])], pool: "sure".into(), ..spec(2) });
    let given = given(&mut rig, heavy.launches().into(), 404);
    assert_eq!((given[&1], given[&2]), (202, 202));
}

#[test]
fn the_stages_of_a_fair_pool_share_alike() {
    let mut rig = Rig::on(&[1, 2, 3, 4]);
    rig.give(SchedulerInput::SetPool(PoolSpec { order: PoolOrder::Fair, ..PoolSpec::new("default") }));
    let first = rig.submit(1, vec![results(1, 900, &[])]);
    rig.submit(2, vec![results(2, 900, &[])]);
    let given = given(&mut rig, first.launches().into(), 400);
    assert!(given[&1] >= 196 && given[&2] >= 196, "{given:?}");
}

#[test]
fn a_task_of_more_cores_waits_and_a_smaller_one_goes_before_it() {
    let mut rig = Rig::with(config());
    rig.add_executor(0, 1, 2);
    let first = rig.submit(1, vec![results(1, 1, &[])]);
    let mut wide = results(2, 1, &[]);
    wide.cores = 2;
    assert!(rig.submit(2, vec![wide]).launches().is_empty());
    assert_eq!(rig.submit(3, vec![results(3, 1, &[])]).launched(), [(3, 0, 0)]);
    assert!(rig.succeed(first.launch()).launches().is_empty());
}
