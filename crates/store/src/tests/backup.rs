//! Backups from each kind of store into each durable kind, and generations.

use std::path::{Path, PathBuf};

use muster_types::{Commit, Snapshot, Write};

use super::etcd::server::Etcd;
use super::etcd::soon;
use crate::conformance::{Sample, candidacy, new_cluster};
use crate::{
    AnyCandidate, AnyStore, ArchiveError, Candidate, Leader, Location, OpenError, RestoreError, Store, Transaction,
    open, recover, restore,
};

async fn lead(location: &Location) -> (AnyCandidate, Leader<AnyStore>) {
    let mut candidate = open(location, new_cluster(), candidacy()).await.unwrap();
    let leader = soon("it leads", candidate.campaign()).await.unwrap();
    (candidate, leader)
}

/// Commits some thousand records, in the transactions after `from` up to `to`.
async fn fill(leader: &mut Leader<AnyStore>, from: u64, to: u64) {
    let mut sample = Sample::new(from);
    for commit in from + 1..=to {
        let application = sample.application();
        let mut writes: Vec<Write> = (0..90).map(|_| Write::PutDriver(sample.driver())).collect();
        writes.push(Write::PutExecutors(sample.executors(application.uid, commit)));
        writes.push(Write::PutApplication(application));
        writes.push(Write::PutWorker(sample.worker()));
        writes.push(Write::PutToken(sample.token()));
        writes.push(Write::PutEvents(sample.events(Commit(commit))));
        leader.store.commit(Transaction { commit: Commit(commit), writes }).await.unwrap();
    }
}

async fn back_up(candidate: &AnyCandidate, path: &Path) -> Result<(), ArchiveError> {
    let (mut backup, mut bytes) = (candidate.archive().begin(), Vec::new());
    while let Some(chunk) = backup.next().await? {
        bytes.extend(chunk);
    }
    std::fs::write(path, bytes).unwrap();
    Ok(())
}

struct Places {
    etcd: Etcd,
    directory: tempfile::TempDir,
}

