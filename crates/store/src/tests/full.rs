//! On a full disk the store refuses transactions and goes on, and it accepts the same transaction
//! once there is room.

use std::path::Path;

use muster_testenv::SmallDisk;
use muster_types::{Commit, Write};

use crate::conformance::{Sample, candidacy, new_cluster};
use crate::{Candidate, CommitError, EmbeddedCandidate, EmbeddedStore, Store, Transaction};

/// A transaction that replaces `records` drivers, and adds events that stay.
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

/// Commits until the disk is full; returns the number of the refused transaction.
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

/// Offers a refused transaction again, as the master does. It counts as applied when the store
/// already has its number.
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

/// The disk becomes full at many points, among them the middle of a record, of the log and of the
/// making of a table. Room is made at once, or after some repeats.
#[tokio::test]
async fn a_full_disk_refuses_and_what_was_refused_is_taken_once_there_is_room() {
    for round in 0..12 {
        let Some(disk) = SmallDisk::mount(24 << 10) else { return };
        let directory = disk.path().join("store");
        let records = 1 + round as u64 * 8;
        let mut candidate = EmbeddedCandidate::open(&directory, new_cluster(), candidacy()).await.unwrap();
        let mut leader = candidate.campaign().await.unwrap();
        let mut newest = leader.store.load().await.unwrap().commit;
        for filling in 0..3 {
            disk.fill(round * 40_961 + filling * 8_192);
            let refused = until_full(&mut leader.store, newest, records).await;
            let again = transaction(refused, records);
            // A repeat may find room, because opening the database anew frees some.
            for _ in 0..round % 3 {
                if let Err(error) = leader.store.commit(again.clone()).await {
                    let is_applied = matches!(error, CommitError::Number { newest, offered } if newest == offered);
                    assert!(error.is_full() || is_applied, "{error}");
                }
            }
            disk.make_room();
            offer(&mut leader.store, &again).await;
            newest = refused.next();
            offer(&mut leader.store, &transaction(newest, records)).await;
        }
        drop(leader);
        drop(candidate);
        is_whole_up_to(&directory, newest).await;
    }
}

/// The process that meets a full disk may be killed there.
#[tokio::test]
async fn a_store_that_is_left_while_the_disk_is_full_has_all_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount(24 << 10) else { return };
    let directory = disk.path().join("store");
    let mut candidate = EmbeddedCandidate::open(&directory, new_cluster(), candidacy()).await.unwrap();
    let mut leader = candidate.campaign().await.unwrap();
    let newest = leader.store.load().await.unwrap().commit;
    disk.fill(100_000);
    let refused = until_full(&mut leader.store, newest, 4).await;
    drop(leader);
    drop(candidate);
    disk.make_room();
    let mut candidate = EmbeddedCandidate::open(&directory, new_cluster(), candidacy()).await.unwrap();
    let mut leader = candidate.campaign().await.unwrap();
    let found = leader.store.load().await.unwrap().commit;
    assert!(found == refused || found.next() == refused, "refused {}, found {}", refused.0, found.0);
    drop(leader);
    drop(candidate);
    is_whole_up_to(&directory, found).await;
}

/// A master may have to start on a full disk, again and again, until somebody makes room. The disk
/// is as the store left it, or others have taken the last of the room.
#[tokio::test]
async fn a_store_is_opened_on_a_full_disk_and_takes_transactions_once_there_is_room() {
    for (round, records) in [1, 4, 60].into_iter().enumerate() {
        let Some(disk) = SmallDisk::mount(24 << 10) else { return };
        let directory = disk.path().join("store");
        let mut candidate = EmbeddedCandidate::open(&directory, new_cluster(), candidacy()).await.unwrap();
        let mut leader = candidate.campaign().await.unwrap();
        let newest = leader.store.load().await.unwrap().commit;
        let mut epoch = leader.epoch;
        disk.fill(round * 300_001 + 400_000);
        let mut refused = until_full(&mut leader.store, newest, records).await;
        drop(leader);
        drop(candidate);
        for is_filled in [false, true, true, false, true] {
            if is_filled {
                disk.fill(0);
            }
            let mut candidate = EmbeddedCandidate::open(&directory, new_cluster(), candidacy()).await.unwrap();
            // A few epochs may fit into the last page of the log; all of these need more.
            for _ in 0..100 {
                let leader = candidate.campaign().await.unwrap();
                assert!(leader.epoch.number() > epoch.number(), "with each win");
                epoch = leader.epoch;
            }
            let mut leader = candidate.campaign().await.unwrap();
            epoch = leader.epoch;
            let found = leader.store.load().await.unwrap().commit;
            assert!(found == refused || found.next() == refused, "refused {}, found {}", refused.0, found.0);
            refused = until_full(&mut leader.store, found, records).await;
        }
        let mut candidate = EmbeddedCandidate::open(&directory, new_cluster(), candidacy()).await.unwrap();
        let mut leader = candidate.campaign().await.unwrap();
        assert!(leader.epoch.number() > epoch.number());
        leader.store.load().await.unwrap();
        disk.make_room();
        offer(&mut leader.store, &transaction(refused, records)).await;
        offer(&mut leader.store, &transaction(refused.next(), records)).await;
        let epoch = leader.epoch;
        drop(leader);
        drop(candidate);
        // The database has the epoch again: without the mark it is not less.
        std::fs::remove_file(directory.join("mark")).unwrap();
        let mut candidate = EmbeddedCandidate::open(&directory, new_cluster(), candidacy()).await.unwrap();
        assert!(candidate.campaign().await.unwrap().epoch.number() > epoch.number());
        drop(candidate);
        is_whole_up_to(&directory, refused.next()).await;
    }
}
