//! The main path: a driver is submitted, placed, run, logged and ended; killed; refused.

use std::time::Duration;

use muster_proto::v1::driver::State;
use muster_proto::v1::{LogStream, RestartCondition};
use muster_testkit::{Cluster, Oracle, Submit, eventually};

#[tokio::test]
async fn a_driver_runs_and_ends_with_its_own_code_and_output() {
    let cluster = Cluster::two_workers();
    let id = cluster.submit(Submit::shell("echo hello; echo trouble >&2; exit 3")).await;

    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(driver.state(), State::Failed);
    let attempt = &driver.attempts[0];
    assert_eq!(attempt.outcome.as_ref().and_then(|outcome| outcome.exit_code), Some(3));
    assert!(attempt.start_time.is_some() && attempt.end_time.is_some());
    assert!(attempt.worker.starts_with('w'));
    assert_eq!(cluster.log(&id, 0, LogStream::Stdout).await, "hello\n");
    assert_eq!(cluster.log(&id, 0, LogStream::Stderr).await, "trouble\n");
}

#[tokio::test]
async fn a_driver_is_told_who_it_is() {
    let cluster = Cluster::two_workers();
    let script = "echo $MUSTER_DRIVER $MUSTER_ATTEMPT $MUSTER_CORES {{DRIVER_ID}} {{CORES}}; test \"$PWD\" = \"$MUSTER_WORK_DIR\"; \
                  test -n \"$MUSTER_TOKEN\" && test \"$MUSTER_MASTER\" = ADDRESS";
    let id = cluster.submit(Submit::shell(&script.replace("ADDRESS", cluster.address())).id("me")).await;
    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(cluster.log(&id, 0, LogStream::Stdout).await, "me 1 1 me 1\n");
    assert_eq!(driver.state(), State::Finished, "{driver:?}");
}

