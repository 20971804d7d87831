//! `muster-bench`: measures Muster on the machine at hand, with release binaries, and prints one
//! `name: value unit` line per figure.

#![allow(clippy::panic, reason = "a benchmark that cannot go on says so and ends")]

mod application;
mod calls;
mod dag;
mod drivers;
mod failover;
mod figure;
mod fleet;
mod footprint;
mod latency;
mod load;
mod master_connections;
mod noop;
mod process;
mod queue;
mod scrape;
mod secured;
mod simulated;
mod submissions;
mod tasks;
mod through_etcd;
mod users;

use clap::{Parser, ValueEnum};
use failover::{ClusterSize, LeaderFault};
use figure::Figures;

/// Ten thousand simulated workers are on the same processors as the masters that are measured, and
/// glibc's allocator takes a quarter of their time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures Muster on this machine.
#[derive(Debug, Parser)]
#[command(version, about)]
struct BenchArguments {
    /// How figures are printed.
    #[arg(short, long, value_enum, default_value = "text")]
    output: OutputFormat,
    /// Measure only these. Without one named, all but `scrape`, `failover`, `fleet` and `etcd`, of
    /// which the last three need an etcd server.
    #[arg(value_enum)]
    only: Vec<Measurement>,
    /// Drivers of the long run of `drivers`.
    #[arg(long, default_value_t = 100_000)]
    long: usize,
    /// Faults of each kind of `failover`.
    #[arg(long, default_value_t = 30)]
    faults: usize,
    /// Only these kinds of `failover`; all when none is named.
    #[arg(long, value_enum)]
    fault: Vec<LeaderFault>,
    /// Workers of the second part of `failover`, and of `scrape` and `fleet`.
    #[arg(long, default_value_t = 1_000)]
    many: usize,
    /// Finished drivers that are kept in the last part of `failover`.
    #[arg(long, default_value_t = 100_000)]
    finished: usize,
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// One `name: value unit` line each.
    Text,
    /// One JSON object.
    Json,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Sizes of the binaries, start to ready, and idle resident memory.
    Footprint,
    /// One driver on an idle cluster.
    Latency,
    /// Durable submissions acknowledged.
    Submissions,
    /// Durable submissions over TLS with a token, against ones in the clear.
    Secured,
    /// What it costs a master to know its caller.
    Calls,
    /// Drivers submitted to finished.
    Drivers,
    /// Drivers that run as another user than the worker's, against its own. It needs root.
    Users,
    /// One application with 512 executors.
    Application,
    /// Submissions into a long queue before full workers.
    Queue,
    /// A scrape of the metrics of a leader with many workers.
    Scrape,
    /// Decisions and memory of an application's scheduler of tasks.
    Dag,
    /// Tasks on executors: their rate, the round trip of one, and the driver's memory.
    Tasks,
    /// From the loss of a leader to the next acknowledged submission and the next start.
    Failover,
    /// The same with a certificate for each of `--many` workers, until all are back.
    Fleet,
    /// Submissions and drivers through one etcd.
    Etcd,
}

fn main() {
    let arguments = BenchArguments::parse();
    let folder = tempfile::Builder::new().prefix("muster-bench-").tempdir().expect("a temporary folder can be made");
    tempfile::env::override_temp_dir(folder.path()).expect("nothing else has set it");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    runtime.block_on(measure(&arguments));
}

async fn measure(arguments: &BenchArguments) {
    let wanted = |subject| arguments.only.is_empty() || arguments.only.contains(&subject);
    let mut figures = Figures::new(arguments.output == OutputFormat::Json);
    if wanted(Measurement::Footprint) {
        footprint::measure(&mut figures).await;
    }
    if wanted(Measurement::Latency) {
        latency::measure(&mut figures).await;
    }
    if wanted(Measurement::Submissions) {
        submissions::measure(&mut figures).await;
    }
    if wanted(Measurement::Secured) {
        secured::measure(&mut figures).await;
    }
    if wanted(Measurement::Calls) {
        calls::measure(&mut figures).await;
    }
    if wanted(Measurement::Drivers) {
        drivers::measure(&mut figures, arguments.long).await;
    }
    if wanted(Measurement::Users) {
        users::measure(&mut figures).await;
    }
    if wanted(Measurement::Application) {
        application::measure(&mut figures).await;
    }
    if wanted(Measurement::Queue) {
        queue::measure(&mut figures).await;
    }
    if wanted(Measurement::Dag) {
        dag::measure(&mut figures);
    }
    if wanted(Measurement::Tasks) {
        tasks::measure(&mut figures).await;
    }
    let named = |subject| arguments.only.contains(&subject);
    if named(Measurement::Etcd) {
        through_etcd::measure(&mut figures).await;
    }
    if named(Measurement::Scrape) {
        scrape::measure(&mut figures, arguments.many).await;
    }
    if named(Measurement::Fleet) {
        fleet::measure(&mut figures, arguments.many).await;
    }
    if named(Measurement::Failover) {
        let sizes = [(1, 0), (arguments.many, 0), (1, arguments.finished)];
        let sizes = sizes.map(|(workers, finished)| ClusterSize { workers, finished });
        let kinds = if arguments.fault.is_empty() { LeaderFault::value_variants() } else { &arguments.fault };
        failover::measure(&mut figures, arguments.faults, kinds, &sizes).await;
    }
    figures.finish();
}
