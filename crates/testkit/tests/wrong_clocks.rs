//! Clocks that are wrong by years: of a client, of a worker, and of a master. Each says so, and all
//! comes back once the clock is right, without a restart.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use muster_proto::v1::worker::State;
use muster_testenv::WallClock;
use muster_testkit::{AccessFile, Cluster, Daemon, Options, eventually, said, wait_for_file};

const BOUND: Duration = Duration::from_secs(60);
const YEARS: i64 = 20 * 365 * 24 * 3600;

/// The command line as an operator with a clock of its own.
fn muster(cluster: &Cluster, clock: &WallClock, token: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(cluster.binaries().path("muster"));
    command.args(["--master", cluster.address(), "--ca"]).arg(cluster.ca().expect("it is over TLS"));
    command.arg("--token-file").arg(token).args(args);
    command.env("XDG_CONFIG_HOME", cluster.dir()).envs(clock.environment()).output().expect("it runs")
}

#[tokio::test]
async fn a_wrong_clock_is_named_and_all_comes_back_when_it_is_right() {
    let home = tempfile::tempdir().expect("a directory");
    let [of_client, of_worker, of_master] = ["client", "worker", "master"].map(|name| {
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).expect("a folder can be made");
        WallClock::new(&folder)
    });
    let access = AccessFile::new();
    let token = home.path().join("token");
    std::fs::write(&token, access.token("ann", "operator")).expect("written");
    let mut options = access.asked_for(Options::over_tls());
    options.master_environment = of_master.environment();
    options.worker_environment = of_worker.environment();
    let mut cluster = Cluster::start(options);
    let ask = |cluster: &Cluster| {
        let output = muster(cluster, &of_client, &token, &["list", "workers", "-o", "name"]);
        (output.status.success(), said(&output))
    };
    assert_eq!(ask(&cluster), (true, "w1\n".to_owned()));

    for ahead in [YEARS, -YEARS] {
        of_client.set(ahead);
        let (is_done, refused) = ask(&cluster);
        assert!(!is_done && refused.contains("check this machine's clock"), "{refused}");
        of_client.set(0);
        assert_eq!(ask(&cluster), (true, "w1\n".to_owned()));
    }

    // A stream that stands does not look at the clock; the next one does.
    let (master_log, worker_log) = (cluster.dir().join("master.log"), cluster.dir().join("w1.log"));
    let mut seen = 0;
    for ahead in [YEARS, -YEARS] {
        of_worker.set(ahead);
        cluster.kill_master();
        cluster.start_master();
        let tells = || {
            let now = std::fs::read_to_string(&worker_log).unwrap_or_default();
            now.matches("check this machine's clock").count()
        };
        eventually("the worker to tell", BOUND, async || (tells() > seen).then_some(())).await;
        of_worker.set(0);
        is_alive(&cluster, &token, &of_client).await;
        seen = tells();
    }

    // A master whose clock was wrong at its start has a certificate of that time.
    for ahead in [YEARS, -YEARS] {
        of_master.set(ahead);
        cluster.kill_master();
        cluster.start_master();
        let (is_done, refused) = ask(&cluster);
        assert!(!is_done && refused.contains("and the master's"), "{refused}");
        of_master.set(0);
        is_alive(&cluster, &token, &of_client).await;
    }
    assert!(!std::fs::read_to_string(&master_log).expect("a log").contains("panicked"));
    wait_for_file(&cluster.ready_file("w1"), BOUND);
}

/// A worker that is about to join, by a token that says whom to trust, and whose clock is wrong.
#[tokio::test]
async fn who_joins_is_told_of_a_wrong_clock_and_joins_when_it_is_right() {
    let home = tempfile::tempdir().expect("a directory");
    let [right, wrong] = ["right", "wrong"].map(|name| {
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).expect("a folder can be made");
        WallClock::new(&folder)
    });
    let access = AccessFile::new();
    let (token, to_join) = (home.path().join("token"), home.path().join("join.token"));
    std::fs::write(&token, access.token("ann", "operator")).expect("written");
    let cluster = Cluster::start(Options { workers: 0, ..access.asked_for(Options::over_tls()) });
    let made = muster(&cluster, &right, &token, &["token", "create", "--worker", "--name", "lab"]);
    assert!(made.status.success(), "{}", said(&made));
    std::fs::write(&to_join, made.stdout).expect("written");
    for (name, ahead) in [("ahead", YEARS), ("behind", -YEARS)] {
        wrong.set(ahead);
        let mut join = Command::new(cluster.binaries().path("muster-worker"));
        join.args(["join", "--master", cluster.address(), "--token-file"]).arg(&to_join);
        join.arg("--state-dir").arg(home.path().join(name)).envs(wrong.environment());
        let log = home.path().join(format!("{name}.log"));
        let mut joining = Daemon::start(join, &log);
        eventually("it to tell", BOUND, async || {
            let lines = std::fs::read_to_string(&log).expect("a log");
            lines.contains("check this machine's clock").then_some(())
        })
        .await;
        wrong.set(0);
        let joined = joining.wait(BOUND);
        assert!(joined.is_some_and(|joined| joined.success()), "{}", std::fs::read_to_string(&log).expect("a log"));
    }
}

/// Waits until the worker has a stream at the master.
async fn is_alive(cluster: &Cluster, token: &Path, clock: &WallClock) {
    let look = async || {
        let mut command = Command::new(cluster.binaries().path("muster"));
        command.args(["--master", cluster.address(), "--ca"]).arg(cluster.ca().expect("it is over TLS"));
        command.arg("--token-file").arg(token).args(["get", "worker", "w1", "-o", "json"]);
        let output = command.env("XDG_CONFIG_HOME", cluster.dir()).envs(clock.environment()).output().expect("it runs");
        said(&output).contains(State::Alive.as_str_name()).then_some(())
    };
    eventually("the worker to come back", BOUND, look).await;
}
