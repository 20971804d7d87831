//! Members of etcd that are killed or paused, or that compact their history.

use std::time::Duration;

use muster_types::{Commit, DriverRecord, DriverUid, Write};

use super::server::Etcd;
use super::{Prefix, soon};
use crate::conformance::Reopen as _;
use crate::conformance::{Sample, candidacy, new_cluster};
use crate::{Candidacy, Candidate, EtcdCandidate, EtcdStore, Leader, Store, Transaction};

/// Commits until `until` holds, and repeats transactions as a master does. Returns the newest
/// acknowledged commit.
async fn commit_until(leader: &mut Leader<EtcdStore>, from: Commit, until: impl Fn(u64) -> bool) -> Commit {
    let mut newest = from;
    let mut sample = Sample::new(from.0);
    while !until(newest.0) {
        let commit = newest.next();
        let transaction = Transaction { commit, writes: vec![Write::PutEvents(sample.events(commit))] };
        loop {
            match leader.store.commit(transaction.clone()).await {
                Ok(()) => break,
                Err(error) if error.may_repeat() => {}
                Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            }
        }
        newest = commit;
    }
    newest
}

/// A candidate with a long lease: the members need two seconds to elect a new leader of etcd, and a
/// term with a lease of three seconds may end meanwhile.
async fn patient(etcd: &Etcd) -> EtcdCandidate {
    let candidacy = Candidacy { lease: Duration::from_secs(8), margin: Duration::from_secs(1), ..candidacy() };
    EtcdCandidate::open(&etcd.location("p"), new_cluster(), candidacy).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_killed_one_after_the_other_under_load_and_nothing_is_lost() {
    let mut etcd = Etcd::start_with(3, &[]).await;
    let mut candidate = patient(&etcd).await;
    let mut leader = soon("it leads", candidate.campaign()).await.unwrap();
    let mut newest = leader.store.load().await.unwrap().commit;
    for index in 0..3 {
        let target = newest.0 + 100;
        let load = async { commit_until(&mut leader, newest, |commit| commit >= target).await };
        etcd.kill(index);
        newest = soon("commits go on without one member", load).await;
        etcd.restart(index).await;
    }
    assert!(leader.deadline.stands(crate::clock::boottime()), "it led all the time");
    assert_eq!(leader.store.load().await.unwrap().events.len() as u64, newest.0);
    let mut next = soon("it wins again", candidate.campaign()).await.unwrap();
    assert_eq!(next.store.load().await.unwrap().events.len() as u64, newest.0, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_paused_holds_nothing_up() {
    let mut etcd = Etcd::start_with(3, &[]).await;
    let mut candidate = patient(&etcd).await;
    let mut newest = Commit(0);
    for index in 0..3 {
        let mut leader = soon("it leads", candidate.campaign()).await.unwrap();
        assert_eq!(leader.store.load().await.unwrap().commit, newest);
        etcd.pause(index);
        let target = newest.0 + 50;
        newest = soon("commits go on", commit_until(&mut leader, newest, |commit| commit >= target)).await;
        // For longer than a lease, the member accepts connections and answers nothing.
        let until = tokio::time::Instant::now() + Duration::from_secs(9);
        while tokio::time::Instant::now() < until {
            newest = soon("commits go on", commit_until(&mut leader, newest, |commit| commit > newest.0)).await;
            assert!(leader.deadline.stands(crate::clock::boottime()), "member {index}: the lease is kept elsewhere");
        }
        // The term ends before the member continues, because a former leader of etcd may then
        // revoke the lease (etcd issue 15247).
        candidate.resign(leader).await;
        etcd.resume(index).await;
    }
    let mut leader = soon("it leads", candidate.campaign()).await.unwrap();
    assert_eq!(leader.store.load().await.unwrap().commit, newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_whose_history_is_forgotten_reads_anew() {
    let mut etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (mut first, mut leader) = prefix.lead().await;
    leader.store.load().await.unwrap();
    let mut second = prefix.open().await;
    let mut election = second.election();
    let waiting = tokio::spawn(async move {
        // The store may be unreachable meanwhile.
        loop {
            match second.campaign().await {
                Ok(leader) => return (second, leader),
                Err(error) => assert!(!error.is_fatal(), "{error}"),
            }
        }
    });
    soon("it stands in line", async {
        while election.view().own != Some(1) {
            election.changed().await;
        }
    })
    .await;
    // While the server is down, no watch follows it, and compacted revisions cannot be followed
    // later.
    etcd.kill(0);
    etcd.restart(0).await;
    let mut client = etcd.client().await;
    for value in 0..10 {
        client.put("/elsewhere", value.to_string(), None).await.unwrap();
    }
    let revision = client.put("/elsewhere", "x", None).await.unwrap().header().unwrap().revision();
    client.compact(revision, None).await.unwrap();
    let newest = soon("commits go on", commit_until(&mut leader, Commit(0), |commit| commit >= 20)).await;
    first.resign(leader).await;
    let (_second, mut next) = soon("the next leads", waiting).await.unwrap();
    assert_eq!(next.store.load().await.unwrap().commit, newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_state_is_read_by_pages() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let (mut candidate, mut leader) = prefix.lead().await;
    let driver = Sample::new(1).driver();
    let numbered = |uid| DriverRecord { uid: DriverUid(uid), ..(*driver).clone() };
    for commit in 1..=100 {
        let uids = u128::from(commit) * 100..u128::from(commit + 1) * 100;
        let writes = uids.map(|uid| Write::PutDriver(numbered(uid).into())).collect();
        leader.store.commit(Transaction { commit: Commit(commit), writes }).await.unwrap();
    }
    let mut sample = Sample::new(2);
    for commit in 101..=140 {
        let mut large = (*sample.driver()).clone();
        large.spec = std::sync::Arc::new({
            let mut spec = (*large.spec).clone();
            std::sync::Arc::make_mut(&mut spec.command).args = vec!["x".repeat(64 << 10)];
            spec
        });
        let writes = vec![Write::PutDriver(large.into())];
        leader.store.commit(Transaction { commit: Commit(commit), writes }).await.unwrap();
    }
    let read = leader.store.load().await.unwrap();
    assert_eq!(read.drivers.len(), 10_040);
    let mut next = soon("it wins again", candidate.campaign()).await.unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(next.store.load().await.unwrap(), read, "the copy that was followed is what is read");
    println!("10,040 records taken from the copy in {:?}", begun.elapsed());
}
