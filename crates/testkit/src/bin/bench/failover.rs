//! From a fault to the next acknowledged submission and to the next started process: 30 faults of
//! each kind, with few workers and with many.
//!
//! Submissions come from four clients, each of which sends one after the other, as programs do.
//! After a leader that is gone at once, the first acknowledgement of a submission sent after the
//! fault counts: only the next leader can give it. A leader that goes in order acknowledges until
//! it has gone; then the longest time without any acknowledgement counts.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use muster_client::Client;
use muster_proto::v1::StepDownRequest;
use muster_testkit::{ClusterSpec, HaCluster, Submit, eventually};
use tokio::task::JoinSet;

use crate::figure::Figures;
use crate::load::{self, CONNECTIONS, connect};
use crate::simulated::{self, Play, SimulatedWorkers};

/// Pause between two submissions of one client.
const PACE: Duration = Duration::from_millis(2);
const CLIENTS: usize = 4;
/// How long a failover may take at most.
const BOUND: Duration = Duration::from_secs(120);

/// What happens to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeaderFault {
    /// Its process is killed.
    Kill,
    /// Its process is killed, and a worker at the same time.
    KillWithWorker,
    /// Its process is stopped for longer than its lease.
    Pause,
    /// It is told to end.
    Terminate,
    /// It is told to hand over.
    StepDown,
}

impl LeaderFault {
    fn name(self) -> &'static str {
        match self {
            LeaderFault::Kill => "leader kill -9",
            LeaderFault::KillWithWorker => "leader and a worker killed",
            LeaderFault::Pause => "leader paused",
            LeaderFault::Terminate => "leader SIGTERM",
            LeaderFault::StepDown => "step-down",
        }
    }

    /// Whether the leader goes on acknowledging until another leads.
    fn is_in_order(self) -> bool {
        match self {
            LeaderFault::Kill | LeaderFault::KillWithWorker | LeaderFault::Pause => false,
            LeaderFault::Terminate | LeaderFault::StepDown => true,
        }
    }
}

/// A cluster of a size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClusterSize {
    /// Simulated workers.
    pub(crate) workers: usize,
    /// Finished drivers that are kept.
    pub(crate) finished: usize,
}

impl std::fmt::Display for ClusterSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} workers", self.workers)?;
        if self.finished > 0 { write!(f, " and {} finished drivers", self.finished) } else { Ok(()) }
    }
}

pub(crate) async fn measure(figures: &mut Figures, faults: usize, kinds: &[LeaderFault], sizes: &[ClusterSize]) {
    for size in sizes {
        let mut stage = BenchCluster::set(*size).await;
        for fault in kinds.iter().copied() {
            let (mut acknowledged, mut started) = (Vec::new(), Vec::new());
            for _ in 0..faults {
                let (ack, start) = stage.round(fault).await;
                acknowledged.push(ack);
                started.push(start);
            }
            let name = |what| format!("{}, {size}, {what}", fault.name());
            let what = if fault.is_in_order() { "longest gap in acknowledgements" } else { "submission acknowledged" };
            tell(figures, &name(what), acknowledged);
            tell(figures, &name("process started"), started);
        }
    }
}

fn tell(figures: &mut Figures, name: &str, mut times: Vec<Duration>) {
    times.sort();
    for (quantile, at) in [("p50", times.len() / 2), ("p99", times.len() * 99 / 100)] {
        figures.add(format!("{name}, {quantile}"), times[at.min(times.len() - 1)].as_secs_f64() * 1e3, "ms");
    }
}

/// When a submission was sent, and when it was acknowledged.
type Acks = Arc<Mutex<Vec<(Instant, Instant)>>>;

struct BenchCluster {
    cluster: HaCluster,
    addresses: Vec<String>,
    count: usize,
    workers: SimulatedWorkers,
    /// The worker that is killed with the leader.
    victim: SimulatedWorkers,
    acks: Acks,
    _clients: JoinSet<()>,
}

