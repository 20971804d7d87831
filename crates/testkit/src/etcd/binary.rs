//! The etcd server that the tests use.

use std::path::{Path, PathBuf};

/// The server that `MUSTER_ETCD` names, else the one that `make etcd` unpacked, else the one on
/// `PATH`.
///
/// # Panics
///
/// If there is none: tests must fail then, and say how to get one.
pub(super) fn locate() -> PathBuf {
    if let Some(named) = std::env::var_os("MUSTER_ETCD") {
        return PathBuf::from(named);
    }
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/etcd/usr/bin/etcd");
    if let Ok(path) = unpacked.canonicalize() {
        return path;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("etcd")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("the tests need an etcd server: run `make etcd`, or name one in MUSTER_ETCD"))
}