#[tokio::test]
async fn one_request_id_makes_one_driver() {
    let cluster = Cluster::two_workers();
    let submit = Submit::shell("true").request("0190-once");
    let first = cluster.submit(submit.clone()).await;
    assert_eq!(cluster.submit(submit).await, first);
    let other = Submit::shell("false").request("0190-once");
    let status = cluster.client().submit_driver(other.0).await.expect_err("another body is refused");
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn a_failing_driver_is_run_again_as_the_next_attempt_of_the_same_id() {
    let cluster = Cluster::two_workers();
    let oracle = Oracle::new(cluster.dir());
    let program = oracle.program("test $MUSTER_ATTEMPT = 3 || exit 1");
    let words: Vec<_> = program.iter().map(String::as_str).collect();
    let id = cluster.submit(Submit::program(&words).restart(RestartCondition::OnFailure)).await;

    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(driver.state(), State::Finished, "{driver:?}");
    let codes: Vec<_> =
        driver.attempts.iter().map(|attempt| attempt.outcome.as_ref().and_then(|outcome| outcome.exit_code)).collect();
    assert_eq!(codes, [Some(1), Some(1), Some(0)]);
    assert_eq!(oracle.runs()[&id].len(), 3);
}

#[tokio::test]
async fn a_driver_that_fails_too_often_is_said_to_be_in_a_crash_loop() {
    let cluster = Cluster::two_workers();
    let mut submit = Submit::shell("exit 1").restart(RestartCondition::Always);
    submit.spec().restart.get_or_insert_default().max_attempts = 3;
    let id = cluster.submit(submit).await;
    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(driver.state(), State::CrashLoop);
    assert_eq!(driver.attempts.len(), 3);
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let cluster = Cluster::two_workers();
    let missing = cluster.submit(Submit::program(&["/no/such/program"])).await;
    let plain = cluster.dir().join("plain");
    std::fs::write(&plain, "not a program").expect("a file can be written");
    let plain = cluster.submit(Submit::program(&[plain.to_str().expect("a plain path")])).await;
    for (id, reason) in [(missing, "NOT_FOUND"), (plain, "NOT_EXECUTABLE")] {
        let driver = cluster.wait_for_end(&id).await;
        assert_eq!(driver.state(), State::Failed);
        assert_eq!(driver.outcome.expect("it has ended").reason, reason);
    }
}

#[tokio::test]
async fn what_does_not_fit_waits_and_says_why() {
    let cluster = Cluster::two_workers();
    let id = cluster.submit(Submit::shell("true").resources(64, 64 << 20)).await;
    let driver = cluster.wait_for_state(&id, State::Pending).await;
    let pending = driver.pending.expect("a waiting driver says why");
    assert!(pending.never_fits);
    assert_eq!((pending.reasons[0].reason.as_str(), pending.reasons[0].workers), ("CORES", 2), "{pending:?}");

    // A waiting driver does not hold up one that fits.
    let small = cluster.submit(Submit::shell("true")).await;
    cluster.wait_for_state(&small, State::Finished).await;
    cluster.kill_driver(&id).await;
    cluster.wait_for_state(&id, State::Killed).await;
}

#[tokio::test]
async fn a_kill_leaves_nothing() {
    let cluster = Cluster::two_workers();
    let mark = cluster.dir().join("alive");
    // A double-forked grandchild in a session of its own, which ignores TERM and writes for as long
    // as it lives.
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; (while :; do date +%N > MARK; sleep 0.01; done) & sleep 1000' & sleep 1000";
    let script = script.replace("MARK", mark.to_str().expect("a plain path"));
    let id = cluster.submit(Submit::shell(&script).grace(200)).await;
    cluster.wait_for_state(&id, State::Running).await;
    eventually("the grandchild's mark", Duration::from_secs(10), async || mark.exists().then_some(())).await;

    cluster.kill_driver(&id).await;
    cluster.wait_for_state(&id, State::Killed).await;
    let last = std::fs::read(&mark).expect("the mark can be read");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(std::fs::read(&mark).expect("the mark can be read"), last, "the grandchild still writes");
}

#[tokio::test]
async fn a_fork_bomb_is_killed_whole() {
    let cluster = Cluster::two_workers();
    let mark = format!("muster-bomb-{}", std::process::id());
    // It is bounded, so that a broken kill does not take the machine: 200 processes that fork
    // others as they end.
    let script = format!(
        "bomb() {{ n=$1; while :; do if [ $n -gt 0 ]; then (bomb $((n-1))) & fi; sh -c ': {mark}; sleep 0.05'; done; }}; bomb 40; wait"
    );
    let id = cluster.submit(Submit::shell(&script).grace(100)).await;
    cluster.wait_for_state(&id, State::Running).await;
    eventually("the bomb's processes", Duration::from_secs(20), async || (marked(&mark) > 20).then_some(())).await;

    cluster.kill_driver(&id).await;
    cluster.wait_for_state(&id, State::Killed).await;
    assert_eq!(marked(&mark), 0, "processes are left");
}

#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it() {
    let cluster = Cluster::two_workers();
    let mark = format!("muster-left-{}", std::process::id());
    let id = cluster.submit(Submit::shell(&format!("setsid sh -c ': {mark}; sleep 1000' & sleep 0.2; exit 7"))).await;
    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(driver.outcome.and_then(|outcome| outcome.exit_code), Some(7));
    assert_eq!(marked(&mark), 0, "processes are left");
}

/// Processes whose command line holds the mark.
fn marked(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("there is a proc file system");
    let lines = processes.flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

#[tokio::test]
async fn memory_limits_hold_and_say_so() {
    let cluster = Cluster::two_workers();
    let worker = cluster.worker("w1").await.expect("the worker is there");
    assert!(worker.capabilities.expect("a worker tells").memory_limit, "this machine enforces no memory limit");
    let id = cluster.submit(Submit::shell("head -c 200M /dev/zero | tail").resources(1, 32 << 20)).await;
    let driver = cluster.wait_for_end(&id).await;
    let outcome = driver.outcome.expect("it has ended");
    assert!(outcome.out_of_memory, "{outcome:?}");
    assert_eq!(outcome.reason, "OUT_OF_MEMORY");
}
