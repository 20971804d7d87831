//! The examples of `clients/`, as they stand in the tree, against a cluster whose leader is killed
//! under them: in the midst of submissions, and while they wait for a driver.
//!
//! `make test-clients` brings what they need and builds them; without that the tests fail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use muster_proto::v1::{ListApplicationsRequest, ListDriversRequest};
use muster_testkit::{AccessFile, Cluster, ClusterSpec, Daemon, HaCluster, Options, eventually};
use tokio::net::TcpListener;

/// How long a client may take, with the failovers and on a busy machine.
const BOUND: Duration = Duration::from_secs(90);
/// What every client submits in a row, and then lists.
const BATCH: usize = 20;
/// The whole of it: the batch, the driver that it waits for, and the one that it kills.
const DRIVERS: usize = BATCH + 2;

/// What clients authenticate with where nobody checks it.
const TOKEN: &str = "mst_test_secret";

/// The folder of what `make test-clients` builds and of the examples themselves.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a crate lies two levels down")
}

/// A path below the root, which must be there.
fn built(path: &str) -> PathBuf {
    let path = root().join(path);
    assert!(path.exists(), "{} is missing: `make test-clients` builds it", path.display());
    path
}

/// The example in this language.
fn client(language: &str) -> Command {
    match language {
        "python" => {
            built("clients/python-grpc/muster/v1");
            let mut command = Command::new("python3");
            command.env("PYTHONPATH", built(".tools/python")).arg(built("clients/python-grpc/tour.py"));
            command
        }
        "node" => {
            built("clients/node/node_modules");
            let mut command = Command::new("node");
            command.arg(built("clients/node/tour.mjs"));
            command
        }
        "go" => Command::new(built("clients/go/muster-tour")),
        "java" => {
            built("clients/java/target/classes/tour");
            Command::new(built("clients/java/tour"))
        }
        _ => unreachable!("{language}"),
    }
}

/// Runs an example against three masters. The leader is killed twice: while it submits, and while
/// it waits. It must end well all the same, and have submitted everything once.
async fn survives_its_leaders(language: &str, tls: bool) {
    let mut cluster = HaCluster::start(ClusterSpec { tls, ..ClusterSpec::default() }).await;
    cluster.wait_for_masters(3).await;
    let (leader, epoch) = cluster.leader().await;
    // The leader is asked first, so that its end is met.
    let mut masters = cluster.masters();
    masters.sort_by_key(|name| *name != leader);
    let addresses: Vec<_> = masters.iter().map(|name| cluster.address(name)).collect();
    let gate = cluster.dir().join("gate");
    let wait = format!("echo hello; while [ ! -e {} ]; do sleep 0.05; done; echo goodbye; exit 3", gate.display());
    let mut command = client(language);
    command.args(["/bin/sh", "-c", &wait]).env("MUSTER_MASTER", addresses.join(","));
    command.env_remove("MUSTER_TOKEN").env_remove("MUSTER_CA_FILE");
    command.envs(cluster.ca().map(|path| ("MUSTER_CA_FILE", path)));
    let mut program = Daemon::start(command, &cluster.dir().join("client.log"));

    says(&mut program, "submitted ").await;
    cluster.kill(&leader);
    let (next, epoch) = cluster.leader_after(epoch).await;
    cluster.start_master(&leader);
    says(&mut program, "STATE_RUNNING").await;
    cluster.kill(&next);
    cluster.leader_after(epoch).await;
    std::fs::write(&gate, "").expect("a file can be written");
    let status = eventually("the client's end", BOUND, async || program.wait(Duration::ZERO)).await;

    let log = program.log();
    assert!(status.success(), "{status}\n{log}");
    let said =
        [&format!("listed {BATCH}"), "exit code 3", "hello", "goodbye", "STATE_KILLED", "2 executors run", "ended"];
    for text in said {
        assert!(log.contains(text), "{text:?} is missing:\n{log}");
    }
    assert!(log.contains("# UNAVAILABLE") || log.contains("# UNKNOWN"), "it met no leader's end:\n{log}");
    let client = cluster.client();
    let drivers = client.list_drivers(ListDriversRequest::default()).await.expect("it answers").drivers;
    assert_eq!(drivers.len(), DRIVERS, "each was submitted once:\n{log}\n{drivers:?}");
    let applications = client.list_applications(ListApplicationsRequest::default()).await.expect("it answers");
    assert_eq!(applications.applications.len(), 1, "{applications:?}");
}

