//! Two of the three that hold a lease (agent, runner, guard) are stopped, killed, frozen or starved
//! at once, for longer than the lease and the worker timeout. The leased driver runs elsewhere, no
//! two copies execute at once, and the unleased driver is left alone. The checker panics at the
//! first overlap.

use muster_proto::v1::driver::State;
use muster_testkit::{ClusterSpec, HaCluster};
use rustix::process::Signal;

use crate::held::{FrozenProcesses, StarvedProcesses};
use crate::pair::{ONCE, both_end, it_goes_on, it_runs_elsewhere, on_the_first_worker};

/// Everything is back: the unleased driver is where it was, and both end.
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

/// One of the three, by its process id.
type Who = fn(&HaCluster) -> i32;

const AGENT: Who = |cluster| cluster.agent_pid("w1");
const RUNNER: Who = |cluster| cluster.runner_pid("w1");
const GUARD: Who = |cluster| cluster.guard_pid("w1");

/// A cluster whose parts can be cut from each other.
fn with_network() -> ClusterSpec {
    ClusterSpec { namespaces: true, ..ClusterSpec::default() }
}

/// Cuts the worker off, so that the lease of an awake agent ends.
fn cut_off(cluster: &HaCluster) {
    for master in cluster.masters() {
        cluster.cut("w1", &master);
    }
}

async fn the_third_fences_beside_frozen_ones(held: [Who; 2], spec: ClusterSpec) {
    let is_cut_off = spec.namespaces;
    let cluster = on_the_first_worker(spec).await;
    let Some(frozen) = FrozenProcesses::hold(&held.map(|who| who(&cluster))) else { return };
    if is_cut_off {
        cut_off(&cluster);
    }
    it_runs_elsewhere(&cluster).await;
    cluster.wait_until_it_executes(ONCE).await;
    cluster.checker.copies();
    drop(frozen);
    if is_cut_off {
        cluster.heal();
    }
    all_is_as_decided(&cluster).await;
}

#[tokio::test]
async fn agent_and_runner_are_frozen_and_the_guard_fences() {
    the_third_fences_beside_frozen_ones([AGENT, RUNNER], ClusterSpec::default()).await;
}

#[tokio::test]
async fn agent_and_guard_are_frozen_and_the_runner_fences() {
    the_third_fences_beside_frozen_ones([AGENT, GUARD], ClusterSpec::default()).await;
}

#[tokio::test]
async fn runner_and_guard_are_frozen_and_the_agent_fences() {
    the_third_fences_beside_frozen_ones([RUNNER, GUARD], with_network()).await;
}

/// A starved process may run for an instant at any time, and then does what it had decided before.
async fn the_third_fences_beside_starved_ones(held: [Who; 2], spec: ClusterSpec) {
    let is_cut_off = spec.namespaces;
    let cluster = on_the_first_worker(spec).await;
    let Some(starved) = StarvedProcesses::hold(&held.map(|who| who(&cluster))) else { return };
    if is_cut_off {
        cut_off(&cluster);
    }
    it_runs_elsewhere(&cluster).await;
    cluster.wait_until_it_executes(ONCE).await;
    cluster.checker.copies();
    assert!(starved.throttled() > 0, "they had all the time that they wanted");
    drop(starved);
    if is_cut_off {
        cluster.heal();
    }
    all_is_as_decided(&cluster).await;
}

#[tokio::test]
async fn agent_and_runner_starve_and_the_guard_fences() {
    the_third_fences_beside_starved_ones([AGENT, RUNNER], ClusterSpec::default()).await;
}

#[tokio::test]
async fn agent_and_guard_starve_and_the_runner_fences() {
    the_third_fences_beside_starved_ones([AGENT, GUARD], ClusterSpec::default()).await;
}

#[tokio::test]
async fn runner_and_guard_starve_and_the_agent_fences() {
    the_third_fences_beside_starved_ones([RUNNER, GUARD], with_network()).await;
}
