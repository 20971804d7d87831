//! Where the other programs are.

use std::path::{Path, PathBuf};

/// The programs that `muster up` starts.
#[derive(Debug, Clone)]
pub(crate) struct ProgramPaths {
    /// `muster-master`.
    pub(crate) master: PathBuf,
    /// `muster-worker`.
    pub(crate) worker: PathBuf,
}

/// A program is neither beside our own nor in PATH.
#[derive(Debug, thiserror::Error)]
#[error("{name} is not found in PATH{}", nor_beside(.beside.as_deref()))]
pub(crate) struct Missing {
    /// Its name.
    pub(crate) name: &'static str,
    /// The folder of our own program.
    pub(crate) beside: Option<PathBuf>,
}

fn nor_beside(beside: Option<&Path>) -> String {
    beside.map(|beside| format!(", nor in {}", beside.display())).unwrap_or_default()
}

impl ProgramPaths {
    /// Finds them beside our own program, else in PATH.
    pub(crate) fn locate() -> Result<ProgramPaths, Missing> {
        Ok(ProgramPaths { master: find("muster-master")?, worker: find_worker()? })
    }
}

/// `muster-worker`.
pub(crate) fn find_worker() -> Result<PathBuf, Missing> {
    find("muster-worker")
}

fn find(name: &'static str) -> Result<PathBuf, Missing> {
    let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.iter().cloned().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file()).ok_or(Missing { name, beside })
}
