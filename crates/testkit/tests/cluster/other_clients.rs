//! Clients of other families at a leader and at its standbys.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use muster_testkit::{Cluster, ClusterSpec, HaCluster, Options, wait_for_file};

/// Python with grpcio, which `make grpcio` installs.
pub(crate) fn grpcio(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a crate lies two levels down");
    let packages = root.join(".tools/grpcio");
    assert!(packages.join("grpc").is_dir(), "grpcio is missing: `make grpcio` installs it");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).arg(root.join("tests/clients").join(script));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_is_answered_alike_by_a_leader_and_its_standbys() {
    are_alike_to_grpcio(ClusterSpec::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_is_answered_alike_by_a_leader_and_its_standbys_over_tls() {
    are_alike_to_grpcio(ClusterSpec { tls: true, ..ClusterSpec::default() }).await;
}

async fn are_alike_to_grpcio(spec: ClusterSpec) {
    let cluster = HaCluster::start(spec).await;
    cluster.wait_for_masters(3).await;
    let (leader, _) = cluster.leader().await;
    let standbys = cluster.masters().into_iter().filter(|name| *name != leader);
    let addresses: Vec<_> = [leader.clone()].into_iter().chain(standbys).map(|name| cluster.address(&name)).collect();
    let mut command = grpcio("contract.py");
    command.args(addresses).envs(cluster.ca().map(|path| ("MUSTER_CA_FILE", path)));
    let output = tokio::task::spawn_blocking(move || command.output().expect("python3 runs"));
    let output = output.await.expect("it ends");
    assert_success(&output);
}

#[test]
fn grpcio_finds_by_reflection_what_a_server_serves_and_nothing_else() {
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    let worker = wait_for_file(&cluster.ready_file("w1"), Duration::from_secs(10));
    let master = [
        "muster.v1.AccessService",
        "muster.v1.ApplicationService",
        "muster.v1.MasterService",
        "muster.v1.WorkerLinkService",
    ];
    for (address, services) in [(cluster.address(), &master[..]), (&worker, &["muster.v1.WorkerService"])] {
        let output = grpcio("reflection.py").arg(address.trim()).args(services).output().expect("python3 runs");
        assert_success(&output);
    }
}

pub(crate) fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
