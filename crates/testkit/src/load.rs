//! Drivers of every policy, submitted one after the other while parts are lost, and the check of
//! what became of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_client::{CallError, Client, Verdict};
use muster_proto::v1::driver::State;
use muster_proto::v1::{KillDriverRequest, RestartCondition};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::is_terminal;
use crate::{HaCluster, HistoryChecker, Submit};

/// The kinds of drivers in a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Runs at most once, wherever its worker is: restart never, not leased.
    Once,
    /// Leased, and run again when its worker is lost.
    Leased,
    /// Leased, and longer than any one fault.
    LeasedLong,
    /// Never ends by itself: the load asks for its kill.
    Killed,
}

const KINDS: [Kind; 8] =
    [Kind::Once, Kind::Leased, Kind::Once, Kind::Killed, Kind::Leased, Kind::LeasedLong, Kind::Once, Kind::Leased];
/// The kill of a driver is asked for after this many further submissions.
const KILL_AFTER: usize = 8;

/// A load that goes on until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<usize>,
    task: JoinHandle<Loaded>,
}

/// The result of a load.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every acknowledged submission.
    pub acknowledged: BTreeMap<String, Kind>,
    /// Every acknowledged kill.
    pub killed: BTreeSet<String>,
    /// Submissions that failed for good, and whether they are surely not applied.
    pub failed: BTreeMap<String, Verdict>,
    /// Errors that callers got meanwhile.
    pub errors: Vec<CallError>,
}

impl Load {
    /// Submits one driver per `pace`, at most 10,000.
    pub fn start(client: Client, checker: &HistoryChecker, pace: Duration) -> Load {
        let (stop, mut stopping) = watch::channel(false);
        let (count, acknowledged) = watch::channel(0);
        let checker = checker.clone();
        let task = tokio::spawn(async move {
            let mut loaded = Loaded::default();
            let mut beat = tokio::time::interval(pace);
            for number in 0..10_000 {
                tokio::select! {
                    _ = beat.tick() => {}
                    _ = stopping.changed() => break,
                }
                loaded.submit(&client, &checker, number).await;
                count.send_replace(loaded.acknowledged.len());
                if let Some(earlier) = number.checked_sub(KILL_AFTER) {
                    loaded.kill(&client, earlier).await;
                }
            }
            loaded
        });
        Load { stop, acknowledged, task }
    }

    /// How many submissions are acknowledged by now.
    pub fn count(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Waits until this many more submissions are acknowledged.
    ///
    /// # Panics
    ///
    /// When it takes longer than a minute, or the load has failed.
    pub async fn wait_for_more(&mut self, more: usize) {
        let goal = self.count() + more;
        let reached = self.acknowledged.wait_for(|count| *count >= goal);
        let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
        reached.expect("submissions are acknowledged again").expect("the load goes on");
    }

    /// Stops the load.
    pub async fn stop(self) -> Loaded {
        self.stop.send_replace(true);
        self.task.await.expect("the load goes on")
    }
}

impl Loaded {
    async fn submit(&mut self, client: &Client, checker: &HistoryChecker, number: usize) {
        let (id, kind) = (format!("load-{number}"), KINDS[number % KINDS.len()]);
        match client.submit_driver(of_kind(checker, kind).id(&id).0).await {
            Ok(driver) => {
                assert_eq!(driver.driver_id, id);
                self.acknowledged.insert(id, kind);
            }
            Err(error) => {
                self.failed.insert(id, error.verdict);
                self.errors.push(error);
            }
        }
    }

    async fn kill(&mut self, client: &Client, number: usize) {
        let id = format!("load-{number}");
        if self.acknowledged.get(&id) != Some(&Kind::Killed) {
            return;
        }
        match client.kill_driver(KillDriverRequest { driver_id: id.clone(), ..Default::default() }).await {
            Ok(_) => {
                self.killed.insert(id);
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// Waits for the end of every acknowledged driver, and checks them all.
    ///
    /// # Panics
    ///
    /// When something acknowledged was lost, ran twice where that is not allowed, overlapped, or
    /// outlived its kill.
    pub async fn check(&self, cluster: &HaCluster) {
        self.check_by(cluster, false).await;
    }

    /// Does the same where workers were disconnected for longer than the worker timeout: a leased
    /// driver whose end there was not heard has run once more, *after* that.
    pub async fn check_with_lost_workers(&self, cluster: &HaCluster) {
        self.check_by(cluster, true).await;
    }

    async fn check_by(&self, cluster: &HaCluster, were_lost: bool) {
        let client = cluster.client();
        for (id, kind) in &self.acknowledged {
            if *kind == Kind::Killed && !self.killed.contains(id) {
                let request = KillDriverRequest { driver_id: id.clone(), ..Default::default() };
                client.kill_driver(request).await.expect("the kill is accepted");
            }
        }
        let mut ended = BTreeMap::new();
        for id in self.acknowledged.keys() {
            ended.insert(id, cluster.wait_for_driver(id, "its end", |driver| is_terminal(driver.state())).await);
        }
        let copies = cluster.checker.copies();
        for (id, kind) in &self.acknowledged {
            let copies = copies.get(id).map_or(&[][..], Vec::as_slice);
            let (driver, finished) = (&ended[id], copies.iter().filter(|copy| copy.ended).count());
            let alive = cluster.checker.alive(id);
            assert!(alive.is_empty(), "{id} has ended and its processes {alive:?} have not: {driver:?}");
            match kind {
                Kind::Once => {
                    assert_eq!(driver.state(), State::Finished, "{driver:?} {copies:?}");
                    // Copies count, not attempts: an attempt that its agent accepted and never
                    // started, because the agent was restarted, is no copy.
                    assert_eq!((copies.len(), finished), (1, 1), "{driver:?} {copies:?}");
                }
                Kind::Leased | Kind::LeasedLong => {
                    assert_eq!(driver.state(), State::Finished, "{driver:?} {copies:?}");
                    assert!(copies.last().is_some_and(|copy| copy.ended), "{driver:?} {copies:?}");
                    assert!(finished == 1 || were_lost, "{driver:?} {copies:?}");
                }
                Kind::Killed => {
                    assert_eq!(driver.state(), State::Killed, "{driver:?}");
                    assert_eq!(finished, 0, "{driver:?} {copies:?}");
                }
            }
        }
        let surely_not = |id: &String| self.failed.get(id) == Some(&Verdict::NotApplied);
        if let Some(id) = copies.keys().find(|id| surely_not(id)) {
            panic!("{id} ran though its caller was told that it was not accepted");
        }
    }
}

fn of_kind(checker: &HistoryChecker, kind: Kind) -> Submit {
    match kind {
        Kind::Once => checker.lasting(150).restart(RestartCondition::Never),
        Kind::Leased => checker.lasting(150).restart(RestartCondition::OnFailure).leased(),
        Kind::LeasedLong => checker.lasting(1500).restart(RestartCondition::OnFailure).leased(),
        Kind::Killed => checker.until("never").restart(RestartCondition::Never).grace(200),
    }
}
