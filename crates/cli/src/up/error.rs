//! What can go wrong when a cluster is brought up or down.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::binaries::Missing;
use super::etcd::NoEtcd;
use super::process::ProcessName;
use crate::output::length;

/// Why a cluster could not be brought up or down.
#[derive(Debug)]
pub(crate) enum UpError {
    /// A program is nowhere.
    Missing(Missing),
    /// A file or folder could not be made, read or written.
    File(PathBuf, io::Error),
    /// Another `muster up` has the directory.
    Taken(PathBuf, Option<ProcessName>, Option<String>),
    /// Several masters need a store that they share.
    ManyMasters(u32),
    /// There is no etcd.
    NoEtcd(NoEtcd),
    /// The cluster in the directory keeps its records in etcd.
    NeedsEtcd(PathBuf),
    /// The cluster in the directory keeps its records itself.
    HasNoEtcd(PathBuf),
    /// The path of the directory is too long, by so many bytes.
    TooLong(PathBuf, usize),
    /// There is no cluster in the directory.
    NoCluster(PathBuf),
    /// Not an address.
    Listen(String),
    /// Something listens there.
    AddressInUse(String),
    /// A program could not be started.
    Start(PathBuf, io::Error),
    /// A part ended before it was ready.
    Ended(String, Option<ExitStatus>, String),
    /// A part was not ready in time.
    NotReady(String, Duration, String),
    /// The part in the background ended before all was ready.
    Background(String),
    /// What a worker runs could not be ended.
    Stop(String, String),
    /// The other `muster up` did not end in time.
    StillUp(ProcessName),
    /// Interrupted while it was brought up.
    Interrupted,
}

impl fmt::Display for UpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpError::Missing(missing) => {
                write!(f, "{} is not found in PATH", missing.name)?;
                missing.beside.as_ref().map_or(Ok(()), |beside| write!(f, ", nor in {}", beside.display()))
            }
            UpError::File(path, error) => write!(f, "{}: {error}", path.display()),
            UpError::Taken(dir, holder, address) => taken(f, dir, *holder, address.as_deref()),
            UpError::ManyMasters(masters) => write!(
                f,
                "{masters} masters need a store that they share: add --etcd (without it the one master keeps its records itself)"
            ),
            UpError::NoEtcd(NoEtcd::Named(program)) => write!(f, "{} is no program", program.display()),
            UpError::NoEtcd(NoEtcd::Nowhere) => f.write_str(
                "etcd is not found in PATH; install it (Debian: apt install etcd-server), or name its program with --etcd-binary or MUSTER_ETCD",
            ),
            UpError::NeedsEtcd(dir) => {
                write!(f, "the cluster in {} keeps its records in etcd; add --etcd, or take another --dir", dir.display())
            }
            UpError::HasNoEtcd(dir) => write!(
                f,
                "the cluster in {} keeps its records itself, not in etcd; leave --etcd out, or take another --dir",
                dir.display()
            ),
            UpError::TooLong(dir, by) => {
                write!(
                    f,
                    "the path {} is too long by {by} bytes for the sockets in it; take a shorter --dir",
                    dir.display()
                )
            }
            UpError::NoCluster(dir) => {
                write!(f, "there is no cluster in {}; name its directory with --dir", dir.display())
            }
            UpError::Listen(text) => write!(f, "'{text}' is not an address; write HOST:PORT, such as 127.0.0.1:7077"),
            UpError::AddressInUse(address) => write!(
                f,
                "something listens on {address} already; take another address with --listen, or a free one with --listen 127.0.0.1:0"
            ),
            UpError::Start(path, error) => write!(f, "{} cannot be started: {error}", path.display()),
            UpError::Ended(name, status, words) => {
                write!(f, "{name} ended before it was ready")?;
                status.map_or(Ok(()), |status| write!(f, " ({status})"))?;
                quote(f, words)
            }
            UpError::NotReady(name, bound, words) => {
                write!(f, "{name} was not ready within {}", length(*bound))?;
                quote(f, words)
            }
            // What it said is an error line of this very kind.
            UpError::Background(words) => match words.trim().strip_prefix("error: ") {
                Some(error) => f.write_str(error),
                None => {
                    f.write_str("the cluster did not come up")?;
                    quote(f, words)
                }
            },
            UpError::Stop(name, words) => {
                write!(f, "what {name} runs could not be ended")?;
                quote(f, words)
            }
            UpError::StillUp(process) => {
                write!(f, "`muster up` (process {}) has not ended yet; it may wait for what runs", process.pid)
            }
            UpError::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for UpError {}

fn taken(
    f: &mut fmt::Formatter<'_>,
    dir: &std::path::Path,
    holder: Option<ProcessName>,
    address: Option<&str>,
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

fn quote(f: &mut fmt::Formatter<'_>, words: &str) -> fmt::Result {
    words.lines().try_for_each(|line| write!(f, "\n    {line}"))
}
