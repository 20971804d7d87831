//! A worker that is process 1 of a container. It needs root, for a PID namespace.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::fs;
use std::process::Command;
use std::time::Duration;

use muster_proto::v1::driver::State;
use muster_testenv::lacks;
use muster_testkit::{Cluster, Options, eventually};
use rustix::process::{Pid, Signal, kill_process};

const SOON: Duration = Duration::from_secs(30);

/// The children of a process: their ids, their names, and whether they have ended unreaped.
fn children(parent: u32) -> Vec<(u32, String, bool)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let child = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let (state, of) = (fields.next()?, fields.next()?);
        (of.parse() == Ok(parent)).then(|| (pid, name.to_owned(), state == "Z"))
    };
    pids.filter_map(child).collect()
}

/// Process 1 of the worker's namespace, and its agent, as this machine numbers them.
async fn process_one(cluster: &Cluster) -> (u32, u32) {
    let unshare = cluster.workers["w"].pid();
    eventually("process 1 and its agent", SOON, async || {
        let (one, ..) = *children(unshare).first()?;
        let (agent, ..) =
            children(one).into_iter().find(|(_, name, _)| name.starts_with("muster-worker") || name == "exe")?;
        Some((one, agent))
    })
    .await
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// A master and a worker that is process 1. `None` where no PID namespace can be made, and that
/// feature is named as missing.
fn cluster(args: &[&str]) -> Option<Cluster> {
    if lacks("pid-namespace", rustix::process::geteuid().is_root()) {
        return None;
    }
    let mut cluster = Cluster::start(Options { workers: 0, ..Options::default() });
    cluster.start_worker_as_process_one("w", args);
    Some(cluster)
}

#[tokio::test]
async fn orphans_of_others_are_reaped() {
    let Some(cluster) = cluster(&[]) else { return };
    let (one, _) = process_one(&cluster).await;
    // This is what `kubectl exec` does: a process comes from outside, and its child outlives it.
    let target = one.to_string();
    let exec = Command::new("nsenter").args(["-t", &target, "-p", "-m", "sh", "-c", "sleep 1 & sleep 0.1"]).status();
    assert!(exec.unwrap().success());
    eventually("the orphan is a child of process 1", SOON, async || {
        children(one).iter().any(|(_, name, _)| name == "sleep").then_some(())
    })
    .await;
    eventually("the orphan is reaped", SOON, async || {
        children(one).iter().all(|(_, name, _)| name != "sleep").then_some(())
    })
    .await;
}

#[tokio::test]
async fn term_gives_programs_their_grace_and_keeps_their_exit_codes() {
    let Some(mut cluster) = cluster(&[]) else { return };
    let script = "trap 'sleep 0.5; echo done > grace; exit 7' TERM; while :; do sleep 0.05; done";
    cluster.muster_ok(&["submit", "--id", "d", "--on-worker-lost", "wait", "--", "/bin/sh", "-c", script]);
    cluster.wait_for_state("d", State::Running).await;
    let (one, _) = process_one(&cluster).await;
    signal(one, Signal::TERM);
    let mut unshare = cluster.workers.remove("w").unwrap();
    assert!(unshare.wait(SOON).is_some_and(|status| status.success()), "{}", unshare.log());
    cluster.start_worker_as_process_one("w", &[]);
    let ended = cluster.wait_for_end("d").await;
    assert_eq!(ended.state(), State::Failed, "{ended:?}");
    assert_eq!(ended.outcome.unwrap().exit_code, Some(7));
}

#[tokio::test]
async fn the_grace_of_programs_is_bounded() {
    let Some(mut cluster) = cluster(&["--stop-grace", "1s"]) else { return };
    let script = "trap '' TERM; while :; do sleep 0.05; done";
    cluster.muster_ok(&["submit", "--id", "d", "--on-worker-lost", "wait", "--", "/bin/sh", "-c", script]);
    cluster.wait_for_state("d", State::Running).await;
    let (one, _) = process_one(&cluster).await;
    signal(one, Signal::TERM);
    let mut unshare = cluster.workers.remove("w").unwrap();
    // This is less than the ten seconds that a stop gives, and than the program's own grace.
    assert!(unshare.wait(Duration::from_secs(8)).is_some(), "{}", unshare.log());
}

#[tokio::test]
async fn an_agent_that_crashes_is_started_again_and_takes_nothing_along() {
    let Some(cluster) = cluster(&[]) else { return };
    cluster.muster_ok(&["submit", "--id", "d", "--on-worker-lost", "wait", "--", "/bin/sleep", "1000"]);
    cluster.wait_for_state("d", State::Running).await;
    let (one, agent) = process_one(&cluster).await;
    signal(agent, Signal::KILL);
    eventually("another agent", SOON, async || {
        children(one).iter().any(|(pid, name, dead)| *pid != agent && !dead && name != "muster-runner").then_some(())
    })
    .await;
    cluster.muster_ok(&["kill", "d"]);
    let ended = cluster.wait_for_end("d").await;
    assert_eq!((ended.state(), ended.attempts.len()), (State::Killed, 1), "{ended:?}");
}
