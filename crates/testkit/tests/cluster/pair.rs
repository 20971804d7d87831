//! Two drivers on one worker, one leased and one not, and a second worker that is free: the setting
//! of the table of loss.

use muster_proto::v1::driver::State;
use muster_proto::v1::{Driver, RestartCondition};
use muster_testkit::{ClusterSpec, HaCluster};

/// The name of the leased driver.
pub(crate) const LEASED: &str = "leased";
/// The name of the unleased driver.
pub(crate) const ONCE: &str = "once";

/// Starts both on `w1`; then `w2` joins.
pub(crate) async fn on_the_first_worker(spec: ClusterSpec) -> HaCluster {
    let mut cluster = HaCluster::start(ClusterSpec { workers: 1, ..spec }).await;
    let leased = cluster.checker.until("end").id(LEASED).restart(RestartCondition::OnFailure).leased();
    cluster.submit(leased).await;
    cluster.submit(cluster.checker.until("end").id(ONCE).restart(RestartCondition::Never)).await;
    for id in [LEASED, ONCE] {
        cluster.wait_for_state(id, State::Running).await;
        cluster.wait_until_it_executes(id).await;
    }
    cluster.start_worker("w2");
    cluster.wait_for_worker("w2", "life", |_| true).await;
    cluster
}

/// Waits until the leased driver runs as its second attempt on the other worker.
pub(crate) async fn it_runs_elsewhere(cluster: &HaCluster) {
    let is = |driver: &Driver| {
        driver.state() == State::Running && driver.attempts.last().is_some_and(|attempt| attempt.worker == "w2")
    };
    let driver = cluster.wait_for_driver(LEASED, "its second copy", is).await;
    assert_eq!(driver.attempts.len(), 2, "{driver:?}");
    cluster.wait_until_it_executes(LEASED).await;
}

/// Waits until both run as their first attempts, and execute.
pub(crate) async fn both_go_on(cluster: &HaCluster) {
    for id in [LEASED, ONCE] {
        it_goes_on(cluster, id).await;
    }
}

/// Waits until a driver runs as its first attempt, and executes.
pub(crate) async fn it_goes_on(cluster: &HaCluster, id: &str) {
    let driver = cluster.wait_for_state(id, State::Running).await;
    assert_eq!(driver.attempts.len(), 1, "{driver:?}");
    cluster.wait_until_it_executes(id).await;
}

/// Lets both end, and checks the copies: see [`checker`].
pub(crate) async fn both_end(cluster: &HaCluster, leased_copies: usize) {
    cluster.checker.open("end");
    for id in [LEASED, ONCE] {
        cluster.wait_for_state(id, State::Finished).await;
    }
    checker(cluster, leased_copies);
}

/// Checks that this many copies of the leased driver ran and one of them ended, that one copy of
/// the other ran, and that none is left.
pub(crate) fn checker(cluster: &HaCluster, leased_copies: usize) {
    let copies = cluster.checker.copies();
    assert_eq!(copies[LEASED].len(), leased_copies, "{copies:?}");
    assert_eq!(copies[LEASED].iter().filter(|copy| copy.ended).count(), 1, "{copies:?}");
    assert_eq!(copies[ONCE].len(), 1, "{copies:?}");
    for id in [LEASED, ONCE] {
        assert!(cluster.checker.alive(id).is_empty(), "a copy of {id} is left");
    }
}
