//! Measures the store in etcd as a commit loop sees it: encoding, the round trip, etcd's log and
//! its sync.
//!
//! `cargo run --release -p muster-store --features conformance --example etcd LOCATION [SECONDS]`,
//! with a prefix that is empty.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::time::{Duration, Instant};

use muster_store::conformance::{Sample, candidacy, new_cluster};
use muster_store::{AnyStore, Candidate, Leader, Location, Store, Transaction, open};
use muster_types::{Commit, DriverRecord, DriverUid, Write};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let location: Location = args.first().ok_or("LOCATION [SECONDS]")?.parse()?;
    let seconds = args.get(1).map_or(Ok(5), |text| text.parse())?;
    let mut candidate = open(&location, new_cluster(), candidacy()).await?;
    let mut leader = candidate.campaign().await?;
    let mut newest = leader.store.load().await?.commit;
    println!("| records per commit | commits/s | records/s | p50 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|---|");
    for batch in [1, 16, 120] {
        newest = measure(&mut leader, newest, batch, Duration::from_secs(seconds)).await?;
    }
    candidate.resign(leader).await;
    Ok(())
}

async fn measure(
    leader: &mut Leader<AnyStore>,
    mut newest: Commit,
    batch: u64,
    length: Duration,
) -> Result<Commit, Box<dyn Error>> {
    let mut sample = Sample::new(newest.0);
    let driver = sample.driver();
    let (mut latencies, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < length {
        let put = |_| {
            let uid = DriverUid(u128::from(sample.number()) << 64 | u128::from(sample.number()));
            Write::PutDriver(DriverRecord { uid, ..(*driver).clone() }.into())
        };
        let transaction = Transaction { commit: newest.next(), writes: (0..batch).map(put).collect() };
        newest = transaction.commit;
        let asked = Instant::now();
        leader.store.commit(transaction).await?;
        latencies.push(asked.elapsed());
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    let (records, p50, p99, max) = (rate * batch as f64, at(0.5), at(0.99), at(1.0));
    println!("| {batch} | {rate:.0} | {records:.0} | {p50:.2} | {p99:.2} | {max:.0} |");
    Ok(newest)
}
