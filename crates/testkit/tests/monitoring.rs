//! What a monitoring system sees: the pages of metrics of real processes, read by Prometheus' own
//! tools, which `make monitoring` installs.

#![allow(clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use muster_proto::v1::driver::State;
use muster_proto::v1::worker;
use muster_testkit::{Cluster, Daemon, Options, Submit, WorkerOptions, eventually};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a crate lies two levels down")
}

/// A cluster whose master and worker serve HTTP.
fn cluster() -> Cluster {
    let http = ["--http", "127.0.0.1:0"].map(str::to_owned);
    let options = Options::default();
    let worker = WorkerOptions { args: http.to_vec(), ..options.worker.clone() };
    let master_args = options.master_args.iter().cloned().chain(http).collect();
    Cluster::start(Options { workers: 1, worker, master_args, ..options })
}

/// The address at which a process serves HTTP, as its log says.
fn http_of(daemon: &Daemon) -> String {
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("serving HTTP on")).expect("it serves HTTP");
    line.rsplit(' ').next().expect("the address").to_owned()
}

/// A page, without its head.
fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    body.to_owned()
}

/// The value of a series, by its name with its labels as the page writes them.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

/// The pages of a cluster in which something ended well, something badly, and something waits.
async fn pages(cluster: &Cluster) -> (String, String) {
    let good = cluster.submit(Submit::shell("echo good")).await;
    let bad = cluster.submit(Submit::shell("exit 3")).await;
    assert_eq!(cluster.wait_for_end(&good).await.state(), State::Finished);
    assert_eq!(cluster.wait_for_end(&bad).await.state(), State::Failed);
    cluster.muster_ok(&["submit", "--id", "wide", "--cores", "3", "--", "/bin/sleep", "1000"]);
    cluster.wait_for_state("wide", State::Running).await;
    cluster.muster_ok(&["submit", "--id", "zebra", "--cores", "2", "--", "/bin/true"]);
    assert!(cluster.muster_ok(&["logs", &good]).contains("good"));
    let (master, worker) = (http_of(cluster.master.as_ref().expect("it runs")), http_of(&cluster.workers["w1"]));
    // A worker hears of its attempts before the master does, but a heartbeat may be on its way.
    // A master measures from one to the next.
    let counted = async |address: &str, series: &str| {
        eventually("heartbeats are counted", Duration::from_secs(20), async || {
            let page = page(address, "/metrics");
            value(&page, series).is_some_and(|count| count > 0.0).then_some(page)
        })
        .await
    };
    let worker = counted(&worker, "muster_worker_heartbeat_round_trip_seconds_count").await;
    (counted(&master, "muster_master_heartbeat_interval_seconds_count").await, worker)
}

/// Writes the pages where a tool can read them.
fn saved(cluster: &Cluster, pages: (&str, &str)) -> [PathBuf; 2] {
    let files = ["master.metrics", "worker.metrics"].map(|name| cluster.dir().join(name));
    std::fs::write(&files[0], pages.0).expect("written");
    std::fs::write(&files[1], pages.1).expect("written");
    files
}

fn tool(name: &str) -> PathBuf {
    let path = root().join(".tools/monitoring").join(name);
    assert!(path.exists(), "{name} is missing: `make monitoring` installs it");
    path
}

/// A script of `tests/monitoring`, with Prometheus' Python library.
fn script(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tool("python")).arg(root().join("tests/monitoring").join(name));
    command
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[tokio::test]
async fn pages_and_their_tables_agree_and_another_parser_reads_them() {
    let cluster = cluster();
    let (master, worker) = pages(&cluster).await;
    let files = saved(&cluster, (&master, &worker));
    succeeds(script("openmetrics.py").arg(root().join("docs/metrics.md")).args(files));
}

