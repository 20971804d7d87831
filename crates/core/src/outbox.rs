//! The output of the core, collected into groups.
//!
//! A group stays open across decisions until it is nearly full or drained. Within a group, only the
//! newest value of a key is written. This is legal because a group is atomic, and it saves writes:
//! a driver that is submitted and placed in one batch costs one.

use std::collections::{BTreeMap, BTreeSet};

use muster_types::{
    ApplicationUid, DriverUid, Event, ExecutorId, ExecutorRecord, TokenId, WorkerCommand, WorkerUid, Write,
};

use crate::{Effect, Group, LinkId, size};

/// A group holds at most this many writes.
pub const MAX_GROUP_WRITES: usize = 64;
/// A group holds at most this many bytes, by the estimate of `size`.
pub const MAX_GROUP_BYTES: usize = 512 << 10;
// At these sizes a group is full. One more decision still fits: between two boundaries it adds at
// most a driver, an application or two and the record of their executors.
const FULL_WRITES: usize = 40;
const FULL_BYTES: usize = 256 << 10;
const FULL_EFFECTS: usize = 1024;
// How many effects back `send` looks for commands to the same stream: past the other workers and
// sessions of one placement.
const SEND_LOOKBACK: usize = 64;

/// The key of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WriteKey {
    Driver(DriverUid),
    Application(ApplicationUid),
    Executors(ApplicationUid, u64),
    Worker(WorkerUid),
    Token(TokenId),
    Roles,
}

fn key(write: &Write) -> Option<WriteKey> {
    match write {
        Write::PutDriver(record) => Some(WriteKey::Driver(record.uid)),
        Write::DeleteDriver(uid) => Some(WriteKey::Driver(*uid)),
        Write::PutApplication(record) => Some(WriteKey::Application(record.uid)),
        Write::DeleteApplication(uid) => Some(WriteKey::Application(*uid)),
        Write::PutExecutors(record) => Some(WriteKey::Executors(record.application, record.sequence)),
        Write::DeleteExecutors(application, sequence) => Some(WriteKey::Executors(*application, *sequence)),
        Write::PutWorker(record) => Some(WriteKey::Worker(record.uid)),
        Write::DeleteWorker(uid) => Some(WriteKey::Worker(*uid)),
        Write::PutToken(record) => Some(WriteKey::Token(record.id)),
        Write::DeleteToken(id) => Some(WriteKey::Token(*id)),
        Write::PutRoles(_) => Some(WriteKey::Roles),
        // Only the commit loop writes events.
        Write::PutEvents(_) | Write::DeleteEvents(_) => None,
    }
}

/// The changes to show to readers when the group is closed: each item once, in its state at that
/// time.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) drivers: BTreeSet<DriverUid>,
    pub(crate) applications: BTreeSet<ApplicationUid>,
    pub(crate) executors: BTreeSet<(ApplicationUid, ExecutorId)>,
    pub(crate) workers: BTreeSet<WorkerUid>,
    pub(crate) tokens: BTreeSet<TokenId>,
    pub(crate) roles: bool,
}

impl Touched {
    fn len(&self) -> usize {
        self.drivers.len()
            + self.applications.len()
            + self.executors.len()
            + self.workers.len()
            + self.tokens.len()
            + usize::from(self.roles)
    }
}

/// Groups that are complete, and the one that is open.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    done: Vec<Group>,
    open: Group,
    keys: BTreeMap<WriteKey, usize>,
    bytes: usize,
    /// Executors that changed, by application. When the group is closed, each application gets one
    /// record.
    pub(crate) executors: BTreeMap<ApplicationUid, BTreeMap<ExecutorId, ExecutorRecord>>,
    pub(crate) touched: Touched,
}

impl Outbox {
    pub(crate) fn write(&mut self, write: Write) {
        self.bytes += size::write(&write);
        match key(&write).map(|key| (self.keys.get(&key).copied(), key)) {
            Some((Some(index), _)) => {
                self.bytes = self.bytes.saturating_sub(size::write(&self.open.writes[index]));
                self.open.writes[index] = write;
            }
            Some((None, key)) => {
                self.keys.insert(key, self.open.writes.len());
                self.open.writes.push(write);
            }
            None => self.open.writes.push(write),
        }
    }

    /// Whether the open group has a write of the same key.
    pub(crate) fn writes_key_of(&self, write: &Write) -> bool {
        key(write).is_some_and(|key| self.keys.contains_key(&key))
    }

    /// Stores an executor as it is now.
    pub(crate) fn write_executor(&mut self, application: ApplicationUid, record: ExecutorRecord) {
        self.bytes += size::executor(&record);
        self.executors.entry(application).or_default().insert(record.id, record);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.open.events.push(event);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.open.effects.push(effect);
    }

    /// Sends a command, in one batch with recent commands to the same stream.
    pub(crate) fn send(&mut self, link: LinkId, command: WorkerCommand) {
        for effect in self.open.effects.iter_mut().rev().take(SEND_LOOKBACK) {
            match effect {
                Effect::Send(last, commands) if *last == link => return commands.push(command),
                Effect::Welcome(last) | Effect::Reconnect(last) if last.worker == link.worker => break,
                Effect::Reply(..)
                | Effect::Welcome(_)
                | Effect::Refuse(..)
                | Effect::Send(..)
                | Effect::Acknowledge(..)
                | Effect::Reconnect(_)
                | Effect::Session(..)
                | Effect::EndSession(..)
                | Effect::WorkerLossCommitted(_)
                | Effect::UpdateView(_) => {}
            }
        }
        self.effect(Effect::Send(link, vec![command]));
    }

    pub(crate) fn is_full(&self) -> bool {
        let records: usize = self.executors.len();
        self.open.writes.len() + records >= FULL_WRITES
            || self.bytes >= FULL_BYTES
            || self.open.effects.len() + self.open.events.len() + self.touched.len() >= FULL_EFFECTS
    }

    /// Whether these writes and bytes still fit into the group.
    pub(crate) fn has_room(&self, writes: usize, bytes: usize) -> bool {
        self.open.writes.len() + self.executors.len() + writes <= MAX_GROUP_WRITES
            && self.bytes + bytes <= MAX_GROUP_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.writes.is_empty()
            && self.executors.is_empty()
            && self.open.events.is_empty()
            && self.open.effects.is_empty()
            && self.touched.len() == 0
    }

    /// Closes the group. The changes for readers come before its other effects.
    pub(crate) fn close(&mut self, shows: Vec<Effect>) {
        let mut group = std::mem::take(&mut self.open);
        let mut effects = shows;
        effects.append(&mut group.effects);
        group.effects = effects;
        self.done.push(group);
        self.keys.clear();
        self.bytes = 0;
    }

    pub(crate) fn take(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.done)
    }
}
