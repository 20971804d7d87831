//! Attempts that a worker came back without, on machines where nothing holds process trees. They
//! are closed where their end is proven, and left to an operator where it is not. Containers need
//! root, for a PID namespace.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use muster_proto::v1::driver::State;
use muster_testenv::lacks;
use muster_testkit::{Cluster, Options, WorkerOptions};
use rustix::process::{Pid, Signal, kill_process};

/// No cgroups, and no PID namespace of the runner's own.
const BARE: &[&str] = &["--runner-arg=--tree", "--runner-arg=none", "--runner-arg=--namespaces", "--runner-arg=off"];
/// No cgroups.
const NAMESPACE: &[&str] = &["--runner-arg=--tree", "--runner-arg=none"];

fn cluster(args: &[&str]) -> Cluster {
    let worker =
        WorkerOptions { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Options::default().worker };
    Cluster::start(Options { workers: 0, worker, ..Options::default() })
}

fn end(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Two drivers that no lease bounds. One of them is to be killed while its worker does not hear of
/// it.
async fn two_unleased(cluster: &Cluster) {
    for id in ["kept", "killed"] {
        let spec = ["--on-worker-lost", "wait", "--restart", "never", "--", "/bin/sleep", "1000"];
        cluster.muster_ok(&[&["submit", "--id", id], &spec[..]].concat());
        cluster.wait_for_state(id, State::Running).await;
    }
}

async fn are_closed(cluster: &Cluster, kept: State) {
    assert_eq!(cluster.wait_for_end("kept").await.state(), kept);
    assert_eq!(cluster.wait_for_end("killed").await.state(), State::Killed);
    cluster
        .wait_for_worker("w", "its cores are free", |worker| worker.used.as_ref().is_none_or(|used| used.cores == 0))
        .await;
}

#[tokio::test]
async fn what_ran_in_a_container_that_is_replaced_is_closed() {
    if lacks("pid-namespace", rustix::process::geteuid().is_root()) {
        return;
    }
    let mut cluster = cluster(BARE);
    cluster.start_worker_as_process_one("w", &[]);
    two_unleased(&cluster).await;
    // `unshare` ends its child, which is process 1, when it is killed.
    cluster.workers.remove("w").unwrap().kill();
    cluster.muster_ok(&["kill", "--no-wait", "killed"]);
    cluster.start_worker_as_process_one("w", &[]);
    are_closed(&cluster, State::Lost).await;
}

#[tokio::test]
async fn what_ran_in_a_namespace_of_the_runner_is_closed_when_the_runner_dies() {
    if lacks("pid-namespace", rustix::process::geteuid().is_root()) {
        return;
    }
    let mut cluster = cluster(NAMESPACE);
    cluster.start_worker("w");
    two_unleased(&cluster).await;
    cluster.kill_agent("w");
    cluster.muster_ok(&["kill", "--no-wait", "killed"]);
    end(cluster.runner_pid("w"));
    cluster.start_worker("w");
    are_closed(&cluster, State::Lost).await;
}

#[tokio::test]
async fn what_nothing_proves_the_end_of_is_closed_by_an_operator() {
    let mut cluster = cluster(BARE);
    cluster.start_worker("w");
    two_unleased(&cluster).await;
    let refused = cluster.muster(&["worker", "forget-attempt", "kept/1"]);
    assert!(!refused.status.success(), "its worker has it");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("kill it instead"), "{refused:?}");

    end(cluster.runner_pid("w"));
    cluster.wait_for_state("kept", State::Unreachable).await;
    let page = cluster.muster_ok(&["get", "driver", "kept"]);
    assert!(page.contains("muster worker forget-attempt kept/1"), "{page}");
    cluster.muster_ok(&["kill", "--no-wait", "killed"]);
    let worker = cluster.muster_ok(&["get", "worker", "w"]);
    assert!(worker.contains("something of an earlier runner may be left"), "{worker}");
    assert!(!cluster.muster(&["worker", "forget", "w"]).status.success(), "it is alive");

    for attempt in ["kept/1", "killed/1"] {
        cluster.muster_ok(&["worker", "forget-attempt", attempt]);
    }
    are_closed(&cluster, State::Lost).await;
    for wrong in ["kept/1", "kept/2", "nobody/1"] {
        let refused = cluster.muster(&["worker", "forget-attempt", wrong]);
        assert_eq!(refused.status.code(), Some(1), "{wrong}: {refused:?}");
    }
}
