//! Workers in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{
    AllocatedResources, ApplicationUid, AttemptKey, KilledBy, LABEL_PREFIX, Report, Session, Time, WallTime,
    WorkerName, WorkerRecord, WorkerState, WorkerUid, plain_label,
};

use crate::LinkId;
use crate::placement::{Eligibility, WorkerFacts};

/// A worker: its stored record, and state that is not durable.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) record: Arc<WorkerRecord>,
    /// The newest session whose hello was accepted.
    pub(crate) session: Option<Session>,
    /// The present stream.
    pub(crate) link: Option<LinkId>,
    /// Whether its inventory is complete on the present stream.
    pub(crate) reported: bool,
    /// Whether this leader has heard it.
    pub(crate) heard: bool,
    /// Whether this leader has had a complete inventory of it, and so knows what it may run.
    pub(crate) accounted: bool,
    /// The parts so far of an inventory that is not complete.
    pub(crate) inventory_parts: Vec<Report>,
    /// Attempts that records assign to it and that are not closed, with what each was given.
    pub(crate) assigned: BTreeMap<AttemptKey, AllocatedResources>,
    /// Other attempts that its inventory names, until they are reported as ended.
    pub(crate) unassigned: BTreeMap<AttemptKey, AllocatedResources>,
    /// Unassigned attempts that no record names, left running after the store's generation was
    /// raised.
    pub(crate) quarantined: BTreeSet<AttemptKey>,
    /// Quarantined attempts whose end was asked for, and by whom.
    pub(crate) marked_for_kill: BTreeMap<AttemptKey, KilledBy>,
    /// Attempts whose kill was sent on the present stream.
    pub(crate) kills: BTreeSet<AttemptKey>,
    /// When the deadline of its drain is. `drain_over` is set once it has passed.
    pub(crate) drain_until: Option<Time>,
    pub(crate) drain_over: bool,
    /// When its present stream began.
    pub(crate) connected: Option<WallTime>,
    /// Applications that ended while it was disconnected.
    pub(crate) ended_apps_to_announce: BTreeSet<ApplicationUid>,
}

impl Worker {
    pub(crate) fn new(record: Arc<WorkerRecord>) -> Worker {
        Worker {
            record,
            session: None,
            link: None,
            reported: false,
            heard: false,
            accounted: false,
            inventory_parts: Vec::new(),
            assigned: BTreeMap::new(),
            unassigned: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            marked_for_kill: BTreeMap::new(),
            kills: BTreeSet::new(),
            drain_until: None,
            drain_over: false,
            connected: None,
            ended_apps_to_announce: BTreeSet::new(),
        }
    }

    pub(crate) fn state(&self) -> WorkerState {
        if self.record.forgotten {
            WorkerState::Forgotten
        } else if self.record.lost {
            WorkerState::Lost
        } else if self.reported {
            WorkerState::Alive
        } else if self.heard {
            WorkerState::Disconnected
        } else {
            WorkerState::Unconfirmed
        }
    }

    /// Drops the present stream and everything that belongs to it. Returns the stream.
    pub(crate) fn drop_link(&mut self) -> Option<LinkId> {
        self.reported = false;
        self.inventory_parts = Vec::new();
        self.kills.clear();
        self.connected = None;
        self.link.take()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.record.drain.is_some()
    }

    /// The stream for commands, if there is one and the inventory on it is complete.
    pub(crate) fn ready_link(&self) -> Option<LinkId> {
        self.link.filter(|_| self.reported)
    }

    pub(crate) fn eligibility(&self) -> Eligibility {
        match self.state() {
            WorkerState::Alive if self.is_draining() => Eligibility::Draining,
            WorkerState::Alive => Eligibility::Ready,
            WorkerState::Disconnected => Eligibility::Disconnected,
            WorkerState::Unconfirmed => Eligibility::Unconfirmed,
            WorkerState::Lost | WorkerState::Forgotten => Eligibility::Lost,
        }
    }

    /// Names of the variables that a program has on this worker: its own, and two for each of its
    /// labels.
    pub(crate) fn defines(&self) -> impl Iterator<Item = String> + '_ {
        let names = |key: &String| [format!("{LABEL_PREFIX}{key}"), format!("{LABEL_PREFIX}{}", plain_label(key))];
        let labels = self.record.labels.keys().flat_map(names);
        self.record.variables.iter().cloned().chain(labels)
    }

    pub(crate) fn facts(&self) -> WorkerFacts {
        WorkerFacts {
            name: self.record.name.clone(),
            host: self.record.host.clone(),
            labels: self.record.labels.clone(),
            variables: self.defines().collect(),
            tree: self.record.capabilities.tree,
            owner_users: self.record.capabilities.owner_users,
            total: self.record.total.clone(),
        }
    }
}

/// Every worker, forgotten ones too.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    by_uid: BTreeMap<WorkerUid, Worker>,
    by_name: BTreeMap<WorkerName, WorkerUid>,
}

impl Workers {
    /// Inserts a worker, and gives it its name unless another worker that is not lost has the name.
    pub(crate) fn insert(&mut self, worker: Worker) {
        let uid = worker.record.uid;
        if self.name_holder(worker.record.name.as_str()).is_none_or(|holder| holder == uid) {
            self.by_name.insert(worker.record.name.clone(), uid);
        }
        self.by_uid.insert(uid, worker);
    }

    pub(crate) fn remove(&mut self, uid: WorkerUid) {
        let Some(worker) = self.by_uid.remove(&uid) else { return };
        if self.by_name.get(&worker.record.name) == Some(&uid) {
            self.by_name.remove(&worker.record.name);
        }
    }

    pub(crate) fn get(&self, uid: WorkerUid) -> Option<&Worker> {
        self.by_uid.get(&uid)
    }

    pub(crate) fn get_mut(&mut self, uid: WorkerUid) -> Option<&mut Worker> {
        self.by_uid.get_mut(&uid)
    }

    /// Finds a worker by uid, else by name. Some older records have a name in the form of a uid;
    /// those never hide the worker of that uid.
    pub(crate) fn find(&self, name: &str) -> Option<&Worker> {
        let by_uid = name.parse().ok().and_then(|uid| self.by_uid.get(&uid));
        by_uid.or_else(|| self.by_uid.get(self.by_name.get(name)?))
    }

    /// The worker that holds a name and is not lost.
    pub(crate) fn name_holder(&self, name: &str) -> Option<WorkerUid> {
        let worker = self.by_uid.get(self.by_name.get(name)?)?;
        (!worker.record.lost && !worker.record.forgotten && worker.record.name.as_str() == name)
            .then_some(worker.record.uid)
    }

    /// Gives a name to a worker whose name changed, or that returned.
    pub(crate) fn rename(&mut self, uid: WorkerUid, old: &WorkerName, new: &WorkerName) {
        if old != new && self.by_name.get(old) == Some(&uid) {
            self.by_name.remove(old);
        }
        self.by_name.insert(new.clone(), uid);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.by_uid.values()
    }
}
