//! The private etcd of a cluster: one member, on loopback, for this cluster alone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::UpError;
use super::daemon::{DaemonSpec, RunningDaemon};
use super::layout::{ClusterLayout, ETCD};

/// The keys of the cluster begin with this.
const PREFIX: &str = "muster";
/// How long an answer of a server on this machine may take.
const PROBE: Duration = Duration::from_secs(1);
/// The most bytes of a health answer that are read.
const MOST: u64 = 4096;

/// An etcd that masters keep their records in.
#[derive(Debug, Clone)]
pub(crate) struct LocalEtcd {
    /// How it is started.
    pub(crate) part: DaemonSpec,
    address: String,
}

impl LocalEtcd {
    /// An etcd on a port of loopback.
    pub(crate) fn new(layout: &ClusterLayout, program: &Path, port: u16) -> LocalEtcd {
        let address = format!("127.0.0.1:{port}");
        let url = format!("http://{address}");
        let words: [(&str, OsString); 11] = [
            ("--name", PREFIX.into()),
            ("--data-dir", layout.state(ETCD).into()),
            ("--listen-client-urls", url.clone().into()),
            ("--advertise-client-urls", url.into()),
            // There are no other members, so any port will do.
            ("--listen-peer-urls", "http://127.0.0.1:0".into()),
            ("--initial-advertise-peer-urls", "http://127.0.0.1:0".into()),
            ("--initial-cluster", format!("{PREFIX}=http://127.0.0.1:0").into()),
            ("--logger", "zap".into()),
            ("--log-outputs", "stderr".into()),
            // etcd keeps the newest entries of its log in memory until a snapshot, and a full
            // transaction is large.
            ("--snapshot-count", "5000".into()),
            // The largest size that etcd recommends: a busy cluster fills the default of 2 GiB
            // within minutes.
            ("--quota-backend-bytes", (8u64 << 30).to_string().into()),
        ];
        let args = words.into_iter().flat_map(|(name, value)| [name.into(), value]).collect();
        LocalEtcd { part: DaemonSpec::foreign(layout, ETCD, program, args, address.clone()), address }
    }

    /// The address of the store for the masters.
    pub(crate) fn store(&self) -> String {
        format!("etcd://{}/{PREFIX}", self.address)
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&self, running: &mut RunningDaemon, bound: Duration) -> Result<(), UpError> {
        let healthy = async || is_healthy(&self.address).await.then(|| self.address.clone());
        self.part.ready_when(running, bound, healthy).await.map(drop)
    }
}

/// Whether etcd reports that it is healthy: it has a leader, which is itself, and can write.
async fn is_healthy(address: &str) -> bool {
    let asked = timeout(PROBE, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET /health HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).contains(r#""health":"true""#))
    });
    matches!(asked.await, Ok(Ok(true)))
}

/// There is no etcd where one was looked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEtcd {
    /// The named file is not a program.
    #[error("{0} is no program")]
    Named(PathBuf),
    /// None was named, and none is in PATH.
    #[error(
        "etcd is not found in PATH; install it (Debian: apt install etcd-server), or name its program with --etcd-binary or \
         MUSTER_ETCD"
    )]
    Nowhere,
}

/// The program: as named on the command line, else by `MUSTER_ETCD`, else the one in PATH.
pub(crate) fn locate(named: Option<&Path>) -> Result<PathBuf, NoEtcd> {
    let by_environment = || std::env::var_os("MUSTER_ETCD").filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(program) = named.map(Path::to_path_buf).or_else(by_environment) {
        let absolute = std::path::absolute(&program).unwrap_or(program);
        return if absolute.is_file() { Ok(absolute) } else { Err(NoEtcd::Named(absolute)) };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(ETCD))
        .find(|program| program.is_file())
        .ok_or(NoEtcd::Nowhere)
}
