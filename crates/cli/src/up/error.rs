//! What can go wrong when a cluster is brought up or down.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use muster_os::PrivateDirectoryError;

use super::binaries::Missing;
use super::etcd::NoEtcd;
use super::process::ProcessName;
use crate::output::length;

/// Why a cluster could not be brought up or down.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    /// The directory is not one for a cluster.
    #[error(transparent)]
    Directory(PrivateDirectoryError),
    /// A program is not found.
    #[error(transparent)]
    Missing(Missing),
    /// A file or folder could not be made, read or written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// Another `muster up` has the directory.
    #[error(fmt = taken)]
    Taken(PathBuf, Option<ProcessName>, Option<String>),
    /// Several masters need a store that they share.
    #[error(
        "{0} masters need a store that they share: add --etcd (without it the one master keeps its records itself)"
    )]
    ManyMasters(u32),
    /// There is no etcd.
    #[error(transparent)]
    NoEtcd(NoEtcd),
    /// The cluster in the directory keeps its records in etcd.
    #[error("the cluster in {0} keeps its records in etcd; add --etcd, or take another --dir")]
    NeedsEtcd(PathBuf),
    /// The cluster in the directory keeps its records itself.
    #[error("the cluster in {0} keeps its records itself, not in etcd; leave --etcd out, or take another --dir")]
    HasNoEtcd(PathBuf),
    /// The path of the directory is too long, by so many bytes.
    #[error("the path {0} is too long by {1} bytes for the sockets in it; take a shorter --dir")]
    TooLong(PathBuf, usize),
    /// There is no cluster in the directory.
    #[error("there is no cluster in {0}; name its directory with --dir")]
    NoCluster(PathBuf),
    /// Not an address.
    #[error("'{0}' is not an address; write HOST:PORT, such as 127.0.0.1:7077")]
    Listen(String),
    /// Other machines reach the address.
    #[error(
        "--listen {0} is reachable from other machines, and whoever reaches it would command this cluster: add \
         --insecure-listen if that is meant, or start muster-master and muster-worker, which use credentials there"
    )]
    Reachable(String),
    /// Something listens there.
    #[error(
        "something listens on {0} already; take another address with --listen, or a free one with --listen 127.0.0.1:0"
    )]
    AddressInUse(String),
    /// A program could not be started.
    #[error("{0} cannot be started: {1}")]
    Start(PathBuf, io::Error),
    /// A part ended before it was ready.
    #[error("{0} ended before it was ready{status}{words}", status = status(*.1), words = quoted(.2))]
    Ended(String, Option<ExitStatus>, String),
    /// A part was not ready in time.
    #[error("{0} was not ready within {time}{words}", time = length(*.1), words = quoted(.2))]
    NotReady(String, Duration, String),
    /// The part in the background ended before all was ready.
    #[error("{}", background(.0))]
    Background(String),
    /// What a worker runs could not be ended.
    #[error("what {0} runs could not be ended{words}", words = quoted(.1))]
    Stop(String, String),
    /// The other `muster up` did not end in time.
    #[error("`muster up` (process {}) has not ended yet; it may wait for what runs", .0.pid)]
    StillUp(ProcessName),
    /// Interrupted while it was brought up.
    #[error("interrupted")]
    Interrupted,
}

fn taken(
    dir: &Path,
    holder: &Option<ProcessName>,
    address: &Option<String>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "a cluster is up in {} already", dir.display())?;
    if let Some(holder) = holder {
        write!(f, ": process {}", holder.pid)?;
    }
    if let Some(address) = address {
        write!(f, ", master at {address}")?;
    }
    write!(f, "\n  use it, end it with `muster down --dir {}`, or take another directory with --dir", dir.display())
}

fn status(status: Option<ExitStatus>) -> String {
    status.map(|status| format!(" ({status})")).unwrap_or_default()
}

/// The background process has printed an error line of this same kind.
fn background(words: &str) -> String {
    match words.trim().strip_prefix("error: ") {
        Some(error) => error.to_owned(),
        None => format!("the cluster did not come up{}", quoted(words)),
    }
}

fn quoted(words: &str) -> String {
    words.lines().map(|line| format!("\n    {line}")).collect()
}
