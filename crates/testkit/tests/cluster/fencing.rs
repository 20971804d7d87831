//! Two of the three that hold a lease (agent, runner, guard) are stopped or killed at once, for
//! longer than the lease and the worker timeout: what is leased runs elsewhere, no two copies
//! execute at once, and what is not leased is left alone. The judge panics at the first overlap.

use muster_proto::v1::driver::State;
use muster_testkit::{ClusterSpec, HaCluster};
use rustix::process::Signal;

use crate::pair::{ONCE, both_end, it_goes_on, it_runs_elsewhere, on_the_first_worker};

/// Everything is back; the unleased one is where it was, and both end.
async fn all_is_as_decided(cluster: &HaCluster) {
    it_goes_on(cluster, ONCE).await;
    both_end(cluster, 2).await;
}

#[tokio::test]
async fn agent_and_runner_are_stopped_and_the_guard_fences() {
    let cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.signal_runner("w1", Signal::STOP);
    cluster.pause("w1");
    it_runs_elsewhere(&cluster).await;
    cluster.wait_until_it_executes(ONCE).await;
    cluster.checker.copies();
    cluster.resume("w1");
    cluster.signal_runner("w1", Signal::CONT);
    all_is_as_decided(&cluster).await;
}

#[tokio::test]
async fn the_runner_is_stopped_and_its_agent_killed_and_the_guard_fences() {
    let mut cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.signal_runner("w1", Signal::STOP);
    cluster.kill("w1");
    it_runs_elsewhere(&cluster).await;
    cluster.checker.copies();
    cluster.signal_runner("w1", Signal::CONT);
    cluster.start_worker("w1");
    all_is_as_decided(&cluster).await;
}

#[tokio::test]
async fn the_guard_is_stopped_and_the_agent_killed_and_the_runner_fences() {
    let mut cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.signal_guard("w1", Signal::STOP);
    cluster.kill("w1");
    it_runs_elsewhere(&cluster).await;
    cluster.checker.copies();
    cluster.start_worker("w1");
    all_is_as_decided(&cluster).await;
}

#[tokio::test]
async fn the_guard_is_killed_and_the_agent_stopped_and_the_runner_fences() {
    let cluster = on_the_first_worker(ClusterSpec::default()).await;
    cluster.pause("w1");
    cluster.signal_guard("w1", Signal::KILL);
    it_runs_elsewhere(&cluster).await;
    cluster.checker.copies();
    cluster.resume("w1");
    all_is_as_decided(&cluster).await;
}

/// The agent is cut off from every master, so that its lease ends.
#[tokio::test]
async fn the_runner_is_stopped_and_its_guard_killed_and_the_agent_fences() {
    let cluster = on_the_first_worker(ClusterSpec { namespaces: true, ..ClusterSpec::default() }).await;
    cluster.signal_runner("w1", Signal::STOP);
    cluster.signal_guard("w1", Signal::KILL);
    for master in cluster.masters() {
        cluster.cut("w1", &master);
    }
    it_runs_elsewhere(&cluster).await;
    cluster.wait_for_state(ONCE, State::Unreachable).await;
    cluster.checker.copies();
    cluster.heal();
    cluster.signal_runner("w1", Signal::CONT);
    all_is_as_decided(&cluster).await;
}
