//! Where everything of a cluster lies in its directory.

use std::path::{Path, PathBuf};

use super::UpError;

/// The directory of a cluster that `muster up` brought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterLayout {
    dir: PathBuf,
}

impl ClusterLayout {
    /// The layout below an absolute path.
    pub(crate) fn new(dir: PathBuf) -> ClusterLayout {
        ClusterLayout { dir }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lock of the one `muster up` of this directory. It names the process.
    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("up.lock")
    }

    /// Written when the cluster is ready; holds the addresses of the masters.
    pub(crate) fn ready(&self) -> PathBuf {
        self.run().join("ready")
    }

    /// Addresses and process ids.
    pub(crate) fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The logs of the parts.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The log of one part.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.logs().join(format!("{part}.log"))
    }

    /// Address of a part, written by it when it is ready.
    pub(crate) fn address(&self, part: &str) -> PathBuf {
        self.run().join(format!("{part}.address"))
    }

    /// Process of a part.
    pub(crate) fn pid(&self, part: &str) -> PathBuf {
        self.run().join(format!("{part}.pid"))
    }

    /// State of a part.
    pub(crate) fn state(&self, part: &str) -> PathBuf {
        self.dir.join(part)
    }

    /// Makes the folders. A directory in which others write is refused: they could have put links
    /// in the places of logs, and the numbers of other processes in those of ours.
    pub(crate) fn make(&self) -> Result<(), UpError> {
        muster_os::make_readable(&self.dir).map_err(UpError::Directory)?;
        let make = |path: PathBuf| std::fs::create_dir_all(&path).map_err(|error| UpError::File(path, error));
        make(self.run())?;
        make(self.logs())
    }

    /// Names of the workers that ever ran here, in order of their numbers.
    pub(crate) fn workers(&self) -> std::io::Result<Vec<String>> {
        self.numbered(WORKER_PREFIX)
    }

    /// Names of the masters that ever ran here.
    pub(crate) fn masters(&self) -> std::io::Result<Vec<String>> {
        let mut names = self.numbered(MASTER_PREFIX)?;
        names.push(MASTER.to_owned());
        Ok(names)
    }

    fn numbered(&self, prefix: &str) -> std::io::Result<Vec<String>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(prefix)).map(str::parse::<u32>);
            if let Some(Ok(number)) = number {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|number| format!("{prefix}{number}")).collect())
    }
}

const WORKER_PREFIX: &str = "worker-";
const MASTER_PREFIX: &str = "master-";

/// The name of the master's part, where it keeps its own records.
pub(crate) const MASTER: &str = "master";

/// The name of etcd's part.
pub(crate) const ETCD: &str = "etcd";

/// The name of the part of a master over etcd, counted from 1.
pub(crate) fn master_name(number: u32) -> String {
    format!("{MASTER_PREFIX}{number}")
}

/// The name of a worker's part, counted from 1, which is also the worker's name in the cluster.
pub(crate) fn worker_name(number: u32) -> String {
    format!("{WORKER_PREFIX}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_workers_that_ever_ran() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = ClusterLayout::new(dir.path().to_path_buf());
        for name in ["worker-10", "worker-2", "worker-x", "master-1", "master", "log"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        assert_eq!(layout.workers().expect("readable"), ["worker-2", "worker-10"]);
        assert_eq!(layout.masters().expect("readable"), ["master-1", "master"]);
    }
}
