//! The commit loop: it takes what waits, asks the core, commits, and releases. One transaction is
//! in flight at a time.

use std::sync::Arc;
use std::time::Duration;

use muster_core::invariants::check;
use muster_core::{BATCH_INPUTS, CallId, ETCD_BATCH_WRITES, Effect, Input, Request};
use muster_types::{DriverRecord, EventsRecord, Write};

use super::term::{Active, Caller, Flight, Stop, Waiting};
use crate::world::World;
use crate::world::clock::Instant;
use crate::world::event::{Event, Life, Reply};
use crate::world::plan::STORE_PATIENCE;
use crate::world::sabotage::Sabotage;
use crate::world::store::{Call, Committed, Transaction};

/// A delay beyond what a busy machine explains.
pub(super) const LATE: Duration = Duration::from_millis(500);

impl World {
    fn active(&mut self, master: usize, life: Life, term: u64) -> Option<&mut Active> {
        let this = &mut self.masters[master];
        if this.life != life {
            return None;
        }
        this.active().filter(|active| active.term == term)
    }

    /// Queues something for the loop, which takes it soon.
    pub(super) fn queue_input(&mut self, master: usize, waiting: Waiting) {
        let Some(active) = self.masters[master].active() else { return };
        if active.stop.is_some() {
            return;
        }
        active.inbox.push(waiting);
        self.wake_loop(master);
    }

    fn wake_loop(&mut self, master: usize) {
        let pause = Duration::from_micros(self.rng.between(10, 3_000));
        let life = self.masters[master].life;
        let Some(active) = self.masters[master].active() else { return };
        if !std::mem::replace(&mut active.turn_is_due, true) {
            let term = active.term;
            self.after(pause, Event::Turn { master, life, term });
        }
    }

    pub(in crate::world) fn take_call(&mut self, master: usize, call: u64, request: Request) {
        let leads = self.masters[master].active().is_some_and(|active| active.stop.is_none());
        if !self.masters[master].is_up() {
            return;
        }
        if leads {
            self.queue_input(master, Waiting::Call(Caller { call }, request));
        } else {
            self.reply(master, Caller { call }, Reply::NotLeader);
        }
    }

    /// The loop takes a batch.
    pub(in crate::world) fn turn(&mut self, master: usize, life: Life, term: u64) {
        let now = self.clock(master);
        let Some(active) = self.active(master, life, term) else { return };
        active.turn_is_due = false;
        if active.stop.is_some() {
            return;
        }
        let room = BATCH_INPUTS.saturating_sub(active.handled).min(active.inbox.len());
        let batch: Vec<Waiting> = active.inbox.drain(..room).collect();
        let at = active.core_now(now);
        for waiting in batch {
            active.handled += 1;
            let input = match waiting {
                Waiting::Link(input) => input,
                Waiting::Call(caller, request) => {
                    active.next_call += 1;
                    active.calls.insert(CallId(active.next_call), caller);
                    Input::Call(CallId(active.next_call), request)
                }
            };
            active.core.handle(at, &mut active.entropy, input);
        }
        self.advance(master);
        self.end_if_dying(master);
    }

    /// The core's own deadline. If the loop was stopped meanwhile, all deadlines move by as much.
    pub(in crate::world) fn core_deadline(&mut self, master: usize, life: Life, term: u64, due: Instant) {
        let now = self.clock(master);
        let late = self.now.since(due);
        let Some(active) = self.active(master, life, term).filter(|active| active.deadline_at == Some(due)) else {
            return;
        };
        active.deadline_at = None;
        if active.stop.is_some() {
            return;
        }
        if late >= LATE {
            active.behind += late;
        }
        let at = active.core_now(now);
        if active.core.next_deadline().is_some_and(|deadline| deadline <= at.time) {
            active.handled += 1;
            active.core.handle(at, &mut active.entropy, Input::Tick);
        }
        self.advance(master);
        self.end_if_dying(master);
    }

    /// Starts the next transaction if the store is idle, and releases what needs none.
    pub(super) fn advance(&mut self, master: usize) {
        loop {
            let now = self.clock(master);
            let Some(active) = self.masters[master].active() else { return };
            if active.flight.is_some() || active.stop.is_some() {
                break;
            }
            if active.handled > 0 {
                active.handled = 0;
                let at = active.core_now(now);
                active.core.place(at, &mut active.entropy);
                let broken = check(&active.core);
                active.backlog.extend(active.core.drain());
                self.violate_all(broken);
            }
            let Some(active) = self.masters[master].active() else { return };
            if active.backlog.is_empty() {
                break;
            }
            let (groups, events, effects) = pack(active);
            if groups.iter().all(|(writes, _)| writes.is_empty()) && events.is_empty() {
                self.release(master, effects, false);
            } else {
                self.begin_commit(master, groups, events, effects);
            }
        }
        self.arm_deadline(master);
        if self.masters[master].active().is_some_and(|active| !active.inbox.is_empty()) {
            self.wake_loop(master);
        }
    }

