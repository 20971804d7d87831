//! Tests that every store must pass, whatever keeps the records. Each function is one test; `place`
//! opens the same store any number of times.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is what it is made to show")]

use std::sync::Arc;
use std::time::Duration;

use muster_types::{ApplicationUid, Commit, Snapshot, Verdict, WallTime, Write};

pub use crate::sample::Sample;
use crate::{Candidacy, Candidate, CommitError, Leader, LoadError, NewCluster, Store, Transaction};

/// A store that can be opened again after the candidate that held it was dropped.
pub trait Reopen {
    /// The candidate that opens the store.
    type Candidate: Candidate;

    /// Opens the store as a new process does.
    fn open(&self) -> impl Future<Output = Self::Candidate>;
}

/// The cluster that the tests make.
pub fn new_cluster() -> NewCluster {
    NewCluster { name: "test".to_owned(), is_name_default: true, now: WallTime(1_700_000_000_000) }
}

/// The candidate data of the tests.
pub fn candidacy() -> Candidacy {
    Candidacy::new("127.0.0.1:7077".to_owned(), "0.0.0".to_owned(), Duration::from_secs(3))
}

type LeaderOf<P> = Leader<<<P as Reopen>::Candidate as Candidate>::Store>;

/// Runs every test, each on a store of its own.
pub async fn run_all<P: Reopen>(new: impl Fn() -> P) {
    a_new_store_is_empty(&new()).await;
    what_was_committed_is_loaded(&new()).await;
    what_was_committed_is_there_after_a_start(&new()).await;
    only_the_next_number_is_taken(&new()).await;
    a_refused_transaction_leaves_nothing(&new()).await;
    the_last_write_of_a_key_stands(&new()).await;
    what_was_deleted_is_gone(&new()).await;
    lists_are_in_order(&new()).await;
    every_prefix_of_transactions_is_a_state(&new()).await;
    epochs_grow_and_the_cluster_stays(&new()).await;
    an_earlier_term_is_refused(&new()).await;
}

async fn lead<P: Reopen>(place: &P) -> (P::Candidate, LeaderOf<P>) {
    let mut candidate = place.open().await;
    let leader = candidate.campaign().await.expect("nobody else leads");
    (candidate, leader)
}

fn transaction(commit: u64, writes: Vec<Write>) -> Transaction {
    Transaction { commit: Commit(commit), writes }
}

/// One record of each kind.
fn one_of_each(seed: u64) -> (Vec<Write>, Snapshot) {
    let mut sample = Sample::new(seed);
    let application = sample.application();
    let snapshot = Snapshot {
        commit: Commit(1),
        drivers: vec![sample.driver()],
        executors: vec![sample.executors(application.uid, 1)],
        applications: vec![application],
        workers: vec![sample.worker()],
        tokens: vec![sample.token()],
        roles: sample.roles(),
        events: vec![sample.events(Commit(1))],
        quarantined: Vec::new(),
    };
    let writes = vec![
        Write::PutDriver(snapshot.drivers[0].clone()),
        Write::PutApplication(snapshot.applications[0].clone()),
        Write::PutExecutors(snapshot.executors[0].clone()),
        Write::PutWorker(snapshot.workers[0].clone()),
        Write::PutToken(snapshot.tokens[0].clone()),
        Write::PutRoles(snapshot.roles.clone()),
        Write::PutEvents(snapshot.events[0].clone()),
    ];
    (writes, snapshot)
}

async fn a_new_store_is_empty<P: Reopen>(place: &P) {
    let (_candidate, mut leader) = lead(place).await;
    assert_eq!(leader.cluster.name, "test");
    assert_eq!(leader.store.load().await.unwrap(), Snapshot::default());
    assert_eq!(leader.store.newest().await.unwrap(), Commit(0));
}

async fn what_was_committed_is_loaded<P: Reopen>(place: &P) {
    let (_candidate, mut leader) = lead(place).await;
    let (writes, expected) = one_of_each(1);
    leader.store.commit(transaction(1, writes)).await.unwrap();
    assert_eq!(leader.store.load().await.unwrap(), expected);
    assert_eq!(leader.store.load().await.unwrap(), expected, "loading changes nothing");
}

async fn what_was_committed_is_there_after_a_start<P: Reopen>(place: &P) {
    let (writes, expected) = one_of_each(2);
    let (candidate, mut leader) = lead(place).await;
    leader.store.commit(transaction(1, writes)).await.unwrap();
    drop((candidate, leader));
    let (_candidate, mut leader) = lead(place).await;
    assert_eq!(leader.store.load().await.unwrap(), expected);
    leader.store.commit(transaction(2, Vec::new())).await.unwrap();
    assert_eq!(leader.store.newest().await.unwrap(), Commit(2));
}

async fn only_the_next_number_is_taken<P: Reopen>(place: &P) {
    let (_candidate, mut leader) = lead(place).await;
    leader.store.commit(transaction(1, Vec::new())).await.unwrap();
    for number in [0, 1, 3, u64::MAX] {
        let error = leader.store.commit(transaction(number, Vec::new())).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::NotApplied);
        assert!(!error.is_fatal());
        let CommitError::Number { newest, offered } = error else { panic!("{error}") };
        assert_eq!((newest, offered), (Commit(1), Commit(number)));
    }
    leader.store.commit(transaction(2, Vec::new())).await.unwrap();
}

