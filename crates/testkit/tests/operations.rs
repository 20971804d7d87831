//! What operators do: drains, artifacts, resources with addresses, watches, `muster up`.

#![expect(clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use muster_proto::v1::driver::State;
use muster_proto::v1::{
    Artifact, DrainWorkerRequest, LogStream, UndrainWorkerRequest, WatchEventsRequest, event, worker,
};
use muster_testkit::{Cluster, Daemon, Options, Submit, WorkerOptions, eventually, wait_for_file};
use rustix::process::{Pid, Signal, kill_process};
use tokio_stream::StreamExt as _;

#[tokio::test]
async fn a_drained_worker_gets_nothing_and_says_when_it_is_empty() {
    let cluster = Cluster::two_workers();
    let first = cluster.submit(Submit::shell("sleep 1000")).await;
    let worker = cluster.wait_for_state(&first, State::Running).await.attempts[0].worker.clone();
    let request = DrainWorkerRequest { worker_id: worker.clone(), ..DrainWorkerRequest::default() };
    cluster.client().drain_worker(request).await.expect("the worker drains");
    for _ in 0..4 {
        let id = cluster.submit(Submit::shell("true")).await;
        let driver = cluster.wait_for_end(&id).await;
        assert_ne!(driver.attempts[0].worker, worker);
    }
    assert!(!cluster.worker(&worker).await.expect("it is there").empty);
    cluster.kill_driver(&first).await;
    cluster.wait_for_worker(&worker, "emptiness", |worker| worker.draining && worker.empty).await;
    let request = UndrainWorkerRequest { worker_id: worker.clone(), ..UndrainWorkerRequest::default() };
    cluster.client().undrain_worker(request).await.expect("the drain is undone");
    assert!(!cluster.worker(&worker).await.expect("it is there").draining);
}

#[tokio::test]
async fn all_workers_of_a_machine_are_drained_at_once() {
    let cluster = Cluster::two_workers();
    let said = cluster.muster_ok(&["drain", "--host", "127.0.0.1", "--wait"]);
    assert_eq!(said, "w1 is empty\nw2 is empty\n");
    for name in ["w1", "w2"] {
        assert!(cluster.worker(name).await.expect("it is there").draining);
    }
    cluster.muster_ok(&["undrain", "--host", "127.0.0.1"]);
    for name in ["w1", "w2"] {
        assert!(!cluster.worker(name).await.expect("it is there").draining);
    }
    let unknown = cluster.muster(&["drain", "--host", "127.0.0.2"]);
    assert!(!unknown.status.success());
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains("127.0.0.2") && said.contains("127.0.0.1"), "{said}");
    let unnamed = cluster.muster(&["drain"]);
    assert!(!unnamed.status.success(), "a worker or a host must be named");
    // The cluster is named by the environment, which is not a thing to write.
    let usage = String::from_utf8_lossy(&unnamed.stderr);
    assert!(usage.contains("Usage: muster drain <WORKER|--host <HOST>|--this-worker>"), "{usage}");
    assert!(!cluster.muster(&["drain", "w1", "--host", "127.0.0.1"]).status.success(), "one of the two");
}

#[tokio::test]
async fn the_workers_of_a_machine_that_are_not_forgotten_are_drained_and_undrained() {
    let mut cluster = Cluster::start(Options { workers: 3, ..Options::default() });
    // The first in the order of names is forgotten, the second may come back.
    for name in ["w1", "w2"] {
        cluster.kill_agent(name);
        cluster.wait_for_worker(name, "a broken stream", |worker| worker.state() != worker::State::Alive).await;
    }
    cluster.muster_ok(&["worker", "forget", "w1"]);
    let said = cluster.muster_ok(&["drain", "--host", "127.0.0.1"]);
    assert!(said.starts_with("w2 drains;") && said.contains("\nw3 drains;") && !said.contains("w1"), "{said}");
    for name in ["w2", "w3"] {
        assert!(cluster.worker(name).await.expect("it is there").draining);
    }
    let said = cluster.muster_ok(&["undrain", "--host", "127.0.0.1"]);
    assert_eq!(said, "w2 takes work again\nw3 takes work again\n");
}

