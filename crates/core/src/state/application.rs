//! Applications in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use muster_types::{
    ApplicationId, ApplicationRecord, ApplicationState, ApplicationUid, AttemptKey, ExecutorId, ExecutorProfile,
    ExecutorState, ExecutorsRecord, Outcome, ProfileId, Time, WorkerUid,
};

use super::Executor;
use crate::SessionNumber;
use crate::placement::Shape;

/// The number of executors of one profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ExecutorCounts {
    pub(crate) running: u32,
    pub(crate) launching: u32,
    /// Executors that count towards the target.
    pub(crate) counted: u32,
}

/// An application: its stored record, and state that is not durable.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) record: Arc<ApplicationRecord>,
    /// The number of the newest session.
    pub(crate) session: SessionNumber,
    /// Whether that session is open.
    pub(crate) connected: bool,
    /// Whether its session is broken, or has not been opened under this leader. No executor is
    /// replaced meanwhile.
    pub(crate) away: bool,
    /// When the grace of the session ends, while none is open.
    pub(crate) grace: Option<Time>,
    /// Whether its executors are leased: they are if the driver's attempt is.
    pub(crate) leased: bool,
    /// Whether the remaining executors of an ending application are to be killed now.
    pub(crate) kill_rest: bool,
    /// All executors that are kept. Changed only through [`Application::change`], which maintains
    /// the counts.
    executors: BTreeMap<ExecutorId, Executor>,
    pub(crate) open: BTreeSet<ExecutorId>,
    /// Ended executors that are kept, the longest ended first.
    pub(crate) finished: VecDeque<ExecutorId>,
    counts: BTreeMap<ProfileId, ExecutorCounts>,
    cores: u64,
    pub(crate) next_executor: ExecutorId,
    pub(crate) next_record: u64,
    /// Stored records by sequence, with the executors that each names.
    pub(crate) records: BTreeMap<u64, Vec<ExecutorId>>,
    /// The number of entries in all these records.
    pub(crate) entries: usize,
    /// Losses in a row without a long enough run.
    pub(crate) losses: u32,
    pub(crate) backoff: Option<Time>,
    /// Workers that were given an executor of it.
    pub(crate) hosts: BTreeSet<WorkerUid>,
    pub(crate) shapes: BTreeMap<ProfileId, Arc<Shape>>,
    /// The number of missing executors that the session was last told, so that each is told once.
    pub(crate) told_pending: BTreeMap<ProfileId, u32>,
}

impl Application {
    pub(crate) fn new(record: Arc<ApplicationRecord>, leased: bool) -> Application {
        Application {
            session: SessionNumber(0),
            connected: false,
            away: false,
            grace: None,
            leased,
            kill_rest: false,
            executors: BTreeMap::new(),
            open: BTreeSet::new(),
            finished: VecDeque::new(),
            counts: BTreeMap::new(),
            cores: 0,
            next_executor: record.next_executor,
            next_record: record.next_executors_record,
            records: BTreeMap::new(),
            entries: 0,
            losses: 0,
            backoff: None,
            hosts: BTreeSet::new(),
            shapes: BTreeMap::new(),
            told_pending: BTreeMap::new(),
            record,
        }
    }

    /// Loads an application from its records, those of its executors in the order of their
    /// sequence.
    pub(crate) fn load(
        record: Arc<ApplicationRecord>,
        leased: bool,
        stored: impl IntoIterator<Item = Arc<ExecutorsRecord>>,
    ) -> Application {
        let mut application = Application::new(record, leased);
        for record in stored {
            application.next_record = application.next_record.max(record.sequence + 1);
            application.entries += record.executors.len();
            let ids = record.executors.iter().map(|executor| executor.id).collect();
            application.records.insert(record.sequence, ids);
            for executor in &record.executors {
                let mut executor = Executor::new(Arc::new(executor.clone()));
                executor.stored_in = record.sequence;
                application.add(executor);
            }
        }
        let ended = application.executors().filter(|executor| !executor.is_open());
        let mut ended: Vec<_> = ended.map(|executor| (executor.record.ended, executor.record.id)).collect();
        ended.sort_unstable();
        application.finished = ended.into_iter().map(|(_, id)| id).collect();
        application
    }

    /// The present state.
    pub(crate) fn live(&self) -> ApplicationState {
        match self.record.state {
            ApplicationState::Waiting | ApplicationState::Running | ApplicationState::Disconnected if self.away => {
                ApplicationState::Disconnected
            }
            ApplicationState::Waiting | ApplicationState::Running | ApplicationState::Disconnected => {
                if self.counts.values().any(|counts| counts.running > 0) {
                    ApplicationState::Running
                } else {
                    ApplicationState::Waiting
                }
            }
            ending @ (ApplicationState::Ending
            | ApplicationState::Finished
            | ApplicationState::Failed
            | ApplicationState::Killed) => ending,
        }
    }

    /// Whether it has ended, or is about to.
    pub(crate) fn is_over(&self) -> bool {
        self.record.state.is_terminal() || self.record.state == ApplicationState::Ending
    }

