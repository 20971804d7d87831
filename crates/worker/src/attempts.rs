//! The attempts of this worker as the runner last reported them: for the agent's service, for logs
//! and for cleaning up. This is a copy; the runner has the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use muster_types::{Acknowledgement, ApplicationUid, AttemptKey, AttemptState, DEFAULT_LOG_LIMIT, Report};
use tokio::sync::{Notify, watch};

/// What an agent must know of an attempt that the runner does not keep for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentFacts {
    /// Whether it ends with the lease.
    pub leased: bool,
    /// Bytes that are kept of each output file; 0: not bounded.
    pub log_limit: u64,
}

impl Default for AgentFacts {
    fn default() -> AgentFacts {
        AgentFacts { leased: false, log_limit: DEFAULT_LOG_LIMIT }
    }
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct KnownAttempt {
    /// The newest report.
    pub report: Report,
    /// What else is known.
    pub facts: AgentFacts,
}

/// Most ended attempts that are remembered for a last look at their logs. The janitor takes them
/// every second, unless the file system hangs; what is beyond is removed with its age.
const MAX_ENDED: usize = 16_384;

/// The attempts. Cheap to clone: all clones are one table.
#[derive(Debug, Clone)]
pub struct Attempts(Arc<AttemptMap>);

#[derive(Debug)]
struct AttemptMap {
    known: Mutex<BTreeMap<AttemptKey, KnownAttempt>>,
    /// What has ended since it was last asked for.
    ended: Mutex<BTreeMap<AttemptKey, u64>>,
    /// What runs since it was last asked for, with the bound of its logs.
    started: Mutex<BTreeMap<AttemptKey, u64>>,
    has_started: Notify,
    changes: watch::Sender<u64>,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts(Arc::new(AttemptMap {
            known: Mutex::default(),
            ended: Mutex::default(),
            started: Mutex::default(),
            has_started: Notify::new(),
            changes: watch::Sender::new(0),
        }))
    }
}

impl Attempts {
    /// Takes the runner's inventory in place of everything. `facts` says what is known of an
    /// attempt that an earlier agent launched.
    pub fn replace(&self, inventory: Vec<Report>, facts: impl Fn(&AttemptKey) -> AgentFacts) {
        let mut table = self.lock();
        let old = std::mem::take(&mut *table);
        for report in inventory {
            let facts = old.get(&report.attempt).map_or_else(|| facts(&report.attempt), |known| known.facts);
            let is_news = old.get(&report.attempt).is_none_or(|known| !has_ended(&known.report));
            let known = KnownAttempt { report, facts };
            self.note_end(is_news, &known);
            self.note_start(old.get(&known.report.attempt), &known);
            table.insert(known.report.attempt, known);
        }
        drop(table);
        self.tell();
    }

    /// Takes new reports. `facts` says what is known of an attempt that is seen for the first time.
    pub fn take(&self, reports: &[Report], facts: impl Fn(&AttemptKey) -> AgentFacts) {
        let mut table = self.lock();
        for report in reports {
            let known = table.get(&report.attempt);
            if known.is_some_and(|known| known.report.sequence >= report.sequence) {
                continue;
            }
            let facts = known.map_or_else(|| facts(&report.attempt), |known| known.facts);
            let is_news = known.is_none_or(|known| !has_ended(&known.report));
            let was = known;
            let known = KnownAttempt { report: report.clone(), facts };
            self.note_end(is_news, &known);
            self.note_start(was, &known);
            table.insert(report.attempt, known);
        }
        drop(table);
        self.tell();
    }

    /// Whether the attempt is known to have ended.
    pub fn has_ended(&self, attempt: &AttemptKey) -> bool {
        self.lock().get(attempt).is_some_and(|known| has_ended(&known.report))
    }

    /// Whether the attempt is known, ended or not.
    pub fn knows(&self, attempt: &AttemptKey) -> bool {
        self.lock().contains_key(attempt)
    }

    /// Forgets an attempt whose end is durable.
    pub fn forget(&self, acknowledgement: &Acknowledgement) {
        self.lock().remove(&acknowledgement.attempt);
        self.tell();
    }

    /// Everything known.
    pub fn all(&self) -> Vec<KnownAttempt> {
        self.lock().values().cloned().collect()
    }

    /// Whether anything of the attempt may still run.
    pub fn may_run(&self, attempt: &AttemptKey) -> bool {
        self.lock().get(attempt).is_some_and(|known| !has_ended(&known.report))
    }

    /// The attempts that may still run.
    pub fn running(&self) -> Vec<KnownAttempt> {
        self.lock().values().filter(|known| !has_ended(&known.report)).cloned().collect()
    }

    /// The attempts that have ended since the last call, with the bound of their logs; those that
    /// were forgotten meanwhile, too.
    pub fn take_ended(&self) -> BTreeMap<AttemptKey, u64> {
        std::mem::take(&mut *self.ended())
    }

    /// Waits until attempts run that did not, and takes them, with the bound of their logs.
    pub async fn take_started(&self) -> BTreeMap<AttemptKey, u64> {
        self.0.has_started.notified().await;
        std::mem::take(&mut *self.started())
    }

    /// Those of these attempts that may still run, with the bound of their logs.
    pub fn log_limits(&self, attempts: &[AttemptKey]) -> Vec<(AttemptKey, u64)> {
        let known = self.lock();
        let limit = |attempt: &AttemptKey| {
            let known = known.get(attempt).filter(|known| !has_ended(&known.report))?;
            Some((*attempt, known.facts.log_limit))
        };
        attempts.iter().filter_map(limit).collect()
    }

    /// Remembers what runs now and did not, until it is asked for. What finds no room is looked at
    /// with all others.
    fn note_start(&self, was: Option<&KnownAttempt>, known: &KnownAttempt) {
        let runs = |known: &KnownAttempt| known.report.state == AttemptState::Running;
        let mut started = self.started();
        if runs(known) && !was.is_some_and(runs) && started.len() < MAX_ENDED {
            started.insert(known.report.attempt, known.facts.log_limit);
            self.0.has_started.notify_one();
        }
    }

    fn started(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, u64>> {
        self.0.started.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Remembers an end until it is asked for.
    fn note_end(&self, is_news: bool, known: &KnownAttempt) {
        let mut ended = self.ended();
        if is_news && has_ended(&known.report) && ended.len() < MAX_ENDED {
            ended.insert(known.report.attempt, known.facts.log_limit);
        }
    }

    fn ended(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, u64>> {
        self.0.ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether any executor of the application may still run.
    pub fn has_executor_of(&self, application: ApplicationUid) -> bool {
        self.lock().iter().any(|(attempt, known)| {
            matches!(attempt, AttemptKey::Executor(uid, _) if *uid == application) && !has_ended(&known.report)
        })
    }

    /// Changes with each change of the table.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn tell(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, KnownAttempt>> {
        self.0.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn has_ended(report: &Report) -> bool {
    matches!(report.state, AttemptState::Ended(_))
}
