//! The election and the succession.

use std::time::{Duration, Instant};

use muster_types::{Commit, QuarantinedRecord, Write};

use super::server::Etcd;
use super::{Prefix, soon};
use crate::conformance::Reopen as _;
use crate::conformance::{Sample, candidacy, new_cluster};
use crate::records::Records;
use crate::{
    Candidacy, Candidate, CommitError, EtcdCandidate, EtcdStore, Leader, LoadError, OpenError, ReplicaUpdate, Store,
    Transaction, clock,
};

/// Half of the lease in the tests: an operation that takes less has not waited for a lease to end.
const NO_LEASE: Duration = Duration::from_millis(1500);

fn events(sample: &mut Sample, commit: u64) -> Transaction {
    Transaction { commit: Commit(commit), writes: vec![Write::PutEvents(sample.events(Commit(commit)))] }
}

/// Starts a standby, which waits to lead in its own task.
async fn next_in_line(prefix: &Prefix) -> tokio::task::JoinHandle<(EtcdCandidate, Leader<EtcdStore>)> {
    let mut candidate = prefix.open().await;
    let mut election = candidate.election();
    let waiting = tokio::spawn(async move {
        let leader = candidate.campaign().await.unwrap();
        (candidate, leader)
    });
    let stands = async {
        while election.view().own != Some(1) {
            election.changed().await;
        }
    };
    soon("it stands in line", stands).await;
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_in_line_takes_over_at_once_when_the_leader_resigns() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (mut first, mut leader) = prefix.lead().await;
    let waiting = next_in_line(&prefix).await;
    let mut sample = Sample::new(1);
    for commit in 1..=50 {
        leader.store.commit(events(&mut sample, commit)).await.unwrap();
    }
    let before = leader.store.load().await.unwrap();
    assert!(!waiting.is_finished(), "one leads");
    let epoch = leader.epoch;
    let begun = Instant::now();
    first.resign(leader).await;
    let (_second, mut leader) = soon("the next leads", waiting).await.unwrap();
    let after = leader.store.load().await.unwrap();
    println!("taken over and loaded in {:?}", begun.elapsed());
    assert!(begun.elapsed() < NO_LEASE, "without waiting for a lease: {:?}", begun.elapsed());
    assert!(leader.epoch.number() > epoch.number());
    assert_eq!(after, before);
    leader.store.commit(events(&mut sample, 51)).await.unwrap();
}

/// The records that the updates of a standby add up to.
#[derive(Default)]
struct Learned {
    records: Records,
    quarantined: Vec<QuarantinedRecord>,
    wholes: usize,
    parts: usize,
}

