//! Measures embedded databases for the store: commits of 16 and of 128 records into 0 and 1,000,000
//! existing ones, each of them synced.
//!
//! `cargo run --release -p muster-store --example databases [DIRECTORY]`. Each case runs in a
//! process of its own, which kills itself without warning at its end, so that memory is its own and
//! the start after a crash is measured too.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fjall::{KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, ReadableTable};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Bytes of a record: a driver with a short command and one attempt.
const VALUE: usize = 350;
/// The bytes of data that a candidate may cache in its own memory.
const CACHE: usize = 4 << 20;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "case") {
        return case(&args[1], args[2].parse()?, args[3].parse()?, Path::new(&args[4]));
    }
    let directory = args.first().map_or_else(|| std::env::temp_dir().join("muster-databases"), PathBuf::from);
    println!(
        "| database | existing | records per commit | commits/s | records/s | p50 ms | p99 ms | max ms | written per record | RSS after MiB | clean start ms | start after kill ms | RSS idle MiB | read all ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let databases = args.get(1).map_or("redb,fjall", String::as_str);
    for database in databases.split(',') {
        for existing in ["0", "1000000"] {
            for batch in ["16", "128"] {
                let _ = std::fs::remove_dir_all(&directory);
                std::fs::create_dir_all(&directory)?;
                let program = std::env::current_exe()?;
                let directory = directory.to_str().ok_or("the directory is not text")?;
                for phase in ["measure", "reopen"] {
                    let mut command = std::process::Command::new(&program);
                    let name = format!("{database}-{phase}");
                    command.args(["case", &name, existing, batch, directory]).status()?;
                }
            }
        }
    }
    Ok(())
}

/// One process of one case.
fn case(name: &str, existing: u64, batch: u64, directory: &Path) -> Outcome<()> {
    match name {
        "redb-measure" => measure::<Redb>("redb", existing, batch, directory),
        "fjall-measure" => measure::<Fjall>("fjall", existing, batch, directory),
        "redb-reopen" => reopen::<Redb>(directory),
        "fjall-reopen" => reopen::<Fjall>(directory),
        _ => Err("no such case".into()),
    }
}

fn measure<D: Candidate>(name: &str, existing: u64, batch: u64, directory: &Path) -> Outcome<()> {
    let mut random = Random(7);
    let mut database = D::open(directory)?;
    for first in (0..existing).step_by(1000) {
        database.commit((first..first + 1000).map(|number| (key(number), random.value())))?;
    }
    drop(database);
    let begun = Instant::now();
    let mut database = D::open(directory)?;
    let clean_start = begun.elapsed();

    let mut known = existing;
    let mut latencies = Vec::new();
    let written = bytes_written()?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) && latencies.len() < 100_000 {
        // Half of the records are new; the others replace existing ones.
        let writes: Vec<_> = (0..batch)
            .map(|index| {
                let number = if index % 2 == 0 || known == 0 {
                    known += 1;
                    known - 1
                } else {
                    random.next() % known
                };
                (key(number), random.value())
            })
            .collect();
        let asked = Instant::now();
        database.commit(writes.into_iter())?;
        latencies.push(asked.elapsed());
        // The time that a commit loop needs to hand over the next transaction. Without it, a
        // database whose own threads compete for the lock of a commit would be measured while they
        // starve.
        std::thread::sleep(Duration::from_micros(20));
    }
    let length = begun.elapsed().as_secs_f64();
    let written = bytes_written()? - written;
    let commits = latencies.len();
    latencies.sort_unstable();
    let at = |part: f64| milliseconds(latencies[((commits - 1) as f64 * part) as usize]);
    print!(
        "| {name} | {existing} | {batch} | {:.0} | {:.0} | {:.2} | {:.2} | {:.0} | {:.1} KiB | {} | {:.1} |",
        commits as f64 / length,
        commits as f64 * batch as f64 / length,
        at(0.5),
        at(0.99),
        at(1.0),
        written as f64 / 1024.0 / commits as f64 / batch as f64,
        resident()? >> 10,
        milliseconds(clean_start),
    );
    std::io::Write::flush(&mut std::io::stdout())?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
    Ok(())
}

