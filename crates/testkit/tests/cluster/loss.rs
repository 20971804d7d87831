//! The table of loss: each part is lost under a leased and an unleased driver. The rows of the
//! network are in `partitions`, those of the store in `store`.

use std::time::Duration;

use muster_proto::v1::ForgetWorkerRequest;
use muster_proto::v1::driver::State;
use muster_testkit::ClusterSpec;

use crate::pair::{LEASED, ONCE, both_end, both_go_on, checker, it_goes_on, it_runs_elsewhere, on_the_first_worker};

#[tokio::test]
async fn an_agent_that_comes_back_within_the_lease_is_not_missed() {
    let mut cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.kill("w1");
    cluster.start_worker("w1");
    both_go_on(&cluster).await;
    both_end(&cluster, 1).await;
}

#[tokio::test]
async fn an_agent_that_stays_away_loses_what_is_leased_to_another_worker() {
    let mut cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.kill("w1");
    it_runs_elsewhere(&cluster).await;
    cluster.wait_for_state(ONCE, State::Unreachable).await;
    cluster.wait_until_it_executes(ONCE).await;

    cluster.start_worker("w1");
    it_goes_on(&cluster, ONCE).await;
    both_end(&cluster, 2).await;
}

#[tokio::test]
async fn a_runner_takes_its_processes_along_and_the_policy_decides() {
    let cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.kill_runner("w1");
    cluster.wait_for_state(ONCE, State::Lost).await;
    let driver = cluster.wait_for_driver(LEASED, "its second copy", |driver| driver.attempts.len() == 2).await;
    assert_eq!(driver.attempts[0].outcome.as_ref().map(|outcome| outcome.reason.as_str()), Some("LOST"), "{driver:?}");
    cluster.checker.open("end");
    cluster.wait_for_state(LEASED, State::Finished).await;
    checker(&cluster, 2);
}

#[tokio::test]
async fn a_machine_that_restarts_has_lost_what_it_ran() {
    let mut cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.kill_machine("w1");
    cluster.start_worker("w1");
    cluster.wait_for_state(ONCE, State::Lost).await;
    cluster.wait_for_driver(LEASED, "its second copy", |driver| driver.attempts.len() == 2).await;
    cluster.checker.open("end");
    cluster.wait_for_state(LEASED, State::Finished).await;
    checker(&cluster, 2);
}

#[tokio::test]
async fn a_machine_that_never_returns_waits_for_an_operator_where_it_is_not_leased() {
    let mut cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.kill_machine("w1");
    it_runs_elsewhere(&cluster).await;
    cluster.wait_for_state(ONCE, State::Unreachable).await;
    let forget = ForgetWorkerRequest { worker_id: "w1".to_owned(), ..ForgetWorkerRequest::default() };
    cluster.client().forget_worker(forget).await.expect("a lost worker can be forgotten");
    cluster.wait_for_state(ONCE, State::Lost).await;
    cluster.checker.open("end");
    cluster.wait_for_state(LEASED, State::Finished).await;
    checker(&cluster, 2);
}

#[tokio::test]
async fn without_any_master_what_is_leased_stands_frozen_and_is_thawed() {
    let mut cluster = on_the_first_worker(ClusterSpec::default()).await;
    for master in cluster.masters() {
        cluster.kill(&master);
    }
    cluster.wait_until_it_stands_still(LEASED).await;
    cluster.wait_until_it_executes(ONCE).await;
    for master in cluster.masters() {
        cluster.start_master(&master);
    }
    both_go_on(&cluster).await;
    both_end(&cluster, 1).await;
}

/// An agent that is stopped for longer than every timeout does not hold up the fence: the runner
/// fences by itself.
#[tokio::test]
async fn an_agent_that_sleeps_past_the_wait_wakes_up_to_what_was_decided() {
    let cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.pause("w1");
    it_runs_elsewhere(&cluster).await;
    cluster.resume("w1");
    it_goes_on(&cluster, ONCE).await;
    let first = cluster.checker.copies()[LEASED][0].pid;
    let gone = async || (cluster.checker.alive(LEASED).len() == 1).then_some(());
    muster_testkit::eventually(&format!("the end of the frozen copy {first}"), Duration::from_secs(30), gone).await;
    both_end(&cluster, 2).await;
}
