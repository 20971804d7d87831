//! Parts that are cut from each other: both ways and one way, for shorter and for longer than the lease.

use muster_proto::v1::driver::State;
use muster_testkit::{Casting, Ensemble, Load};

use crate::PACE;
use crate::pair::{LEASED, ONCE, both_end, both_go_on, it_goes_on, it_runs_elsewhere, on_the_first_worker};

fn apart() -> Casting {
    Casting { namespaces: true, ..Casting::default() }
}

#[derive(Clone, Copy)]
enum Way {
    Both,
    There,
    Back,
}

fn cut(ensemble: &Ensemble, one: &str, other: &str, way: Way) {
    match way {
        Way::Both => ensemble.cut(one, other),
        Way::There => ensemble.cut_one_way(one, other),
        Way::Back => ensemble.cut_one_way(other, one),
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_from_the_store_stops_by_itself_and_another_leads() {
    let ensemble = Ensemble::start(apart()).await;
    let mut load = Load::start(ensemble.client(), &ensemble.judge, PACE);
    for way in [Way::Both, Way::There, Way::Back] {
        load.wait_for_more(10).await;
        let (leader, epoch) = ensemble.leader().await;
        cut(&ensemble, &leader, "e1", way);
        let (next, _) = ensemble.leader_after(epoch).await;
        assert_ne!(next, leader);
        load.wait_for_more(10).await;
        ensemble.heal();
        ensemble.wait_for_masters(3).await;
    }
    load.stop().await.judge(&ensemble).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_from_all_workers_goes_on_accepting_and_they_come_back() {
    let ensemble = Ensemble::start(apart()).await;
    let mut load = Load::start(ensemble.client(), &ensemble.judge, PACE);
    load.wait_for_more(10).await;
    let (leader, epoch) = ensemble.leader().await;
    for worker in ["w1", "w2"] {
        ensemble.cut(&leader, worker);
    }
    load.wait_for_more(10).await;
    ensemble.wait_for_cluster("two lost workers", |cluster| !cluster.workers.contains_key("ALIVE")).await;
    load.wait_for_more(10).await;
    ensemble.heal();
    assert_eq!(ensemble.leader().await, (leader, epoch), "nobody else has led");
    load.stop().await.judge_with_lost_workers(&ensemble).await;
}

#[tokio::test]
async fn a_worker_that_is_cut_from_everyone_for_a_moment_goes_on() {
    let ensemble = on_the_first_worker(apart()).await;
    everyone(&ensemble, Way::Both);
    let silent = |worker: &muster_proto::v1::Worker| worker.state() == muster_proto::v1::worker::State::Silent;
    ensemble.wait_for_worker("w1", "silence or life", |worker| silent(worker) || worker.drivers == 2).await;
    ensemble.heal();
    both_go_on(&ensemble).await;
    both_end(&ensemble, 1).await;
}

#[tokio::test]
async fn a_worker_that_is_cut_from_everyone_loses_what_is_leased_and_nothing_else() {
    for way in [Way::Both, Way::There, Way::Back] {
        let ensemble = on_the_first_worker(apart()).await;
        everyone(&ensemble, way);
        lost_and_found(&ensemble).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_cut_from_the_leader_alone_is_as_lost() {
    let ensemble = on_the_first_worker(apart()).await;
    let (leader, _) = ensemble.leader().await;
    ensemble.cut("w1", &leader);
    lost_and_found(&ensemble).await;
}

/// Cuts `w1` from all masters.
fn everyone(ensemble: &Ensemble, way: Way) {
    for master in ensemble.masters() {
        cut(ensemble, "w1", &master, way);
    }
}

/// The worker is cut off by now: the leased driver runs elsewhere, and never beside its first copy; the other one is found again.
async fn lost_and_found(ensemble: &Ensemble) {
    it_runs_elsewhere(ensemble).await;
    ensemble.wait_for_state(ONCE, State::Unreachable).await;
    ensemble.wait_until_it_executes(ONCE).await;
    ensemble.heal();
    it_goes_on(ensemble, ONCE).await;
    let driver = ensemble.wait_for_state(LEASED, State::Running).await;
    assert_eq!(driver.attempts.len(), 2, "{driver:?}");
    both_end(ensemble, 2).await;
}
