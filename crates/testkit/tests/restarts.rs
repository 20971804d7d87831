//! Any daemon dies or restarts: what goes on, and what is lost.

use std::time::Duration;

use muster_proto::v1::driver::State;
use muster_proto::v1::{LogStream, worker};
use muster_testkit::{Cluster, Options, Oracle, Submit, WorkerOptions, eventually};
use rustix::process::{Pid, Signal, kill_process};

fn roomy(workers: usize) -> Options {
    let worker = WorkerOptions { cores: 200, memory: "64GiB".into(), ..Options::default().worker };
    Options { workers, worker, ..Options::default() }
}

fn words(program: &[String]) -> Vec<&str> {
    program.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn a_hundred_drivers_outlive_the_agent_and_every_exit_arrives_once() {
    let mut cluster = Cluster::start(roomy(1));
    let oracle = Oracle::new(cluster.dir());
    let gate = cluster.dir().join("gate");
    let mut ids = Vec::new();
    for number in 0..100 {
        // Half end while the agent is dead, half after it is back.
        let gate = if number % 2 == 0 { gate.clone() } else { gate.with_extension("late") };
        let program = oracle.program(&format!("while ! test -e {}; do sleep 0.05; done", gate.display()));
        let mut exit = program.clone();
        exit[2] = format!("{}; exit {number}", program[2]);
        ids.push(cluster.submit(Submit::program(&words(&exit)).id(&format!("d{number}"))).await);
    }
    for id in &ids {
        cluster.wait_for_state(id, State::Running).await;
    }
    cluster.kill_agent("w1");
    std::fs::write(&gate, "").expect("a file can be written");
    let early = || oracle.runs().values().flatten().filter(|run| run.ended).count();
    eventually("half to end while no agent is there", Duration::from_secs(60), async || (early() == 50).then_some(()))
        .await;

    cluster.start_worker("w1");
    std::fs::write(gate.with_extension("late"), "").expect("a file can be written");
    for (number, id) in ids.iter().enumerate() {
        let driver = cluster.wait_for_end(id).await;
        assert_eq!(driver.attempts.len(), 1, "{driver:?}");
        assert_eq!(driver.outcome.and_then(|outcome| outcome.exit_code), Some(number as i32));
    }
    assert!(oracle.runs().values().all(|runs| runs.len() == 1));
}

#[tokio::test]
async fn a_killed_master_loses_nothing_acknowledged_and_runs_nothing_twice() {
    let mut cluster = Cluster::two_workers();
    let oracle = Oracle::new(cluster.dir());
    let program = oracle.program("sleep 0.3");
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        for number in 0..20 {
            let submit = Submit::program(&words(&program)).id(&format!("r{round}-{number}"));
            acknowledged.push(cluster.submit(submit).await);
        }
        cluster.kill_master();
        cluster.start_master();
    }
    for id in &acknowledged {
        let driver = cluster.wait_for_end(id).await;
        assert_eq!(driver.state(), State::Finished, "{driver:?}");
    }
    let runs = oracle.runs();
    assert_eq!(runs.len(), acknowledged.len());
    assert!(runs.values().all(|runs| runs.len() == 1 && runs[0].ended), "{runs:?}");
}

#[tokio::test]
async fn a_driver_that_ends_while_no_master_is_there_keeps_its_result() {
    let mut cluster = Cluster::start(roomy(1));
    let mark = cluster.dir().join("ended");
    let id = cluster
        .submit(Submit::shell(&format!("sleep 0.5; echo done; touch {}; exit 9", mark.display())).leased())
        .await;
    cluster.wait_for_state(&id, State::Running).await;
    cluster.kill_master();
    eventually("the driver's end", Duration::from_secs(10), async || mark.exists().then_some(())).await;
    cluster.start_master();
    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(driver.outcome.and_then(|outcome| outcome.exit_code), Some(9));
    assert_eq!(driver.attempts.len(), 1);
    assert_eq!(cluster.log(&id, 0, LogStream::Stdout).await, "done\n");
}

