//! Measures the embedded store as a commit loop sees it: encoding, the hand-over to its thread, the
//! sync and the acknowledgement.
//!
//! `cargo run --release -p muster-store --features conformance --example embedded DIRECTORY
//! EXISTING RECORDS_PER_COMMIT`

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_store::conformance::{Sample, candidacy, new_cluster};
use muster_store::{AnyCandidate, Candidate, Location, Store, Transaction, open};
use muster_types::{Command, DriverRecord, DriverSpec, DriverUid, Write};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [directory, existing, batch] = &args[..] else { return Err("DIRECTORY EXISTING RECORDS_PER_COMMIT".into()) };
    let (existing, batch): (u64, u64) = (existing.parse()?, batch.parse()?);
    let location = Location::Embedded(directory.into());
    let template = driver();

    let begun = Instant::now();
    let mut candidate = open(&location, new_cluster(), candidacy()).await?;
    let made = begun.elapsed();
    let empty = resident()?;
    let mut leader = candidate.campaign().await?;
    let mut commit = leader.store.load().await?.commit;
    for first in (0..existing).step_by(1000) {
        let writes = (first..first + 1000).map(|number| put(&template, number)).collect();
        commit = commit.next();
        leader.store.commit(Transaction { commit, writes }).await?;
    }
    drop((leader, candidate));

    let begun = Instant::now();
    let mut candidate: AnyCandidate = open(&location, new_cluster(), candidacy()).await?;
    let started = begun.elapsed();
    let mut leader = candidate.campaign().await?;
    // A master does the same; its copy of the records is not part of this measurement.
    drop(leader.store.load().await?);
    let mut latencies = Vec::new();
    let mut known = existing;
    let mut random = Sample::new(1);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let writes = (0..batch).map(|index| {
            known += u64::from(index % 2 == 0);
            put(&template, if index % 2 == 0 { known - 1 } else { random.number() % known })
        });
        let transaction = Transaction { commit: commit.next(), writes: writes.collect() };
        commit = transaction.commit;
        let asked = Instant::now();
        leader.store.commit(transaction).await?;
        latencies.push(asked.elapsed());
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    println!(
        "existing {existing}, per commit {batch}: made in {made:.1?} ({empty} MiB), started in {started:.1?}, {rate:.0} commits/s, {:.0} records/s, \
         p50 {:.2} ms, p99 {:.2} ms, max {:.0} ms, {} MiB",
        rate * batch as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        resident()?
    );
    Ok(())
}

/// A plain driver, without the parts of a sample whose size varies.
fn driver() -> DriverRecord {
    let mut driver = (*Sample::new(0).driver()).clone();
    let spec = DriverSpec {
        command: Arc::new(Command {
            program: "/usr/bin/python3".to_owned(),
            args: vec!["/srv/jobs/report.py".to_owned(), "--day=2026-01-01".to_owned()],
            env: BTreeMap::from([("PYTHONUNBUFFERED".to_owned(), "1".to_owned())]),
            ..Command::default()
        }),
        artifacts: Arc::new([]),
        labels: BTreeMap::from([("team".to_owned(), "reports".to_owned())]),
        ..(*driver.spec).clone()
    };
    driver.spec = Arc::new(spec);
    driver
}

fn put(template: &DriverRecord, number: u64) -> Write {
    let mut sample = Sample::new(number);
    let uid = DriverUid(u128::from(sample.number()) << 64 | u128::from(number));
    Write::PutDriver(Arc::new(DriverRecord { uid, version: number, ..template.clone() }))
}

/// Resident memory of this process in MiB.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no such field")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse::<u64>()? >> 10)
}