/// Waits until a client has said this.
async fn says(program: &mut Daemon, text: &str) {
    eventually(text, BOUND, async || {
        let log = program.log();
        let status = program.wait(Duration::ZERO);
        assert!(status.is_none() || log.contains(text), "it ended ({status:?}) without {text:?}:\n{log}");
        log.contains(text).then_some(())
    })
    .await;
}

/// Runs an example against a server that refuses, and gives the `authorization` that it sent.
async fn authorization_sent(language: &str, host: &str) -> Option<String> {
    let listener = TcpListener::bind((host, 0)).await.expect("a port is free");
    let address = format!("{host}:{}", listener.local_addr().expect("it has an address").port());
    let (first, mut received) = tokio::sync::mpsc::channel(1);
    let server = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let first = first.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.expect("it speaks HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let sent = request.headers().get("authorization");
                    let sent = sent.map(|value| value.to_str().expect("it is text").to_owned());
                    // Only the first is asked for.
                    let _ = first.try_send(sent);
                    let response = http::Response::builder().header("content-type", "application/grpc");
                    let response = response.header("grpc-status", "16").body(()).expect("it is a response");
                    respond.send_response(response, true).expect("it is taken");
                }
            });
        }
    });
    let mut command = client(language);
    command.env("MUSTER_MASTER", &address).env("MUSTER_TOKEN", TOKEN).env_remove("MUSTER_CA_FILE");
    let dir = tempfile::tempdir().expect("a directory");
    let mut program = Daemon::start(command, &dir.path().join("client.log"));
    let status = eventually("the client's end", BOUND, async || program.wait(Duration::ZERO)).await;
    assert!(!status.success(), "it was refused and ends well:\n{}", program.log());
    server.abort();
    received.recv().await.expect("it has called")
}

/// `0.0.0.0` reaches this machine too, and is no address of loopback: it stands for another one.
#[tokio::test]
async fn a_token_is_sent_in_plaintext_to_loopback_alone() {
    for language in ["go", "java", "node", "python"] {
        let sent = authorization_sent(language, "127.0.0.1").await;
        assert_eq!(sent, Some(format!("Bearer {TOKEN}")), "{language}");
        assert_eq!(authorization_sent(language, "0.0.0.0").await, None, "{language}");
    }
}

#[tokio::test]
async fn a_token_that_is_right_is_enough_and_another_is_refused_in_words() {
    let stranger = AccessFile::new().token("ann", "submitter");
    for language in ["go", "java", "node", "python"] {
        let access = AccessFile::new();
        let right = access.token("ann", "submitter");
        let cluster = Cluster::start(access.asked_for(Options { tls: true, ..Options::default() }));
        for token in [&right, &stranger] {
            let mut command = client(language);
            command.args(["/bin/sh", "-c", "exit 3"]).env("MUSTER_MASTER", cluster.address());
            command.env("MUSTER_CA_FILE", cluster.ca().expect("it is over TLS")).env("MUSTER_TOKEN", token);
            let mut program = Daemon::start(command, &cluster.dir().join("client.log"));
            let status = eventually("the client's end", BOUND, async || program.wait(Duration::ZERO)).await;
            let log = program.log();
            if *token == right {
                assert!(status.success() && log.contains("exit code 3"), "{language}\n{log}");
            } else {
                let is_clear = log.to_lowercase().contains("unauthenticated") && log.contains("not known here");
                assert!(!status.success() && is_clear && !log.contains(token.as_str()), "{language}\n{log}");
            }
        }
    }
}

#[tokio::test]
async fn python_survives_its_leaders() {
    survives_its_leaders("python", false).await;
}

#[tokio::test]
async fn python_survives_its_leaders_over_tls() {
    survives_its_leaders("python", true).await;
}

#[tokio::test]
async fn node_survives_its_leaders() {
    survives_its_leaders("node", false).await;
}

#[tokio::test]
async fn node_survives_its_leaders_over_tls() {
    survives_its_leaders("node", true).await;
}

#[tokio::test]
async fn go_survives_its_leaders() {
    survives_its_leaders("go", false).await;
}

#[tokio::test]
async fn go_survives_its_leaders_over_tls() {
    survives_its_leaders("go", true).await;
}

#[tokio::test]
async fn java_survives_its_leaders() {
    survives_its_leaders("java", false).await;
}

#[tokio::test]
async fn java_survives_its_leaders_over_tls() {
    survives_its_leaders("java", true).await;
}