impl BenchCluster {
    async fn set(ClusterSize { workers: count, finished }: ClusterSize) -> BenchCluster {
        let spec = ClusterSpec { workers: 0, master_args: Vec::new(), ..ClusterSpec::default() };
        let cluster = HaCluster::start(spec).await;
        cluster.wait_for_masters(3).await;
        let addresses: Vec<_> = cluster.masters().iter().map(|name| cluster.address(name)).collect();
        let workers = simulated::workers(&addresses, 0, count, 64, Play::Ended).await;
        let victim = simulated::workers(&addresses, count, 1, 64, Play::Ended).await;
        let (leader, _) = cluster.leader().await;
        let connections = connect(&cluster.address(&leader), CONNECTIONS).await;
        load::submit(&connections, &Submit::program(&["/bin/true"]).resources(1, 16 << 20), finished, 8).await;
        let launched = async || (workers.launched() + victim.launched() >= finished).then_some(());
        eventually("the launches", BOUND, launched).await;
        let acks = Acks::default();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(submit(cluster.client(), acks.clone()));
        }
        BenchCluster { cluster, addresses, count, workers, victim, acks, _clients: clients }
    }

    /// One fault, and the return to normal. Returns the time until an acknowledgement, and until a
    /// start.
    async fn round(&mut self, fault: LeaderFault) -> (Duration, Duration) {
        self.cluster.wait_for_masters(3).await;
        self.workers.wait_for_welcomes(self.count).await;
        self.victim.wait_for_welcomes(1).await;
        self.acks.lock().expect("nobody panics with it").clear();
        self.wait_for_acks(Instant::now(), 50).await;
        let (leader, (_, revision)) = self.cluster.leader().await;
        let mut launches = self.workers.launches();

        let begin = Instant::now();
        match fault {
            LeaderFault::Kill => self.cluster.kill(&leader),
            LeaderFault::KillWithWorker => {
                self.victim.kill();
                self.cluster.kill(&leader);
            }
            LeaderFault::Pause => self.cluster.pause(&leader),
            LeaderFault::Terminate => self.cluster.terminate(&leader),
            LeaderFault::StepDown => {
                let stepped = self.cluster.client().step_down(StepDownRequest::default()).await;
                stepped.expect("another takes over");
            }
        }
        let by_the_next = |seen: &Option<(Instant, u64)>| seen.is_some_and(|(_, of)| of > revision);
        let seen = tokio::time::timeout(BOUND, launches.wait_for(by_the_next)).await;
        let seen = seen.expect("a process is started").expect("the workers live");
        let (at, _) = seen.as_ref().copied().expect("it was waited for");
        drop(seen);
        self.wait_for_acks(Instant::now(), 20).await;
        let acknowledged = self.acknowledged(fault, begin);

        match fault {
            LeaderFault::Kill | LeaderFault::Terminate => self.cluster.start_master(&leader),
            LeaderFault::KillWithWorker => {
                self.cluster.start_master(&leader);
                self.victim = simulated::workers(&self.addresses, self.count, 1, 64, Play::Ended).await;
            }
            LeaderFault::Pause => self.cluster.resume(&leader),
            LeaderFault::StepDown => {}
        }
        (acknowledged, at.duration_since(begin))
    }

    fn acknowledged(&self, fault: LeaderFault, begin: Instant) -> Duration {
        let mut acks = self.acks.lock().expect("nobody panics with it").clone();
        acks.sort_by_key(|(_, acknowledged)| *acknowledged);
        if fault.is_in_order() {
            let gaps = acks.windows(2).filter(|pair| pair[1].1 >= begin).map(|pair| pair[1].1 - pair[0].1);
            return gaps.max().expect("there were acknowledgements");
        }
        let first = acks.iter().find(|(sent, _)| *sent >= begin).expect("there were acknowledgements");
        first.1 - begin
    }

    /// Waits for this many acknowledgements of submissions that were sent after `after`.
    async fn wait_for_acks(&self, after: Instant, count: usize) {
        let enough = async || {
            let acks = self.acks.lock().expect("nobody panics with it");
            (acks.iter().filter(|(sent, _)| *sent >= after).count() >= count).then_some(())
        };
        eventually("acknowledgements", BOUND, enough).await;
    }
}

async fn submit(client: Client, acks: Acks) {
    let driver = Submit::program(&["/bin/true"]).resources(1, 16 << 20);
    loop {
        let sent = Instant::now();
        client.submit_driver(driver.0.clone()).await.expect("every submission is acknowledged in the end");
        acks.lock().expect("nobody panics with it").push((sent, Instant::now()));
        tokio::time::sleep(PACE).await;
    }
}