    fn arm_deadline(&mut self, master: usize) {
        let (clock, life) = (self.masters[master].clock, self.masters[master].life);
        let now = self.now;
        let Some(active) = self.masters[master].active() else { return };
        let Some(deadline) = active.core.next_deadline() else { return };
        let due = clock.when(deadline + active.behind).max(now);
        if active.deadline_at.is_none_or(|at| at > due) {
            active.deadline_at = Some(due);
            let term = active.term;
            self.at(due, Event::Deadline { master, life, term, due });
        }
    }

    fn begin_commit(
        &mut self,
        master: usize,
        mut groups: Vec<(Vec<Write>, Vec<muster_types::Event>)>,
        events: Vec<muster_types::Event>,
        mut effects: Vec<Effect>,
    ) {
        if self.sabotaged(Sabotage::RequestNotStored) {
            groups.iter_mut().flat_map(|(writes, _)| writes).for_each(forget_request);
        }
        let id = self.recorder.number_transaction();
        let Some(guard) = self.masters[master].key else { return self.resign(master) };
        let Some(active) = self.masters[master].active() else { return };
        active.newest = active.newest.next();
        let commit = active.newest;
        let record = (!events.is_empty()).then(|| Arc::new(EventsRecord { commit, events }));
        let rest = record.iter().map(|record| Write::PutEvents(Arc::clone(record))).collect();
        let transaction = Arc::new(Transaction { id, guard, commit, groups, rest });
        if self.sabotaged(Sabotage::SendBeforeWrite) {
            self.release(master, std::mem::take(&mut effects), true);
        }
        if self.sabotaged(Sabotage::AcknowledgeBeforeCommit) {
            let (early, late) = effects.into_iter().partition(|effect| matches!(effect, Effect::Acknowledge(..)));
            effects = late;
            self.release(master, early, true);
        }
        let Some(active) = self.masters[master].active() else { return };
        active.flight = Some(Flight { transaction, effects, record, tries: 0 });
        self.send_commit(master);
    }

    /// Sends the transaction in flight, the first time or again: it applies at most once.
    fn send_commit(&mut self, master: usize) {
        let life = self.masters[master].life;
        let Some(active) = self.masters[master].active() else { return };
        let term = active.term;
        let Some(flight) = &mut active.flight else { return };
        flight.tries += 1;
        let (transaction, tries) = (Arc::clone(&flight.transaction), flight.tries);
        let id = transaction.id;
        self.ask_store(master, Call::Commit(transaction));
        self.after(STORE_PATIENCE, Event::Silence { master, life, term, transaction: id, tries });
    }

    /// The store has not answered, so it is unknown whether the transaction was applied.
    pub(in crate::world) fn store_silent(
        &mut self,
        master: usize,
        life: Life,
        term: u64,
        transaction: u64,
        tries: u32,
    ) {
        let Some(active) = self.active(master, life, term) else { return };
        let waits =
            active.flight.as_ref().is_some_and(|flight| flight.transaction.id == transaction && flight.tries == tries);
        if !waits {
            return;
        }
        self.count("outcome unknown");
        if self.sabotaged(Sabotage::ReloadUnderSameKey) {
            return self.reload(master);
        }
        if self.stands(master) {
            self.send_commit(master);
        } else {
            self.note(|| format!("master {master}: unknown outcome, and its deadline has passed"));
            self.count("state thrown away");
            self.say_goodbye(master, Stop::Ended);
            self.resign(master);
        }
        self.end_if_dying(master);
    }

    pub(super) fn take_committed(&mut self, master: usize, id: u64, result: Committed) {
        let Some(active) = self.masters[master].active() else { return };
        let Some(flight) = active.flight.take_if(|flight| flight.transaction.id == id) else { return };
        let commit = flight.transaction.commit;
        let applied = match result {
            Committed::Applied => true,
            Committed::Numbered(newest) => newest == commit,
            Committed::Fenced => false,
        };
        if !applied {
            self.note(|| format!("master {master}: {commit:?} refused ({result:?})"));
            self.count("term ended by the store");
            self.say_goodbye(master, Stop::Ended);
            return self.resign(master);
        }
        if let Some(record) = flight.record {
            active.log.insert(commit, record);
        }
        self.witness_durable(id);
        self.release(master, flight.effects, true);
        match self.masters[master].active().map(|active| active.stop.is_some()) {
            Some(true) => self.resign(master),
            Some(false) => self.advance(master),
            None => {}
        }
    }
}

type PackedTransaction = (Vec<(Vec<Write>, Vec<muster_types::Event>)>, Vec<muster_types::Event>, Vec<Effect>);

/// Takes as many groups from the front as fit, but at least one.
fn pack(active: &mut Active) -> PackedTransaction {
    let (mut groups, mut events, mut effects): PackedTransaction = PackedTransaction::default();
    let mut writes = 0;
    while let Some(group) = active.backlog.front() {
        if writes > 0 && writes + group.writes.len() > ETCD_BATCH_WRITES {
            break;
        }
        let Some(group) = active.backlog.pop_front() else { break };
        writes += group.writes.len();
        events.extend(group.events.iter().cloned());
        effects.extend(group.effects);
        groups.push((group.writes, group.events));
    }
    (groups, events, effects)
}

fn forget_request(write: &mut Write) {
    if let Write::PutDriver(record) = write {
        let stripped = DriverRecord { request: None, ..(**record).clone() };
        *record = Arc::new(stripped);
    }
}