#[tokio::test]
async fn a_drain_that_times_out_names_what_still_runs_something() {
    let cluster = Cluster::two_workers();
    // The busy one is the first that is waited for.
    cluster.muster_ok(&["drain", "w2"]);
    let id = cluster.submit(Submit::shell("sleep 1000")).await;
    cluster.wait_for_state(&id, State::Running).await;
    let drained = cluster.muster(&["drain", "--host", "127.0.0.1", "--wait", "--timeout", "1s"]);
    assert_eq!(drained.status.code(), Some(124));
    assert_eq!(String::from_utf8_lossy(&drained.stdout), "w2 is empty\n");
    let said = String::from_utf8_lossy(&drained.stderr);
    assert!(said.contains("not empty within 1s: w1 (1 driver and 0 executors there);"), "{said}");
}

#[tokio::test]
async fn a_drain_with_a_deadline_moves_what_may_move() {
    let cluster = Cluster::two_workers();
    let restart = muster_proto::v1::RestartCondition::OnFailure;
    let id = cluster.submit(Submit::shell("test $MUSTER_ATTEMPT = 2 || sleep 1000").grace(100).restart(restart)).await;
    let worker = cluster.wait_for_state(&id, State::Running).await.attempts[0].worker.clone();
    let deadline = Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 });
    let request = DrainWorkerRequest { worker_id: worker.clone(), deadline, ..DrainWorkerRequest::default() };
    cluster.client().drain_worker(request).await.expect("the worker drains");
    let driver = cluster.wait_for_end(&id).await;
    assert_eq!(driver.state(), State::Finished, "{driver:?}");
    assert_ne!(driver.attempts[1].worker, worker);
    assert_eq!(driver.failures_in_window, 0, "a drain is not billed to the program");
}

