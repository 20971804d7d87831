//! After a kill at any moment, a store has every acknowledged transaction, and at most one more.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use muster_types::{Commit, Write};

use crate::conformance::{Sample, candidacy, new_cluster};
use crate::{Candidate, EmbeddedCandidate, Store, Transaction};

const DIRECTORY: &str = "MUSTER_STORE_TEST_DIRECTORY";
const RECORDS_PER_COMMIT: u64 = 16;

/// Not a test of its own, but the process that the test below starts and kills. It does nothing
/// when it is run by hand.
#[tokio::test]
async fn commits_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let mut candidate = EmbeddedCandidate::open(Path::new(&directory), new_cluster(), candidacy()).await.unwrap();
    let mut leader = candidate.campaign().await.unwrap();
    let snapshot = leader.store.load().await.unwrap();
    let mut commit = snapshot.commit;
    drop(snapshot);
    // This bypasses the capture of the test harness.
    let mut acknowledged = std::fs::File::options().write(true).open("/proc/self/fd/1").unwrap();
    writeln!(acknowledged, "began {} {}", leader.epoch.revision, commit.0).unwrap();
    loop {
        commit = commit.next();
        leader.store.commit(Transaction { commit, writes: writes_of(commit) }).await.unwrap();
        writeln!(acknowledged, "acknowledged {}", commit.0).unwrap();
    }
}

/// Each transaction adds one event record that stays, and replaces the drivers of the last one.
fn writes_of(commit: Commit) -> Vec<Write> {
    let mut sample = Sample::new(commit.0);
    let mut writes: Vec<Write> = (1..RECORDS_PER_COMMIT)
        .map(|uid| {
            let mut driver = (*sample.driver()).clone();
            driver.uid = muster_types::DriverUid(u128::from(uid));
            driver.version = commit.0;
            Write::PutDriver(driver.into())
        })
        .collect();
    writes.push(Write::PutEvents(sample.events(commit)));
    writes
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let mut sample = Sample::new(5);
    let (mut newest, mut revision) = (0, 0);
    for round in 0..200 {
        // The first rounds may hit the making of the store itself.
        let length = Duration::from_micros(sample.number() % if round < 5 { 20_000 } else { 250_000 });
        let acknowledged = run_and_kill(directory.path(), length, &mut revision, newest);
        let mut candidate = EmbeddedCandidate::open(directory.path(), new_cluster(), candidacy()).await.unwrap();
        let mut leader = candidate.campaign().await.unwrap();
        assert!(leader.epoch.revision > revision, "the epoch grows with each start");
        revision = leader.epoch.revision;
        let snapshot = leader.store.load().await.unwrap();
        let found = snapshot.commit.0;
        assert!(found == acknowledged || found == acknowledged + 1, "acknowledged {acknowledged}, found {found}");
        assert!(snapshot.events.iter().map(|record| record.commit.0).eq(1..=found), "gaps up to {found}");
        assert!(snapshot.drivers.iter().all(|driver| driver.version == found), "a part of a transaction");
        newest = found;
        // On a busy machine many children are killed before they have committed anything.
        if round >= 20 && newest > 100 {
            return;
        }
    }
    panic!("only {newest} transactions in 200 rounds");
}

/// Runs the child and kills it; returns the newest transaction that it acknowledged.
fn run_and_kill(directory: &Path, length: Duration, revision: &mut u64, newest: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::kill::commits_until_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).collect::<Vec<_>>());
    // The sleep makes the moment of the kill random; it waits for no condition.
    let begun = Instant::now();
    std::thread::sleep(length.saturating_sub(begun.elapsed()));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut acknowledged = newest;
    for line in reader.join().unwrap() {
        let mut words = line.split(' ');
        match (words.next(), words.next().and_then(|word| word.parse().ok()), words.next()) {
            (Some("began"), Some(number), Some(commit)) => {
                assert!(number > *revision, "the epoch grows with each start");
                assert_eq!(commit.parse(), Ok(newest));
                *revision = number;
            }
            (Some("acknowledged"), Some(number), None) => acknowledged = number,
            _ => {}
        }
    }
    acknowledged
}