    pub(crate) fn profile(&self, id: ProfileId) -> Option<&ExecutorProfile> {
        self.record.spec.profiles.get(&id).or_else(|| self.record.added_profiles.get(&id))
    }

    pub(crate) fn profiles(&self) -> impl Iterator<Item = &ExecutorProfile> {
        self.record.spec.profiles.values().chain(self.record.added_profiles.values())
    }

    pub(crate) fn target(&self, profile: ProfileId) -> u32 {
        self.record.targets.get(&profile).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self, profile: ProfileId) -> ExecutorCounts {
        self.counts.get(&profile).copied().unwrap_or_default()
    }

    pub(crate) fn cores(&self) -> u64 {
        self.cores
    }

    pub(crate) fn executor(&self, id: ExecutorId) -> Option<&Executor> {
        self.executors.get(&id)
    }

    /// The outcome of the executor that ended last.
    pub(crate) fn last_ended(&self) -> Option<&Outcome> {
        let newest = self.executor(*self.finished.back()?)?;
        newest.record.outcome.as_ref()
    }

    pub(crate) fn executors(&self) -> impl Iterator<Item = &Executor> {
        self.executors.values()
    }

    pub(crate) fn key(&self, id: ExecutorId) -> AttemptKey {
        AttemptKey::Executor(self.record.uid, id)
    }

    /// Adds an executor, or replaces it.
    pub(crate) fn add(&mut self, executor: Executor) {
        let id = executor.record.id;
        self.hosts.insert(executor.record.worker);
        if self.next_executor <= id {
            self.next_executor = ExecutorId(id.0.saturating_add(1));
        }
        self.discount(id);
        self.executors.insert(id, executor);
        self.recount(id);
    }

    /// Changes an executor and counts it anew.
    pub(crate) fn change(&mut self, id: ExecutorId, change: impl FnOnce(&mut Executor)) {
        self.discount(id);
        if let Some(executor) = self.executors.get_mut(&id) {
            change(executor);
        }
        self.recount(id);
    }

    pub(crate) fn remove(&mut self, id: ExecutorId) {
        self.discount(id);
        self.executors.remove(&id);
    }

    fn discount(&mut self, id: ExecutorId) {
        let Some(executor) = self.executors.get(&id) else { return };
        let counts = self.counts.entry(executor.record.profile).or_default();
        counts.running -= u32::from(executor.live == ExecutorState::Running);
        counts.launching -= u32::from(executor.live == ExecutorState::Launching);
        counts.counted -= u32::from(executor.counts());
        self.cores -= executor.cores();
        self.open.remove(&id);
    }

    fn recount(&mut self, id: ExecutorId) {
        let Some(executor) = self.executors.get(&id) else { return };
        let counts = self.counts.entry(executor.record.profile).or_default();
        counts.running += u32::from(executor.live == ExecutorState::Running);
        counts.launching += u32::from(executor.live == ExecutorState::Launching);
        counts.counted += u32::from(executor.counts());
        self.cores += executor.cores();
        if executor.is_open() {
            self.open.insert(id);
        }
    }
}

/// Every application that is kept.
#[derive(Debug, Default)]
pub(crate) struct Applications {
    by_uid: BTreeMap<ApplicationUid, Application>,
    by_name: BTreeMap<ApplicationId, ApplicationUid>,
}

impl Applications {
    pub(crate) fn insert(&mut self, application: Application) {
        self.by_name.insert(application.record.id.clone(), application.record.uid);
        self.by_uid.insert(application.record.uid, application);
    }

    /// Inserts a loaded application. The result does not depend on the order of loading: of two
    /// applications that had a name, the later one has it.
    pub(crate) fn load(&mut self, application: Application) {
        let place = |application: &Application| (application.record.created, application.record.uid);
        let holder = self.by_name.get(&application.record.id).and_then(|uid| self.by_uid.get(uid));
        if holder.is_none_or(|holder| place(holder) <= place(&application)) {
            return self.insert(application);
        }
        self.by_uid.insert(application.record.uid, application);
    }

    pub(crate) fn remove(&mut self, uid: ApplicationUid) -> Option<Application> {
        let application = self.by_uid.remove(&uid)?;
        // A later application of the same driver may have the name now.
        if self.by_name.get(&application.record.id) == Some(&uid) {
            self.by_name.remove(&application.record.id);
        }
        Some(application)
    }

    pub(crate) fn get(&self, uid: ApplicationUid) -> Option<&Application> {
        self.by_uid.get(&uid)
    }

    pub(crate) fn get_mut(&mut self, uid: ApplicationUid) -> Option<&mut Application> {
        self.by_uid.get_mut(&uid)
    }

    /// Finds an application by uid, else by name. Some older records have a name in the form of a
    /// uid; those never hide the application of that uid.
    pub(crate) fn find(&self, name: &str) -> Option<&Application> {
        let by_uid = name.parse().ok().and_then(|uid| self.by_uid.get(&uid));
        by_uid.or_else(|| self.by_uid.get(self.by_name.get(name)?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Application> {
        self.by_uid.values()
    }
}
