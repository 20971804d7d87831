//! The conformance suite on every store, and tests of the embedded store alone.

use std::path::{Path, PathBuf};

use muster_types::{Commit, DriverRecord, DriverUid, Write};

use crate::conformance::{Reopen, Sample, candidacy, new_cluster, run_all};
use crate::{
    AnyCandidate, Candidate, EmbeddedCandidate, Location, MemoryCandidate, OpenError, Store, Transaction, open,
};

struct Memory(MemoryCandidate);

impl Reopen for Memory {
    type Candidate = MemoryCandidate;

    async fn open(&self) -> MemoryCandidate {
        self.0.clone()
    }
}

struct Embedded(tempfile::TempDir);

impl Reopen for Embedded {
    type Candidate = AnyCandidate;

    async fn open(&self) -> AnyCandidate {
        open(&Location::Embedded(self.0.path().to_owned()), new_cluster(), candidacy()).await.unwrap()
    }
}

#[tokio::test]
async fn memory_conforms() {
    run_all(|| Memory(MemoryCandidate::new(new_cluster()).unwrap())).await;
}

#[tokio::test]
async fn embedded_conforms() {
    run_all(|| Embedded(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn a_hundred_thousand_records_load() {
    let place = Embedded(tempfile::tempdir().unwrap());
    let mut candidate = place.open().await;
    let mut leader = candidate.campaign().await.unwrap();
    let driver = Sample::new(1).driver();
    let numbered = |uid| DriverRecord { uid: DriverUid(uid), ..(*driver).clone() };
    for commit in 1..=200 {
        let uids = u128::from(commit) * 500..u128::from(commit + 1) * 500;
        let writes = uids.map(|uid| Write::PutDriver(numbered(uid).into())).collect();
        leader.store.commit(Transaction { commit: Commit(commit), writes }).await.unwrap();
    }
    drop((candidate, leader));
    let begun = std::time::Instant::now();
    let mut candidate = place.open().await;
    let snapshot = candidate.campaign().await.unwrap().store.load().await.unwrap();
    println!("100,000 records loaded in {:?}", begun.elapsed());
    assert_eq!(snapshot.drivers.len(), 100_000);
    assert!(snapshot.quarantined.is_empty());
}

#[tokio::test]
async fn a_second_process_is_told_who_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let _held = EmbeddedCandidate::open(directory.path(), new_cluster(), candidacy()).await.unwrap();
    let error = EmbeddedCandidate::open(directory.path(), new_cluster(), candidacy()).await.unwrap_err();
    assert!(error.to_string().ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn a_making_that_was_cut_short_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("records.new/keyspaces")).unwrap();
    std::fs::write(directory.path().join("records.new/0.jnl"), b"").unwrap();
    let mut candidate = EmbeddedCandidate::open(directory.path(), new_cluster(), candidacy()).await.unwrap();
    candidate.campaign().await.unwrap();
    assert!(!directory.path().join("records.new").exists());
}

#[tokio::test]
async fn nothing_is_readable_for_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(EmbeddedCandidate::open(&path, new_cluster(), candidacy()).await.unwrap());
    let _candidate = EmbeddedCandidate::open(&path, new_cluster(), candidacy()).await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for file in files(&path) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
}

#[tokio::test]
async fn after_its_candidate_a_store_is_closed() {
    let place = Embedded(tempfile::tempdir().unwrap());
    let mut candidate = place.open().await;
    let mut leader = candidate.campaign().await.unwrap();
    drop(candidate);
    let error = leader.store.commit(Transaction { commit: Commit(1), writes: Vec::new() }).await.unwrap_err();
    assert!(error.is_fatal());
    assert_eq!(error.verdict(), muster_types::Verdict::Unknown);
}

#[test]
fn a_location_is_memory_or_a_directory() {
    assert_eq!("memory:".parse::<Location>().unwrap(), Location::Memory);
    assert_eq!("embedded:/var/lib/x".parse::<Location>().unwrap(), Location::Embedded("/var/lib/x".into()));
    for wrong in ["", "memory", "memory:x", "embedded:", "etcd:x", "/var/lib/x"] {
        let error = wrong.parse::<Location>().unwrap_err();
        assert!(matches!(error, OpenError::Location { .. }));
        assert!(error.to_string().contains("use \"memory:\" or \"embedded:DIRECTORY\""), "{error}");
    }
}

/// Every file below a directory.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(super::conformance::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}