impl Learned {
    fn take(&mut self, update: ReplicaUpdate) {
        match update {
            ReplicaUpdate::Full(mut snapshot) => {
                self.wholes += 1;
                self.quarantined = std::mem::take(&mut snapshot.quarantined);
                self.records = Records::default();
                snapshot.into_writes().for_each(|write| self.records.apply(write));
            }
            ReplicaUpdate::Delta(changes) => {
                self.parts += usize::from(!changes.writes.is_empty());
                self.quarantined = changes.quarantined;
                changes.writes.into_iter().for_each(|write| self.records.apply(write));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_learns_bit_by_bit_is_what_it_has_when_it_leads() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (mut first, mut leader) = prefix.lead().await;
    let mut candidate = prefix.open().await;
    let (replica, mut election) = (candidate.replica(), candidate.election());
    let waiting = tokio::spawn(async move {
        let leader = candidate.campaign().await.unwrap();
        (candidate, leader)
    });
    let (mut sample, mut learned, mut commit) = (Sample::new(1), Learned::default(), Commit(0));
    let mut known: Vec<Write> = Vec::new();
    for round in 0..40 {
        let application = sample.application();
        let mut writes = vec![
            Write::PutDriver(sample.driver()),
            Write::PutExecutors(sample.executors(application.uid, 1)),
            Write::PutApplication(application),
            Write::PutWorker(sample.worker()),
            Write::PutToken(sample.token()),
            Write::PutEvents(sample.events(commit.next())),
        ];
        // Some existing records are deleted.
        writes.extend(known.iter().filter_map(deletion).skip(round).step_by(3).take(4));
        known.extend(writes.iter().cloned());
        commit = commit.next();
        leader.store.commit(Transaction { commit, writes }).await.unwrap();
        if round % 4 == 0 {
            replica.update().into_iter().for_each(|update| learned.take(update));
        }
    }
    let before = leader.store.load().await.unwrap();
    let stands = async {
        while election.view().own != Some(1) {
            election.changed().await;
        }
    };
    soon("it stands in line", stands).await;
    replica.update().into_iter().for_each(|update| learned.take(update));
    commit = commit.next();
    leader.store.commit(events(&mut sample, commit.0)).await.unwrap();
    first.resign(leader).await;
    let (_second, mut leader) = soon("the next leads", waiting).await.unwrap();
    learned.take(leader.store.catch_up().await.unwrap());
    let after = leader.store.load().await.unwrap();
    assert_ne!(before, after);
    assert_eq!(learned.records.snapshot(commit), after);
    assert_eq!((learned.wholes, learned.quarantined), (1, Vec::new()));
    assert!(learned.parts > 0, "nothing was learned by itself");
}

fn deletion(write: &Write) -> Option<Write> {
    match write {
        Write::PutDriver(record) => Some(Write::DeleteDriver(record.uid)),
        Write::PutApplication(record) => Some(Write::DeleteApplication(record.uid)),
        Write::PutExecutors(record) => Some(Write::DeleteExecutors(record.application, record.sequence)),
        Write::PutWorker(record) => Some(Write::DeleteWorker(record.uid)),
        Write::PutToken(record) => Some(Write::DeleteToken(record.id)),
        Write::PutRoles(_) => Some(Write::PutRoles(std::sync::Arc::default())),
        Write::PutEvents(_)
        | Write::DeleteDriver(_)
        | Write::DeleteApplication(_)
        | Write::DeleteExecutors(..)
        | Write::DeleteWorker(_)
        | Write::DeleteToken(_)
        | Write::DeleteEvents(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_in_line_takes_over_when_a_lease_ends_and_not_before_its_leader_knows() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (first, leader) = prefix.lead().await;
    let waiting = next_in_line(&prefix).await;
    first.vanish();
    let (_second, next) = soon("the next leads", waiting).await.unwrap();
    let now = clock::boottime();
    assert!(!leader.deadline.stands(now), "the deadline comes before the end of the lease");
    assert!(next.deadline.stands(now));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_leader_learns_of_it_and_its_late_transaction_is_refused() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (_first, mut deposed) = prefix.lead().await;
    let waiting = next_in_line(&prefix).await;
    let (epoch, begun) = (deposed.epoch, Instant::now());
    // Another master's candidate, which stays alive during its requests.
    let by = prefix.open().await;
    let election = by.election();
    let mut watching = election.clone();
    soon("the line is seen", async {
        while watching.view().members.len() < 2 {
            watching.changed().await;
        }
    })
    .await;
    assert!(election.depose(epoch).await.unwrap(), "it was there");
    soon("it learns of it", deposed.deadline.ended()).await;
    let (_second, mut leader) = soon("the next leads", waiting).await.unwrap();
    println!("taken over in {:?}", begun.elapsed());
    assert!(begun.elapsed() < NO_LEASE, "{:?}", begun.elapsed());
    assert!(!election.depose(epoch).await.unwrap(), "it is gone");

    let mut sample = Sample::new(2);
    let error = deposed.store.commit(events(&mut sample, 1)).await.unwrap_err();
    assert!(matches!(error, CommitError::Superseded), "{error}");
    assert!(matches!(deposed.store.load().await.unwrap_err(), LoadError::Superseded));
    leader.store.commit(events(&mut sample, 1)).await.unwrap();
    assert_eq!(leader.store.newest().await.unwrap(), Commit(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_over_under_load_has_everything_that_was_acknowledged_and_nothing_follows() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (mut held, mut leader) = prefix.lead().await;
    let mut sample = Sample::new(3);
    let mut newest = leader.store.load().await.unwrap().commit;
    for _ in 0..5 {
        let waiting = next_in_line(&prefix).await;
        let (epoch, election) = (leader.epoch, held.election());
        let deposing = tokio::spawn(async move { election.depose(epoch).await });
        // It commits as fast as possible until it is refused, so that some transactions race with
        // the deposition.
        let error = loop {
            match leader.store.commit(events(&mut sample, newest.next().0)).await {
                Ok(()) => newest = newest.next(),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CommitError::Superseded), "{error}");
        assert!(deposing.await.unwrap().unwrap());
        let (candidate, mut next) = soon("the next leads", waiting).await.unwrap();
        let loaded = next.store.load().await.unwrap();
        assert_eq!(loaded.commit, newest, "everything, and no more");
        assert_eq!(loaded.events.len() as u64, newest.0);
        (held, leader) = (candidate, next);
    }
    assert!(newest.0 > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_starts_again_on_its_directory_does_not_wait_for_its_own_lease() {
    let etcd = Etcd::start().await;
    let (location, state) = (etcd.location("p"), tempfile::tempdir().unwrap());
    let candidacy = || Candidacy { state_dir: Some(state.path().to_owned()), ..candidacy() };
    let mut first = EtcdCandidate::open(&location, new_cluster(), candidacy()).await.unwrap();
    let leader = soon("it leads", first.campaign()).await.unwrap();
    let error = EtcdCandidate::open(&location, new_cluster(), candidacy()).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    first.vanish();
    let begun = Instant::now();
    let mut second = EtcdCandidate::open(&location, new_cluster(), candidacy()).await.unwrap();
    let next = soon("it leads again", second.campaign()).await.unwrap();
    assert!(begun.elapsed() < NO_LEASE, "{:?}", begun.elapsed());
    assert!(next.epoch.number() > leader.epoch.number());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_gives_up_waiting_leaves_the_line() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (first, _leader) = prefix.lead().await;
    let mut election = first.election();
    let waiting = next_in_line(&prefix).await;
    waiting.abort();
    soon("it leaves the line", async {
        while election.view().members.len() != 1 {
            election.changed().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_lost_ends_its_term_and_may_win_another() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (mut candidate, mut leader) = prefix.lead().await;
    let mut sample = Sample::new(4);
    leader.store.commit(events(&mut sample, 1)).await.unwrap();
    let before = leader.store.load().await.unwrap();
    etcd.client().await.lease_revoke(candidate.lease().unwrap()).await.unwrap();
    soon("the term ends", leader.deadline.ended()).await;
    let mut next = soon("it wins again", candidate.campaign()).await.unwrap();
    assert!(next.epoch.number() > leader.epoch.number());
    assert_eq!(next.store.load().await.unwrap(), before, "the copy is made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_sees_who_leads_and_who_waits() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (first, leader) = prefix.lead().await;
    let waiting = next_in_line(&prefix).await;
    let mut election = first.election();
    soon("both stand", async {
        while election.view().members.len() != 2 {
            election.changed().await;
        }
    })
    .await;
    let view = election.view();
    assert_eq!((view.own, view.generation), (Some(0), 1));
    assert_eq!(view.leader().unwrap().epoch, leader.epoch);
    assert_eq!(view.leader().unwrap().address, candidacy().address);
    assert_eq!(view.leader().unwrap().version, candidacy().version);
    waiting.abort();
}