fn reopen<D: Candidate>(directory: &Path) -> Outcome<()> {
    let begun = Instant::now();
    let database = D::open(directory)?;
    let start = begun.elapsed();
    std::thread::sleep(Duration::from_secs(3));
    let idle = resident()? >> 10;
    let begun = Instant::now();
    let count = database.count()?;
    println!(" {:.1} | {idle} | {:.0} ({count}) |", milliseconds(start), milliseconds(begun.elapsed()));
    Ok(())
}

/// A database that is measured.
trait Candidate: Sized {
    fn open(directory: &Path) -> Outcome<Self>;
    fn commit(&mut self, writes: impl Iterator<Item = ([u8; 17], Vec<u8>)>) -> Outcome<()>;
    fn count(&self) -> Outcome<usize>;
}

struct Redb(redb::Database);

const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");

impl Candidate for Redb {
    fn open(directory: &Path) -> Outcome<Redb> {
        let mut builder = redb::Database::builder();
        Ok(Redb(builder.set_cache_size(CACHE).create(directory.join("redb"))?))
    }

    fn commit(&mut self, writes: impl Iterator<Item = ([u8; 17], Vec<u8>)>) -> Outcome<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in writes {
                table.insert(&key[..], &value[..])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn count(&self) -> Outcome<usize> {
        let transaction = self.0.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        let mut count = 0;
        for entry in table.iter()? {
            count += usize::from(!entry?.1.value().is_empty());
        }
        Ok(count)
    }
}

struct Fjall(fjall::Database, fjall::Keyspace);

impl Candidate for Fjall {
    fn open(directory: &Path) -> Outcome<Fjall> {
        let database = fjall::Database::builder(directory.join("fjall"))
            .cache_size(CACHE as u64)
            .worker_threads(1)
            .max_journaling_size(64 << 20)
            .open()?;
        let keyspace = database.keyspace("records", || {
            KeyspaceCreateOptions::default().manual_journal_persist(true).max_memtable_size(4 << 20)
        })?;
        Ok(Fjall(database, keyspace))
    }

    fn commit(&mut self, writes: impl Iterator<Item = ([u8; 17], Vec<u8>)>) -> Outcome<()> {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in writes {
            batch.insert(&self.1, key, value);
        }
        batch.commit()?;
        Ok(())
    }

    fn count(&self) -> Outcome<usize> {
        let mut count = 0;
        for entry in self.1.iter() {
            count += usize::from(!entry.value()?.is_empty());
        }
        Ok(count)
    }
}

/// The key of the record with this number: a kind, and bytes that look random.
fn key(number: u64) -> [u8; 17] {
    let mut key = [1; 17];
    key[1..9].copy_from_slice(&Random(number).next().to_be_bytes());
    key[9..].copy_from_slice(&number.to_be_bytes());
    key
}

/// SplitMix64, so that every run measures the same records.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn value(&mut self) -> Vec<u8> {
        let mut value = Vec::with_capacity(VALUE + 8);
        while value.len() < VALUE {
            value.extend_from_slice(&self.next().to_be_bytes());
        }
        value.truncate(VALUE);
        value
    }
}

fn milliseconds(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}

/// Resident memory of this process in KiB.
fn resident() -> Outcome<u64> {
    field(&std::fs::read_to_string("/proc/self/status")?, "VmRSS:")
}

/// Bytes that this process has caused to be written.
fn bytes_written() -> Outcome<u64> {
    field(&std::fs::read_to_string("/proc/self/io")?, "write_bytes:")
}

fn field(text: &str, name: &str) -> Outcome<u64> {
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such field")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}
