//! On a disk that is full the store refuses and goes on, and takes the same transaction once there
//! is room.

use std::path::{Path, PathBuf};

use muster_types::{Commit, Write};

use crate::conformance::{Sample, candidacy, new_cluster};
use crate::{Candidate, CommitError, EmbeddedCandidate, EmbeddedStore, Store, Transaction};

/// A file system of its own, as small as it is said, with a file that takes up the rest of it.
struct SmallDisk {
    path: PathBuf,
    /// Holds the mount point.
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where this machine cannot mount and whoever runs the tests has said so.
    fn mount(options: &std::ffi::CStr) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let mounted = rustix::mount::mount("tmpfs", &path, "tmpfs", rustix::mount::MountFlags::empty(), options);
        let without = std::env::var("MUSTER_TEST_WITHOUT").unwrap_or_default();
        match mounted {
            Ok(()) => Some(SmallDisk { path, _directory: directory }),
            Err(_) if without.split(',').any(|name| name == "mount") => None,
            Err(error) => {
                panic!("cannot mount a tmpfs ({error}): name mount in MUSTER_TEST_WITHOUT to test without it")
            }
        }
    }

    fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Takes up all but this many bytes.
    fn fill(&self, left: u64) {
        let space = rustix::fs::statvfs(&self.path).unwrap();
        let length = (space.f_bavail * space.f_frsize).saturating_sub(left);
        std::fs::write(self.path.join("filler"), vec![0; usize::try_from(length).unwrap()]).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.path, rustix::mount::UnmountFlags::DETACH);
    }
}

/// A number of records, the events among them for ever.
fn transaction(commit: Commit, records: u64) -> Transaction {
    let mut sample = Sample::new(commit.0);
    let mut writes: Vec<Write> = (0..records)
        .map(|uid| {
            let mut driver = (*sample.driver()).clone();
            driver.uid = muster_types::DriverUid(u128::from(uid + 1));
            driver.version = commit.0;
            Write::PutDriver(driver.into())
        })
        .collect();
    writes.push(Write::PutEvents(sample.events(commit)));
    Transaction { commit, writes }
}

/// Commits until the disk is full; the number of the transaction that was refused.
async fn until_full(store: &mut EmbeddedStore, mut newest: Commit, records: u64) -> Commit {
    for _ in 0..100_000 {
        match store.commit(transaction(newest.next(), records)).await {
            Ok(()) => newest = newest.next(),
            Err(error) if error.is_full() => {
                assert!(error.may_repeat() && !error.is_fatal(), "{error}");
                return newest.next();
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }
    panic!("the disk is never full");
}

/// As the master offers what was refused: the same again, until it is known to be applied.
async fn offer(store: &mut EmbeddedStore, offered: &Transaction) {
    match store.commit(offered.clone()).await {
        Ok(()) => {}
        Err(CommitError::Number { newest, offered }) if newest == offered => {}
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

async fn is_whole_up_to(directory: &Path, newest: Commit) {
    let mut candidate = EmbeddedCandidate::open(directory, new_cluster(), candidacy()).await.unwrap();
    let mut leader = candidate.campaign().await.unwrap();
    let snapshot = leader.store.load().await.unwrap();
    assert_eq!(snapshot.commit, newest);
    assert!(snapshot.events.iter().map(|record| record.commit.0).eq(1..=newest.0), "each transaction, once");
    assert!(snapshot.drivers.iter().all(|driver| driver.version == newest.0), "a part of a transaction");
}

/// Filled up at many places, among them the middle of a record, of the log and of the making of a
/// table, and with room made at once or after it was asked in vain for a while.
#[tokio::test]
async fn a_full_disk_refuses_and_what_was_refused_is_taken_once_there_is_room() {
    for round in 0..12_u64 {
        let Some(disk) = SmallDisk::mount(c"size=24m,mode=0700") else { return };
        let mut candidate = EmbeddedCandidate::open(&disk.store(), new_cluster(), candidacy()).await.unwrap();
        let mut leader = candidate.campaign().await.unwrap();
        let mut newest = leader.store.load().await.unwrap().commit;
        for filling in 0..3 {
            disk.fill(round * 40_961 + filling * 8_192);
            let refused = until_full(&mut leader.store, newest, 1 + round * 8).await;
            let again = transaction(refused, 1 + round * 8);
            // It may find room after all: what is opened anew is tidied up.
            for _ in 0..round % 3 {
                if let Err(error) = leader.store.commit(again.clone()).await {
                    let is_applied = matches!(error, CommitError::Number { newest, offered } if newest == offered);
                    assert!(error.is_full() || is_applied, "{error}");
                }
            }
            disk.make_room();
            offer(&mut leader.store, &again).await;
            newest = refused.next();
            offer(&mut leader.store, &transaction(newest, 1 + round * 8)).await;
        }
        drop(leader);
        drop(candidate);
        is_whole_up_to(&disk.store(), newest).await;
    }
}

/// The process that meets a full disk may be killed there.
#[tokio::test]
async fn a_store_that_is_left_while_the_disk_is_full_has_all_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount(c"size=24m,mode=0700") else { return };
    let mut candidate = EmbeddedCandidate::open(&disk.store(), new_cluster(), candidacy()).await.unwrap();
    let mut leader = candidate.campaign().await.unwrap();
    let newest = leader.store.load().await.unwrap().commit;
    disk.fill(100_000);
    let refused = until_full(&mut leader.store, newest, 4).await;
    drop(leader);
    drop(candidate);
    disk.make_room();
    let mut candidate = EmbeddedCandidate::open(&disk.store(), new_cluster(), candidacy()).await.unwrap();
    let mut leader = candidate.campaign().await.unwrap();
    let found = leader.store.load().await.unwrap().commit;
    assert!(found == refused || found.next() == refused, "refused {}, found {}", refused.0, found.0);
    drop(leader);
    drop(candidate);
    is_whole_up_to(&disk.store(), found).await;
}