#[tokio::test]
async fn a_killed_runner_takes_its_processes_along_and_they_are_lost() {
    let cluster = Cluster::start(roomy(1));
    let mark = cluster.dir().join("alive");
    let script = format!("while :; do date +%N > {}; sleep 0.01; done", mark.display());
    let wait = cluster.submit(Submit::shell(&script)).await;
    let rerun = cluster
        .submit(
            Submit::shell("test $MUSTER_ATTEMPT = 2 || sleep 1000")
                .leased()
                .restart(muster_proto::v1::RestartCondition::OnFailure),
        )
        .await;
    for id in [&wait, &rerun] {
        cluster.wait_for_state(id, State::Running).await;
    }
    eventually("the driver's mark", Duration::from_secs(10), async || mark.exists().then_some(())).await;
    let runner = Pid::from_raw(cluster.runner_pid("w1")).expect("a process id is not zero");
    kill_process(runner, Signal::KILL).expect("the runner can be killed");

    let driver = cluster.wait_for_end(&wait).await;
    assert_eq!(driver.state(), State::Lost, "{driver:?}");
    let last = std::fs::read(&mark).expect("the mark can be read");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(std::fs::read(&mark).expect("the mark can be read"), last, "the driver still writes");
    let driver = cluster.wait_for_end(&rerun).await;
    assert_eq!((driver.state(), driver.attempts.len()), (State::Finished, 2), "{driver:?}");
}

#[tokio::test]
async fn an_agent_that_stays_dead_ends_leased_work_at_the_lease_and_only_that() {
    let mut cluster = Cluster::start(roomy(1));
    let oracle = Oracle::new(cluster.dir());
    let gate = cluster.dir().join("gate");
    let program = oracle.program(&format!("while ! test -e {}; do sleep 0.05; done", gate.display()));
    let leased = cluster
        .submit(
            Submit::program(&words(&program))
                .id("leased")
                .leased()
                .restart(muster_proto::v1::RestartCondition::OnFailure),
        )
        .await;
    let unleased = cluster.submit(Submit::program(&words(&program)).id("unleased")).await;
    for id in [&leased, &unleased] {
        cluster.wait_for_state(id, State::Running).await;
    }
    cluster.start_worker("w2");
    cluster.kill_agent("w1");

    // The leased driver moves. The unleased one is unreachable, and neither ends nor runs again.
    let moved = cluster
        .wait_for_driver(&leased, "its second attempt", |driver| {
            driver.state() == State::Running && driver.attempts.len() == 2
        })
        .await;
    assert_eq!(moved.attempts[1].worker, "w2");
    cluster.wait_for_state(&unleased, State::Unreachable).await;
    std::fs::write(&gate, "").expect("a file can be written");
    cluster.wait_for_state(&leased, State::Finished).await;

    cluster.start_worker("w1");
    let driver = cluster.wait_for_end(&unleased).await;
    assert_eq!((driver.state(), driver.attempts.len()), (State::Finished, 1), "{driver:?}");
    // The oracle itself fails when two copies overlap.
    let runs = oracle.runs();
    assert_eq!(runs[&leased].len(), 2);
    assert!(!runs[&leased][0].ended && runs[&leased][1].ended);
    assert_eq!(runs[&unleased].len(), 1);
}

#[tokio::test]
async fn a_second_worker_of_the_same_name_is_refused_and_nothing_is_touched() {
    let mut cluster = Cluster::start(roomy(1));
    let id = cluster.submit(Submit::shell("sleep 1000")).await;
    cluster.wait_for_state(&id, State::Running).await;
    cluster.start_worker_unready("other", "w1");
    let log = cluster.dir().join("other.log");
    let refused = async || std::fs::read_to_string(&log).ok().filter(|text| text.contains("NAME_TAKEN"));
    eventually("the refusal", Duration::from_secs(10), refused).await;
    assert!(!cluster.ready_file("other").exists());
    assert_eq!(cluster.driver(&id).await.expect("the driver is there").state(), State::Running);
}

#[tokio::test]
async fn a_copied_state_folder_is_refused_and_a_wiped_one_is_a_new_worker() {
    let mut cluster = Cluster::start(roomy(1));
    let id = cluster.submit(Submit::shell("sleep 1000")).await;
    cluster.wait_for_state(&id, State::Running).await;
    let state = cluster.worker_state("w1");

    // A copy must not claim, as a newer runner of the same worker, that the original's processes
    // are gone.
    let copy = cluster.worker_state("copy");
    let copied = std::process::Command::new("cp").arg("-a").args([&state, &copy]).status().expect("cp runs");
    assert!(copied.success());
    cluster.start_worker_unready("copy", "copy");
    let refused = cluster.workers.get_mut("copy").expect("it was started").wait(Duration::from_secs(10));
    assert!(refused.is_some_and(|status| !status.success()));
    assert!(
        cluster.workers["copy"].log().contains("is a copy of another worker's"),
        "{}",
        cluster.workers["copy"].log()
    );
    assert_eq!(cluster.driver(&id).await.expect("the driver is there").state(), State::Running);

    // Wiped: a new worker, which first ends what the old one left.
    cluster.kill_agent("w1");
    let runner = Pid::from_raw(cluster.runner_pid("w1")).expect("a process id is not zero");
    kill_process(runner, Signal::KILL).expect("the runner can be killed");
    std::fs::remove_dir_all(&state).expect("the folder can be removed");
    cluster.start_worker_unready("w1", "w1-new");
    cluster.wait_ready("w1");
    let new = cluster.worker("w1-new").await.expect("the new worker is there");
    let old = cluster.worker("w1").await.expect("the old worker is there");
    assert_ne!(new.uid, old.uid);
    cluster.wait_for_state(&id, State::Unreachable).await;
    cluster.muster_ok(&["worker", "forget", "w1"]);
    cluster.wait_for_state(&id, State::Lost).await;
}