impl Places {
    async fn new() -> Places {
        Places { etcd: Etcd::start().await, directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("backup")
    }

    fn embedded(&self, name: &str) -> Location {
        Location::Embedded(self.directory.path().join(name))
    }

    fn etcd(&self, prefix: &str) -> Location {
        Location::Etcd(self.etcd.location(prefix))
    }
}

/// Fills a store, and backs it up during further transactions. Returns the state of the backup, and
/// the leader.
async fn backed_up(from: &Location, file: &Path) -> (Snapshot, Leader<AnyStore>) {
    let (candidate, mut leader) = lead(from).await;
    fill(&mut leader, 0, 30).await;
    let before = leader.store.load().await.unwrap();
    let (archive, mut bytes) = (candidate.archive(), Vec::new());
    let mut backup = archive.begin();
    bytes.extend(backup.next().await.unwrap().unwrap());
    // The backup has begun, so later transactions are not in it.
    fill(&mut leader, 30, 40).await;
    while let Some(chunk) = backup.next().await.unwrap() {
        bytes.extend(chunk);
    }
    std::fs::write(file, bytes).unwrap();
    (before, leader)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_state_and_becomes_a_store_of_any_kind() {
    let places = Places::new().await;
    let froms = [Location::Memory, places.embedded("from"), places.etcd("from")];
    for (number, from) in froms.iter().enumerate() {
        let (before, was) = backed_up(from, &places.file()).await;
        for to in [places.embedded(&format!("to{number}")), places.etcd(&format!("to{number}"))] {
            let restored = restore(&places.file(), &to).await.unwrap();
            assert_eq!((restored.commit, restored.generation), (Commit(30), was.epoch.generation + 1));
            let (_candidate, mut leader) = lead(&to).await;
            assert_eq!(leader.store.load().await.unwrap(), before, "{from} to {to}");
            assert_eq!(leader.cluster, was.cluster, "it is the same cluster");
            assert!(leader.epoch.number() > was.epoch.number(), "its epochs go on");
            leader.store.commit(Transaction { commit: Commit(31), writes: Vec::new() }).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_there_is_not_restored_over_and_a_bad_file_touches_nothing() {
    let places = Places::new().await;
    backed_up(&Location::Memory, &places.file()).await;
    for there in [places.embedded("there"), places.etcd("there")] {
        drop(lead(&there).await);
        let error = restore(&places.file(), &there).await.unwrap_err();
        assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
    }
    let bytes = std::fs::read(places.file()).unwrap();
    std::fs::write(places.file(), &bytes[..bytes.len() - 1]).unwrap();
    for free in [places.embedded("free"), places.etcd("free")] {
        let error = restore(&places.file(), &free).await.unwrap_err();
        assert!(matches!(error, RestoreError::Backup { .. }), "{error}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "it was cut short");
    }
    assert!(!places.directory.path().join("free").exists());
    std::fs::write(places.file(), bytes).unwrap();
    restore(&places.file(), &places.etcd("free")).await.unwrap();
    assert!(matches!(restore(&places.file(), &Location::Memory).await.unwrap_err(), RestoreError::Nowhere));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_half_restored_is_no_store() {
    let places = Places::new().await;
    let mut client = places.etcd.client().await;
    client.put("/half/m/restoring", "someone", None).await.unwrap();
    client.put("/half/d/00000000000000000000000000000001", "x", None).await.unwrap();
    let error = open(&places.etcd("half"), new_cluster(), candidacy()).await.unwrap_err();
    assert!(matches!(error, OpenError::EtcdForeign { .. }), "{error}");
    backed_up(&Location::Memory, &places.file()).await;
    let error = restore(&places.file(), &places.etcd("half")).await.unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_as_good_for_a_backup() {
    let places = Places::new().await;
    let (_first, mut leader) = lead(&places.etcd("p")).await;
    fill(&mut leader, 0, 5).await;
    let standby = open(&places.etcd("p"), new_cluster(), candidacy()).await.unwrap();
    back_up(&standby, &places.file()).await.unwrap();
    assert_eq!(restore(&places.file(), &places.etcd("q")).await.unwrap().commit, Commit(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_store_that_is_closed_is_none() {
    let places = Places::new().await;
    let (candidate, leader) = lead(&places.embedded("p")).await;
    let archive = candidate.archive();
    drop((candidate, leader));
    assert!(matches!(archive.begin().next().await.unwrap_err(), ArchiveError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_ends_every_term_of_the_old() {
    let places = Places::new().await;
    let location = places.etcd("p");
    let (mut first, mut leader) = lead(&location).await;
    let mut second = open(&location, new_cluster(), candidacy()).await.unwrap();
    let waiting = tokio::spawn(async move { second.campaign().await.map(|leader| (second, leader)) });
    let mut election = first.election();
    soon("it stands in line", async {
        while election.view().members.len() < 2 {
            election.changed().await;
        }
    })
    .await;
    assert_eq!(recover(&location).await.unwrap(), 2);
    soon("the term ends", leader.deadline.ended()).await;
    let late = leader.store.commit(Transaction { commit: Commit(1), writes: Vec::new() }).await.unwrap_err();
    assert!(matches!(late, crate::CommitError::Superseded), "{late}");
    // Either may win first: both begin anew under the new generation.
    let next = async {
        tokio::select! {
            next = first.campaign() => next.unwrap().epoch,
            next = waiting => next.unwrap().unwrap().1.epoch,
        }
    };
    let next = soon("one leads", next).await;
    assert_eq!(next.generation, 2);
    assert!(next.number() > leader.epoch.number());
    assert!(matches!(recover(&places.etcd("nothing")).await.unwrap_err(), OpenError::Nothing { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_of_a_directory_is_raised_while_nobody_holds_it() {
    let places = Places::new().await;
    let location = places.embedded("p");
    let (candidate, mut leader) = lead(&location).await;
    fill(&mut leader, 0, 3).await;
    assert!(matches!(recover(&location).await.unwrap_err(), OpenError::Locked { .. }));
    let before = leader.store.load().await.unwrap();
    drop((candidate, leader.store));
    assert_eq!(recover(&location).await.unwrap(), 2);
    let (_candidate, mut next) = lead(&location).await;
    assert_eq!(next.epoch.generation, 2);
    assert!(next.epoch.number() > leader.epoch.number());
    assert_eq!(next.store.load().await.unwrap(), before);
    assert!(matches!(recover(&places.embedded("nothing")).await.unwrap_err(), OpenError::Nothing { .. }));
    assert!(matches!(recover(&Location::Memory).await.unwrap_err(), OpenError::Nothing { .. }));
}