async fn a_refused_transaction_leaves_nothing<P: Reopen>(place: &P) {
    let (_candidate, mut leader) = lead(place).await;
    let (writes, _) = one_of_each(3);
    leader.store.commit(transaction(7, writes)).await.unwrap_err();
    assert_eq!(leader.store.load().await.unwrap(), Snapshot::default());
}

async fn the_last_write_of_a_key_stands<P: Reopen>(place: &P) {
    let (_candidate, mut leader) = lead(place).await;
    let first = Sample::new(4).driver();
    let mut second = (*first).clone();
    second.version = first.version.wrapping_add(1);
    let second = Arc::new(second);
    let writes =
        vec![Write::PutDriver(first.clone()), Write::DeleteDriver(first.uid), Write::PutDriver(second.clone())];
    leader.store.commit(transaction(1, writes)).await.unwrap();
    assert_eq!(leader.store.load().await.unwrap().drivers, [second]);
    let writes = vec![Write::PutDriver(first.clone()), Write::DeleteDriver(first.uid)];
    leader.store.commit(transaction(2, writes)).await.unwrap();
    assert_eq!(leader.store.load().await.unwrap().drivers, []);
}

async fn what_was_deleted_is_gone<P: Reopen>(place: &P) {
    let (candidate, mut leader) = lead(place).await;
    let (writes, kept) = one_of_each(5);
    leader.store.commit(transaction(1, writes)).await.unwrap();
    let writes = vec![
        Write::DeleteDriver(kept.drivers[0].uid),
        Write::DeleteApplication(kept.applications[0].uid),
        Write::DeleteExecutors(kept.applications[0].uid, 1),
        Write::DeleteWorker(kept.workers[0].uid),
        Write::DeleteToken(kept.tokens[0].id),
        Write::PutRoles(Arc::default()),
        Write::DeleteEvents(Commit(1)),
        // A missing record is no error: a delete may be repeated under another number.
        Write::DeleteEvents(Commit(77)),
    ];
    leader.store.commit(transaction(2, writes)).await.unwrap();
    drop((candidate, leader));
    let (_candidate, mut leader) = lead(place).await;
    assert_eq!(leader.store.load().await.unwrap(), Snapshot { commit: Commit(2), ..Snapshot::default() });
}

async fn lists_are_in_order<P: Reopen>(place: &P) {
    let (candidate, mut leader) = lead(place).await;
    let mut sample = Sample::new(6);
    let application = ApplicationUid(9);
    for commit in 1..=300 {
        let writes = vec![
            Write::PutEvents(sample.events(Commit(commit))),
            Write::PutExecutors(sample.executors(application, commit)),
            Write::PutDriver(sample.driver()),
        ];
        leader.store.commit(transaction(commit, writes)).await.unwrap();
    }
    drop((candidate, leader));
    let (_candidate, mut leader) = lead(place).await;
    let snapshot = leader.store.load().await.unwrap();
    assert!(snapshot.events.iter().map(|record| record.commit.0).eq(1..=300));
    assert!(snapshot.executors.iter().map(|record| record.sequence).eq(1..=300));
    assert_eq!(snapshot.drivers.len(), 300);
    assert!(snapshot.drivers.is_sorted_by_key(|record| record.uid));
}

async fn every_prefix_of_transactions_is_a_state<P: Reopen>(place: &P) {
    let mut sample = Sample::new(7);
    let mut expected = Vec::new();
    for commit in 1..=10 {
        // The store is opened anew for each transaction, so that each process begins with what the
        // last one left.
        let (_candidate, mut leader) = lead(place).await;
        let record = sample.events(Commit(commit));
        expected.push(record.clone());
        leader.store.commit(transaction(commit, vec![Write::PutEvents(record)])).await.unwrap();
        let snapshot = leader.store.load().await.unwrap();
        assert_eq!((snapshot.commit, &snapshot.events), (Commit(commit), &expected));
    }
}

async fn epochs_grow_and_the_cluster_stays<P: Reopen>(place: &P) {
    let mut before: Option<(muster_types::Epoch, muster_types::ClusterRecord)> = None;
    for _ in 0..5 {
        let (mut candidate, first) = lead(place).await;
        let (epoch, cluster) = (first.epoch, first.cluster.clone());
        candidate.resign(first).await;
        let second = candidate.campaign().await.unwrap();
        assert!(second.epoch.number() > epoch.number(), "with each win");
        assert_ne!(second.epoch.leader, epoch.leader);
        if let Some((before, cluster_before)) = before {
            assert!(epoch.number() > before.number(), "with each start");
            assert_eq!(epoch.generation, before.generation);
            assert_eq!(cluster, cluster_before);
        }
        assert_eq!(second.cluster, cluster);
        before = Some((second.epoch, cluster));
    }
}

async fn an_earlier_term_is_refused<P: Reopen>(place: &P) {
    let (mut candidate, mut earlier) = lead(place).await;
    let mut later = candidate.campaign().await.unwrap();
    let error = earlier.store.commit(transaction(1, Vec::new())).await.unwrap_err();
    assert!(matches!(error, CommitError::Superseded), "{error}");
    assert_eq!(error.verdict(), Verdict::NotApplied);
    assert!(matches!(earlier.store.load().await.unwrap_err(), LoadError::Superseded));
    assert!(matches!(earlier.store.newest().await.unwrap_err(), LoadError::Superseded));
    later.store.commit(transaction(1, Vec::new())).await.unwrap();
}
