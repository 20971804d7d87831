//! Ends what runs in a directory, even if an earlier process started it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::layout::{ClusterLayout, ETCD, MASTER};
use super::process::ProcessName;
use super::{UpError, binaries};

/// The same bound as for a part that this process started.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// Ends agents, masters and the etcd that an earlier `muster up` left behind; returns their names.
/// What runs under the runners goes on.
pub(crate) fn end_stale_daemons(layout: &ClusterLayout) -> Vec<String> {
    let workers = layout.workers().unwrap_or_default();
    let mut ended = Vec::new();
    let masters = layout.masters().unwrap_or_else(|_| vec![MASTER.to_owned()]);
    for name in workers.into_iter().chain(masters).chain([ETCD.to_owned()]) {
        let path = layout.pid(&name);
        if let Some(held) = ProcessName::read(&path).and_then(ProcessName::hold) {
            held.end(SHUTDOWN);
            ended.push(name);
        }
        let _ = std::fs::remove_file(path);
    }
    ended
}

/// Ends the runner of every worker that ever ran here, with all its processes; all concurrently.
pub(crate) async fn end_work(layout: &ClusterLayout) -> Result<(), UpError> {
    let names = layout.workers().map_err(|error| UpError::File(layout.dir().to_path_buf(), error))?;
    end_work_of(layout, names).await
}

/// Ends the runners of these workers.
pub(crate) async fn end_work_of(layout: &ClusterLayout, names: Vec<String>) -> Result<(), UpError> {
    let worker = binaries::find_worker().map_err(UpError::Missing)?;
    let stops: Vec<_> =
        names.into_iter().map(|name| (tokio::spawn(stop(worker.clone(), layout.state(&name))), name)).collect();
    let mut failed = None;
    for (task, name) in stops {
        let result = match task.await {
            Ok(result) => result,
            Err(_) => continue,
        };
        match result {
            Ok(output) if output.status.success() => {}
            Ok(output) => failed = Some(UpError::Stop(name, String::from_utf8_lossy(&output.stderr).trim().to_owned())),
            Err(error) => failed = Some(UpError::Start(worker.clone(), error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn stop(worker: PathBuf, state: PathBuf) -> std::io::Result<Output> {
    let mut command = Command::new(worker);
    command.arg("stop").arg("--state-dir").arg(state).stdin(Stdio::null()).process_group(0);
    command.output().await
}

/// Whether a directory was ever one of a cluster.
pub(crate) fn is_cluster(dir: &Path) -> bool {
    ClusterLayout::new(dir.to_path_buf()).lock().exists()
}
