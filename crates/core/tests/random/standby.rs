//! A standby that follows the store, late and key by key, must lead like a master that loads
//! everything.

use std::collections::BTreeMap;

use muster_core::{Config, Core, Follower, Group, Term, ViewUpdate};
use muster_types::{Snapshot, Write};

use crate::Rng;
use crate::support::world::{Counter, World, cluster};

/// Follows the store of a run. It has random numbers of its own, so that the run does not depend on
/// it.
pub(crate) struct Standby {
    follower: Follower,
    /// Writes that the follower has not had yet: deletions are applied first, then the newest write
    /// of each key.
    deleted: BTreeMap<String, Write>,
    put: BTreeMap<String, Write>,
    shown: ViewText,
    rng: Rng,
}

impl Standby {
    pub(crate) fn new(seed: u64) -> Standby {
        Standby {
            follower: Follower::new(Config::default()),
            deleted: BTreeMap::new(),
            put: BTreeMap::new(),
            shown: ViewText::default(),
            rng: Rng(seed | 1),
        }
    }

    /// Starts again with a whole snapshot.
    pub(crate) fn reset(&mut self, config: Config, snapshot: Snapshot) {
        self.follower = Follower::new(config);
        (self.deleted, self.put, self.shown) = <_>::default();
        snapshot.into_writes().for_each(|write| self.note(&write));
    }

    /// Notes the writes of a durable group.
    pub(crate) fn observe(&mut self, group: &Group) {
        group.writes.iter().for_each(|write| self.note(write));
        if self.rng.roll(5) == 0 {
            self.catch_up();
        }
    }

    fn note(&mut self, write: &Write) {
        let (key, is_put) = key(write);
        let (to, from) = if is_put { (&mut self.put, &mut self.deleted) } else { (&mut self.deleted, &mut self.put) };
        from.remove(&key);
        to.insert(key, write.clone());
    }

    fn catch_up(&mut self) {
        let deleted = std::mem::take(&mut self.deleted).into_values();
        deleted.chain(std::mem::take(&mut self.put).into_values()).for_each(|write| self.follower.follow(write));
        self.shown.take(self.follower.view_updates());
    }

    /// Makes a leader of the follower and one by a load. Both must be equal, and show readers the
    /// same.
    pub(crate) fn compare(mut self, world: &World) {
        self.catch_up();
        let (snapshot, now) = (world.ledger.fold.snapshot(), world.now);
        let term = Term { cluster: cluster(world.generation), commit: snapshot.commit, is_damaged: false };
        let entropy = || Counter(world.entropy.0);
        let mut loaded = Core::load(world.config.clone(), term.cluster.clone(), snapshot, now, &mut entropy());
        let mut followed = self.follower.lead(term, now, &mut entropy());
        let mut shown = ViewText::default();
        shown.take(loaded.drain().into_iter().flat_map(Group::into_view_updates));
        self.shown.take(followed.drain().into_iter().flat_map(Group::into_view_updates));
        assert_eq!(shown.0, self.shown.0);
        assert_eq!(format!("{loaded:#?}"), format!("{followed:#?}"));
    }
}

/// The view of readers, as text.
#[derive(Default)]
struct ViewText(BTreeMap<String, String>);

impl ViewText {
    fn take(&mut self, updates: impl Iterator<Item = ViewUpdate>) {
        for update in updates {
            let (key, text) = match &update {
                ViewUpdate::Driver(shown) => (format!("driver {}", shown.record.uid), Some(format!("{shown:?}"))),
                ViewUpdate::DriverGone(uid) => (format!("driver {uid}"), None),
                ViewUpdate::Application(shown) => {
                    (format!("application {}", shown.record.uid), Some(format!("{shown:?}")))
                }
                ViewUpdate::ApplicationGone(uid) => (format!("application {uid}"), None),
                ViewUpdate::Executor(shown) => {
                    (format!("executor {} {}", shown.application, shown.record.id.0), Some(format!("{shown:?}")))
                }
                ViewUpdate::ExecutorGone(uid, id) => (format!("executor {uid} {}", id.0), None),
                ViewUpdate::Worker(shown) => (format!("worker {}", shown.record.uid), Some(format!("{shown:?}"))),
                ViewUpdate::WorkerGone(uid) => (format!("worker {uid}"), None),
                ViewUpdate::Token(record) => (format!("token {}", record.id), Some(format!("{record:?}"))),
                ViewUpdate::TokenGone(id) => (format!("token {id}"), None),
                ViewUpdate::Roles(roles) => ("roles".to_owned(), (!roles.0.is_empty()).then(|| format!("{roles:?}"))),
            };
            match text {
                Some(text) => drop(self.0.insert(key, text)),
                None => drop(self.0.remove(&key)),
            }
        }
    }
}

/// The key of a write, and whether it is a put.
fn key(write: &Write) -> (String, bool) {
    match write {
        Write::PutDriver(record) => (format!("d/{}", record.uid), true),
        Write::DeleteDriver(uid) => (format!("d/{uid}"), false),
        Write::PutApplication(record) => (format!("a/{}", record.uid), true),
        Write::DeleteApplication(uid) => (format!("a/{uid}"), false),
        Write::PutExecutors(record) => (format!("x/{}/{}", record.application, record.sequence), true),
        Write::DeleteExecutors(uid, sequence) => (format!("x/{uid}/{sequence}"), false),
        Write::PutWorker(record) => (format!("w/{}", record.uid), true),
        Write::DeleteWorker(uid) => (format!("w/{uid}"), false),
        Write::PutToken(record) => (format!("t/{}", record.id), true),
        Write::DeleteToken(id) => (format!("t/{id}"), false),
        Write::PutRoles(_) => ("r".to_owned(), true),
        Write::PutEvents(record) => (format!("e/{}", record.commit.0), true),
        Write::DeleteEvents(commit) => (format!("e/{}", commit.0), false),
    }
}