#[tokio::test]
async fn artifacts_are_fetched_and_checked() {
    let cluster = Cluster::two_workers();
    let file = cluster.dir().join("tool.sh");
    std::fs::write(&file, "#!/bin/sh\necho from the artifact\n").expect("a file can be written");
    let sum = Command::new("sha256sum").arg(&file).output().expect("sha256sum runs").stdout;
    let sum = String::from_utf8_lossy(&sum)[..64].to_owned();
    let uri = format!("file://{}", file.display());
    let artifact =
        |sha256: &str| Artifact { uri: uri.clone(), sha256: sha256.into(), executable: true, ..Default::default() };

    let mut good = Submit::program(&["./tool.sh"]);
    good.spec().artifacts = vec![artifact(&sum)];
    let good = cluster.submit(good).await;
    cluster.wait_for_state(&good, State::Finished).await;
    assert_eq!(cluster.log(&good, 0, LogStream::Stdout).await, "from the artifact\n");

    let mut wrong = Submit::program(&["./tool.sh"]);
    wrong.spec().artifacts = vec![artifact(&"0".repeat(64))];
    let mut missing = Submit::program(&["./tool.sh"]);
    missing.spec().artifacts = vec![Artifact { uri: "file:///nowhere/none".into(), ..Default::default() }];
    for (submit, named) in [(wrong, uri.as_str()), (missing, "file:///nowhere/none")] {
        let id = cluster.submit(submit).await;
        let driver = cluster.wait_for_end(&id).await;
        let outcome = driver.outcome.expect("it has ended");
        assert_eq!((driver.state, outcome.reason.as_str()), (State::Failed as i32, "ARTIFACT_FAILED"));
        assert!(outcome.message.contains(named), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_a_submission_names_in_vain_is_refused_or_ends_it_at_once() {
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    for (address, expected) in [("http://h:99999/a", "port"), ("http:///a", "host"), ("file:///a%0ab", "file_name")] {
        let refused = cluster.muster(&["submit", "--artifact", address, "--", "/bin/true"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains(expected), "{address}: {said}");
    }
    let wrong = cluster.muster(&["submit", "--artifact", "https://u:hunter2@h/a#md5=hunter2", "--", "/bin/true"]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.status.code() == Some(2) && said.contains("https://[redacted]@h/a"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    cluster.muster_ok(&["submit", "--id", "nowhere", "--work-dir", "/nowhere/{{DRIVER_ID}}", "--", "/bin/true"]);
    let driver = cluster.wait_for_end("nowhere").await;
    let outcome = driver.outcome.expect("it has ended");
    assert_eq!((driver.state, outcome.reason.as_str()), (State::Failed as i32, "WORK_DIR_FAILED"));
    assert_eq!(driver.attempts.len(), 1);
    assert!(outcome.message.contains("/nowhere/nowhere"), "{outcome:?}");

    let submit = ["submit", "--id", "own", "--work-dir", "{{WORK_DIR}}", "--wait", "--", "/bin/pwd"];
    assert!(cluster.muster_ok(&submit).trim_end().ends_with("-1"), "it is the directory of the attempt");
}

#[tokio::test]
async fn addresses_are_given_to_one_at_a_time() {
    let args = ["--resource", "gpu=a,b"].map(str::to_owned).to_vec();
    let worker = WorkerOptions { args, ..Options::default().worker };
    let cluster = Cluster::start(Options { workers: 1, worker, ..Options::default() });
    let gpu = |script: &str| {
        let mut submit = Submit::shell(script);
        submit.spec().resources.get_or_insert_default().custom = BTreeMap::from([("gpu".into(), 1)]);
        submit
    };
    let script = "cat $MUSTER_RESOURCES_FILE; sleep 1000";
    let (first, second) = (cluster.submit(gpu(script)).await, cluster.submit(gpu(script)).await);
    let mut addresses = Vec::new();
    for id in [&first, &second] {
        let driver = cluster.wait_for_state(id, State::Running).await;
        let given = driver.attempts[0].resources.clone().expect("it was given resources");
        addresses.extend(given.custom["gpu"].addresses.clone());
    }
    addresses.sort();
    assert_eq!(addresses, ["a", "b"]);
    let third = cluster.submit(gpu("cat $MUSTER_RESOURCES_FILE")).await;
    let pending = cluster.wait_for_state(&third, State::Pending).await.pending.expect("it says why");
    assert_eq!(pending.reasons[0].reason, "RESOURCE");
    cluster.kill_driver(&first).await;
    cluster.wait_for_state(&third, State::Finished).await;
    let text = cluster.log(&third, 0, LogStream::Stdout).await;
    assert!(text.contains("\"gpu\"") && text.contains("addresses"), "{text}");
}

#[tokio::test]
async fn a_watch_resumes_without_gap_or_repeat_through_a_restart() {
    let mut cluster = Cluster::two_workers();
    let request = WatchEventsRequest { from_oldest: true, ..WatchEventsRequest::default() };
    let mut watch = cluster.client().watch_events(request.clone()).await.expect("the watch opens").into_inner();
    let id = cluster.submit(Submit::shell("true")).await;
    cluster.wait_for_end(&id).await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    let states = |event: &muster_proto::v1::Event| match &event.subject {
        Some(event::Subject::Driver(driver)) if driver.driver_id == id => Some(driver.state()),
        _ => None,
    };
    // The watch is cut in the middle, after the driver is first seen.
    while seen.is_empty() {
        let answer = watch.next().await.expect("the watch goes on").expect("the watch is sound");
        for event in answer.events {
            if seen.is_empty() {
                token.clone_from(&event.resume_token);
                seen.extend(states(&event));
            }
        }
    }
    drop(watch);
    cluster.kill_master();
    cluster.start_master();
    let resumed = WatchEventsRequest { resume_token: token, ..WatchEventsRequest::default() };
    let mut watch = cluster.client().watch_events(resumed).await.expect("the watch resumes").into_inner();
    while seen.last() != Some(&State::Finished) {
        let answer = watch.next().await.expect("the watch goes on").expect("the watch is sound");
        seen.extend(answer.events.iter().filter_map(&states));
    }
    let mut once = seen.clone();
    once.dedup();
    assert_eq!(seen, once, "no state comes twice");
    assert_eq!(
        seen.first(),
        Some(&State::Pending).filter(|_| seen.contains(&State::Pending)).or(Some(&State::Launching))
    );

    let future = WatchEventsRequest { resume_token: "nonsense".into(), ..WatchEventsRequest::default() };
    let status = cluster.client().watch_events(future).await.map(|_| ()).expect_err("a strange token is refused");
    assert!(matches!(status.code(), tonic::Code::OutOfRange | tonic::Code::InvalidArgument), "{status:?}");
}

#[tokio::test]
async fn a_log_is_followed_until_its_program_ends() {
    let cluster = Cluster::two_workers();
    let id = cluster.submit(Submit::shell("for n in 1 2 3; do echo line $n; sleep 0.2; done")).await;
    cluster.wait_for_state(&id, State::Running).await;
    assert_eq!(cluster.log(&id, 0, LogStream::Stdout).await, "line 1\nline 2\nline 3\n");
}

#[tokio::test]
async fn a_long_log_is_bounded_at_its_head() {
    let cluster = Cluster::two_workers();
    let worker = cluster.worker("w1").await.expect("the worker is there");
    assert!(worker.capabilities.expect("a worker tells").punch_hole, "this machine cannot bound logs in place");
    let mut submit = Submit::shell("yes 0123456789 | head -c 3000000; sleep 3; echo tail");
    submit.spec().log_limit_bytes = 1 << 20;
    let id = cluster.submit(submit).await;
    cluster.wait_for_state(&id, State::Finished).await;
    let text = cluster.log(&id, 0, LogStream::Stdout).await;
    assert!(text.ends_with("tail\n"));
    assert!(text.len() < 2 << 20, "{} bytes are kept", text.len());
}

/// `muster up` in a folder, with a port of its own.
fn up(cluster_dir: &std::path::Path, listen: &str) -> Command {
    let mut command = Command::new(muster_testkit::Binaries::locate().path("muster"));
    command.arg("up").arg("--dir").arg(cluster_dir).args(["--listen", listen]);
    command
}

#[tokio::test]
async fn muster_up_restarts_what_dies_and_ends_all() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let log = dir.path().join("up.log");
    let data = dir.path().join("data");
    let mut network = muster_testkit::NamespaceNetwork::loopback();
    let address = network.add().address(7077);
    let mut first = Daemon::start(up(&data, &address), &log);
    let muster = |args: &[&str]| {
        let mut command = Command::new(muster_testkit::Binaries::locate().path("muster"));
        command.args(args).env("MUSTER_MASTER", &address).stdin(Stdio::null()).output().expect("muster runs")
    };
    let ready = async || muster(&["cluster"]).status.success().then_some(());
    eventually("the cluster", Duration::from_secs(30), ready).await;
    let workers = async || {
        let out = String::from_utf8_lossy(&muster(&["list", "workers", "-o", "name"]).stdout).into_owned();
        (out.lines().count() == 2).then_some(())
    };
    eventually("two workers", Duration::from_secs(30), workers).await;

    // A second start in one folder joins or is refused with the pid; it never makes a second
    // cluster.
    let again = up(&data, &address).stdin(Stdio::null()).output().expect("muster runs");
    let said = format!("{}{}", String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
    assert!(said.contains(&first.pid().to_string()), "{said}");

    let out = muster(&["submit", "--wait", "--", "/bin/sh", "-c", "echo hello; exit 3"]);
    assert_eq!(
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned().contains("hello")),
        (Some(3), true)
    );

    // The master dies and is started again, and the log says so.
    let pid = master_pid(&data);
    kill_process(Pid::from_raw(pid).expect("a process id is not zero"), Signal::KILL)
        .expect("the master can be killed");
    let said = async || first.log().contains("again").then_some(());
    eventually("the word of the restart", Duration::from_secs(30), said).await;
    eventually("the cluster again", Duration::from_secs(30), ready).await;

    let id = muster(&["submit", "--", "/bin/sleep", "1000"]);
    assert!(id.status.success());
    first.signal(Signal::INT);
    assert!(first.wait(Duration::from_secs(30)).is_some(), "it ends:\n{}", first.log());
    assert!(!muster(&["cluster"]).status.success());
}

/// Process id of the master that was started with this folder.
fn master_pid(data: &std::path::Path) -> i32 {
    let data = data.to_str().expect("a plain path");
    for entry in std::fs::read_dir("/proc").expect("there is a proc file system").flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let program = line.split('\0').next().unwrap_or_default();
        if program.ends_with("muster-master") && line.contains(data) {
            return entry.file_name().to_string_lossy().parse().expect("a process folder is a number");
        }
    }
    panic!("no master was started with {data}");
}

#[test]
fn a_wrong_start_is_one_clear_line() {
    let binaries = muster_testkit::Binaries::locate();
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).expect("it has an address");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file can be written");
    let file = file.to_str().expect("a plain path");
    let state = dir.path().join("state");
    let state = state.to_str().expect("a plain path");
    let cases: [(&str, Vec<&str>, &str); 8] = [
        ("muster-master", vec!["--listen", &taken.1, "--state-dir", state], &taken.1),
        ("muster-master", vec!["--listen", "0.0.0.0:0", "--tls", "false", "--state-dir", state], "--tls false"),
        ("muster-master", vec!["--listen", "127.0.0.1:0", "--state-dir", file], file),
        ("muster-master", vec!["--lease", "soon", "--state-dir", state], "soon"),
        ("muster-master", vec!["--store", "paper:/x", "--state-dir", state], "paper"),
        ("muster-worker", vec!["--master", "127.0.0.1:1", "--memory", "lots", "--state-dir", state], "lots"),
        ("muster-worker", vec!["--master", "127.0.0.1:1", "--cores", "0", "--state-dir", state], "cores"),
        ("muster-worker", vec!["--master", "127.0.0.1:1", "--state-dir", file], file),
    ];
    for (program, args, named) in cases {
        let mut command = Command::new(binaries.path(program));
        let log = dir.path().join("start.log");
        let _ = std::fs::remove_file(&log);
        command.args(&args);
        let mut daemon = Daemon::start(command, &log);
        let status = daemon.wait(Duration::from_secs(10)).unwrap_or_else(|| panic!("{program} {args:?} goes on"));
        assert!(!status.success(), "{program} {args:?}");
        let said = daemon.log();
        assert!(said.contains("error") && said.contains(named), "{program} {args:?}: {said}");
    }
}

#[test]
fn the_files_of_a_cluster_are_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    for folder in ["master", "w1"] {
        let mode = std::fs::metadata(cluster.dir().join(folder)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{folder} is {mode:o}");
    }
    let _ = wait_for_file(&cluster.ready_file("w1"), Duration::from_secs(5));
}

/// Files below a folder whose bytes hold a word, except those below `but`.
fn files_that_hold(word: &str, folder: &Path, but: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder that can be read").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("of a kind");
        if kind.is_dir() && path != but {
            found.extend(files_that_hold(word, &path, but));
        } else if kind.is_file() {
            // A file that is gone meanwhile holds nothing.
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(word.len()).any(|window| window == word.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn secrets_of_an_address_are_in_no_answer_event_or_log() {
    let mut options = Options::default();
    options.master_args.extend(["--log".to_owned(), "debug".to_owned()]);
    // The library that fetches says most below this level, and must not be asked by its name
    // either.
    options.worker.args.extend(["--log".to_owned(), "trace,ureq=trace,ureq_proto=trace".to_owned()]);
    let cluster = Cluster::start(options);
    // The server refuses: the test looks at the failure, which names the address.
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().expect("it has one");
    let end = "content-length: 0\r\nconnection: close\r\n\r\n";
    let elsewhere = format!("http://somebody:hunter2redirect@{address}/there?signature=hunter2query");
    std::thread::spawn(move || {
        for answer in
            [format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\n{end}"), format!("HTTP/1.1 404 None\r\n{end}")]
        {
            let (mut stream, _) = server.accept().expect("the worker fetches");
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).expect("answered");
        }
    });
    let uri = format!("http://somebody:hunter2pass@{address}/tool?signature=hunter2query#name=tool");
    cluster.muster_ok(&["submit", "--id", "d", "--artifact", &uri, "--", "/bin/true"]);
    let mut said = Vec::new();
    for _ in 0..2 {
        for args in [
            &["get", "driver", "d", "-o", "wide"][..],
            &["get", "driver", "d", "-o", "json"],
            &["list", "drivers", "-o", "json"],
            &["events", "--since-oldest", "-o", "json"],
            &["events", "--since-oldest"],
        ] {
            said.push(cluster.muster_ok(args));
        }
        cluster.wait_for_end("d").await;
    }
    assert!(said.iter().any(|text| text.contains(&format!("{address}/tool"))), "the address itself is named: {said:?}");
    // Only the store keeps what is needed to fetch.
    let store = cluster.dir().join("master");
    // The second and the third are the passwords as Basic authentication has them.
    for secret in ["hunter2", "Omh1bnRlcjJ", "c29tZWJvZHk6"] {
        assert_eq!(said.iter().find(|text| text.contains(secret)), None);
        assert_eq!(files_that_hold(secret, cluster.dir(), &store), Vec::<PathBuf>::new());
    }
    assert_ne!(files_that_hold("hunter2query", &store, Path::new("")), Vec::<PathBuf>::new(), "the search finds");
}