#[tokio::test]
async fn a_worker_that_finds_another_store_refuses_it_and_nothing_is_killed() {
    let mut cluster = Cluster::start(roomy(1));
    let mark = cluster.dir().join("alive");
    let script = format!("while :; do date +%N > {}; sleep 0.01; done", mark.display());
    let id = cluster.submit(Submit::shell(&script)).await;
    cluster.wait_for_state(&id, State::Running).await;
    cluster.kill_master();
    cluster.start_master_on("fresh");
    let log = cluster.dir().join("w1.log");
    let refused = async || std::fs::read_to_string(&log).ok().filter(|text| text.contains("WRONG_CLUSTER"));
    eventually("the refusal", Duration::from_secs(20), refused).await;
    let before = std::fs::read(&mark).expect("the mark can be read");
    let goes_on = async || (std::fs::read(&mark).ok()? != before).then_some(());
    eventually("the driver to go on", Duration::from_secs(5), goes_on).await;

    cluster.kill_master();
    cluster.start_master();
    cluster.wait_for_state(&id, State::Running).await;
}

#[tokio::test]
async fn an_agent_that_is_asked_to_end_leaves_its_work_running() {
    let mut cluster = Cluster::start(roomy(1));
    let id = cluster.submit(Submit::shell("sleep 1000")).await;
    let before = cluster.wait_for_state(&id, State::Running).await;
    cluster.workers.get_mut("w1").expect("the worker runs").terminate(Duration::from_secs(5));
    cluster.start_worker("w1");
    let shown = cluster.wait_for_worker("w1", "life", |worker| worker.state() == worker::State::Alive).await;
    assert_eq!(shown.drivers, 1);
    let after = cluster.wait_for_state(&id, State::Running).await;
    assert_eq!(after.attempts[0].pid, before.attempts[0].pid);
}

#[tokio::test]
async fn an_agent_that_starts_beside_a_stopped_runner_waits_for_it_and_says_so() {
    let mut cluster = Cluster::start(roomy(1));
    let oracle = Oracle::new(cluster.dir());
    let program = oracle.program("while :; do sleep 1; done");
    cluster.submit(Submit::program(&words(&program)).id("runs")).await;
    cluster.wait_for_state("runs", State::Running).await;
    cluster.kill_agent("w1");
    let runner = Pid::from_raw(cluster.runner_pid("w1")).expect("a pid");
    kill_process(runner, Signal::STOP).expect("it is ours");
    std::fs::remove_file(cluster.ready_file("w1")).expect("the former agent wrote it");
    cluster.start_worker_unready("w1", "w1");
    let log = cluster.dir().join("w1.log");
    eventually("the agent to say what it waits for", Duration::from_secs(60), async || {
        let text = std::fs::read_to_string(&log).expect("a log");
        text.contains("the runner does not answer").then_some(())
    })
    .await;
    kill_process(runner, Signal::CONT).expect("it is ours");
    cluster.wait_ready("w1");
    let driver = cluster.wait_for_state("runs", State::Running).await;
    assert_eq!(driver.attempts.len(), 1, "{driver:?}");
    assert_eq!(oracle.runs().values().map(Vec::len).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_hang_up_ends_nothing() {
    let cluster = Cluster::start(roomy(1));
    let before = cluster.submit(Submit::program(&["/bin/sleep", "1000"]).id("before")).await;
    cluster.wait_for_state(&before, State::Running).await;
    cluster.master.as_ref().expect("the master runs").signal(Signal::HUP);
    cluster.workers["w1"].signal(Signal::HUP);
    let runner = Pid::from_raw(cluster.runner_pid("w1")).expect("a process id");
    kill_process(runner, Signal::HUP).expect("the runner is there");
    // A process that obeyed the signal would be gone before this driver, which needs each of them.
    let after = cluster.submit(Submit::program(&["/bin/true"]).id("after")).await;
    assert_eq!(cluster.wait_for_end(&after).await.state(), State::Finished);
    assert_eq!(cluster.runner_pid("w1"), runner.as_raw_nonzero().get());
    assert_eq!(cluster.driver(&before).await.expect("it is there").state(), State::Running);
}
