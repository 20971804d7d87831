//! Clients of other families at a leader and at its standbys.

use std::path::Path;
use std::process::Command;

use muster_testkit::{ClusterSpec, HaCluster};

/// Python with grpcio, which `make grpcio` installs.
fn grpcio() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a crate lies two levels down");
    let packages = root.join(".tools/grpcio");
    assert!(packages.join("grpc").is_dir(), "grpcio is missing: `make grpcio` installs it");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).arg(root.join("tests/clients/contract.py"));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_is_answered_alike_by_a_leader_and_its_standbys() {
    let cluster = HaCluster::start(ClusterSpec::default()).await;
    cluster.wait_for_masters(3).await;
    let (leader, _) = cluster.leader().await;
    let standbys = cluster.masters().into_iter().filter(|name| *name != leader);
    let addresses: Vec<_> = [leader.clone()].into_iter().chain(standbys).map(|name| cluster.address(&name)).collect();
    let output = tokio::task::spawn_blocking(move || grpcio().args(addresses).output().expect("python3 runs"));
    let output = output.await.expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