#[tokio::test]
async fn the_numbers_are_those_of_the_cluster() {
    let cluster = cluster();
    let (master, worker) = pages(&cluster).await;
    let wanted = [
        (&master, "muster_master_leader", 1.0),
        (&master, "muster_master_ready", 1.0),
        (&master, "muster_master_workers{state=\"ALIVE\"}", 1.0),
        (&master, "metrics_master_aliveWorkers_Value{type=\"gauges\"}", 1.0),
        (&master, "muster_master_links", 1.0),
        (&master, "muster_master_drivers{state=\"FINISHED\"}", 1.0),
        (&master, "muster_master_cores{state=\"used\"}", 3.0),
        (&master, "muster_master_cores{state=\"free\"}", 1.0),
        (&master, "muster_master_waiting_drivers{reason=\"CORES\"}", 1.0),
        (&master, "muster_master_waiting_drivers{reason=\"MEMORY\"}", 0.0),
        (&master, "muster_master_waiting_cores{reason=\"CORES\"}", 2.0),
        (&master, "muster_master_attempts_ended_total{kind=\"driver\",success=\"true\",reason=\"EXITED\"}", 1.0),
        (&master, "muster_master_attempts_ended_total{kind=\"driver\",success=\"false\",reason=\"EXITED\"}", 1.0),
        (&master, "muster_master_calls_total{method=\"muster.v1.MasterService/SubmitDriver\",code=\"OK\"}", 4.0),
        (&master, "muster_master_recovery_duration_seconds_count", 1.0),
        (&master, "muster_master_failovers_total", 0.0),
        (&worker, "muster_worker_registered", 1.0),
        (&worker, "muster_worker_attempts{state=\"RUNNING\"}", 1.0),
        (&worker, "muster_worker_cores{state=\"used\"}", 3.0),
        (&worker, "muster_worker_attempts_ended_total{success=\"true\",reason=\"EXITED\"}", 1.0),
        (&worker, "muster_worker_launch_duration_seconds_count", 3.0),
        (&worker, "muster_worker_runner_connections_total", 1.0),
        (&worker, "metrics_worker_coresFree_Value{type=\"gauges\"}", 1.0),
    ];
    for (page, series, number) in wanted {
        assert_eq!(value(page, series), Some(number), "{series} of\n{page}");
    }
    for busy in ["muster_master_commit_duration_seconds_count", "muster_master_heartbeat_interval_seconds_count"] {
        assert!(value(&master, busy).is_some_and(|count| count > 0.0), "{busy} of\n{master}");
    }
    assert!(!master.contains("zebra") && !master.contains("w1") && !worker.contains("wide"), "no name is scraped");
}

#[tokio::test]
async fn every_query_of_the_dashboard_and_the_rules_is_answered_and_every_alert_fires() {
    let cluster = cluster();
    let (master, worker) = pages(&cluster).await;
    let files = saved(&cluster, (&master, &worker));
    let mut command = script("queries.py");
    succeeds(command.arg(root().join("deploy/monitoring")).arg(tool("promtool")).args(files));
}

/// A worker with nothing free would hide what else a driver lacks, so this one runs nothing.
#[tokio::test]
async fn what_waits_is_counted_under_the_reason_that_the_core_names() {
    let mut cluster = cluster();
    let waiting: [(&str, &[&str]); 5] = [
        ("CORES", &["--cores", "1000"]),
        ("MEMORY", &["--memory", "1000GiB"]),
        ("RESOURCE", &["--resource", "gpu=1"]),
        ("LABELS", &["--selector", "zone=none"]),
        ("BACKOFF", &["--restart", "on-failure", "--backoff", "1h", "--backoff-max", "1h"]),
    ];
    for (reason, flags) in waiting {
        cluster.muster_ok(&[&["submit", "--id", &reason.to_lowercase()], flags, &["--", "/bin/false"]].concat());
    }
    cluster.wait_for_state("backoff", State::BackingOff).await;
    let http = http_of(cluster.master.as_ref().expect("it runs"));
    let scraped = page(&http, "/metrics");
    for (reason, _) in waiting {
        let driver = cluster.driver(&reason.to_lowercase()).await.expect("it is kept");
        let causes = driver.pending.map(|pending| pending.reasons).unwrap_or_default();
        assert_eq!(causes.first().map(|cause| cause.reason.as_str()), Some(reason), "the core: {causes:?}");
        let series = format!("muster_master_waiting_drivers{{reason=\"{reason}\"}}");
        assert_eq!(value(&scraped, &series), Some(1.0), "{series} of\n{scraped}");
    }
    let cores = value(&scraped, "muster_master_waiting_cores{reason=\"CORES\"}");
    assert_eq!(cores, Some(1000.0));

    cluster.kill_agent("w1");
    cluster.wait_for_worker("w1", "a broken stream", |worker| worker.state() != worker::State::Alive).await;
    let scraped = page(&http, "/metrics");
    assert_eq!(value(&scraped, "muster_master_waiting_drivers{reason=\"DISCONNECTED\"}"), Some(4.0), "{scraped}");
    assert_eq!(value(&scraped, "muster_master_cores{state=\"free\"}"), Some(0.0), "{scraped}");
}

#[tokio::test]
async fn logs_are_lines_of_json_where_that_is_asked_for() {
    let json = ["--log-format", "json"].map(str::to_owned);
    let options = Options::default();
    let worker = WorkerOptions { args: json.to_vec(), ..options.worker.clone() };
    let master_args = options.master_args.iter().cloned().chain(json).collect();
    let cluster = Cluster::start(Options { workers: 1, worker, master_args, ..options });
    let agent = eventually("the agent says that it is registered", Duration::from_secs(20), async || {
        let log = cluster.workers["w1"].log();
        log.contains("registered").then_some(log)
    })
    .await;
    for (log, said) in [(cluster.master.as_ref().expect("it runs").log(), "leads"), (agent, "registered")] {
        let events: Vec<serde_json::Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        let event = events.iter().find(|event| event["message"] == said).unwrap_or_else(|| panic!("{said} in\n{log}"));
        assert_eq!((&event["level"], event["epoch"].is_string()), (&"INFO".into(), true), "{event}");
        assert!(event["timestamp"].is_string() && event["target"].is_string(), "{event}");
    }
}
