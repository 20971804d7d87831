//! Every worker, what is free on each, and which of them rose lately.

use std::collections::BTreeMap;

use muster_types::{AllocatedResources, Resources, WorkerUid};

use super::seat::{Eligibility, Seat, WorkerFacts};

/// Every worker with what is free on it. Methods that name a worker which is not known do nothing, or answer `None`.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub(super) seats: BTreeMap<WorkerUid, Seat>,
    /// Raised with each rise.
    pub(super) stamp: u64,
    /// Each worker once, at its newest rise.
    risen: BTreeMap<u64, WorkerUid>,
    pub(super) looks: u64,
}

impl Fleet {
    /// No workers.
    pub fn new() -> Fleet {
        Fleet::default()
    }

    /// Makes a worker known, or takes over its new facts; what is taken of it stays taken. A new worker is `Unconfirmed`.
    pub fn upsert(&mut self, worker: WorkerUid, facts: WorkerFacts) {
        match self.seats.get(&worker) {
            Some(seat) if seat.facts == facts => {}
            Some(_) => self.change(worker, true, |seat| seat.renew(facts)),
            None => {
                self.seats.insert(worker, Seat::new(facts, Eligibility::Unconfirmed));
            }
        }
    }

    /// Says whether a worker may be given work.
    pub fn set_eligibility(&mut self, worker: WorkerUid, eligibility: Eligibility) {
        if self.eligibility(worker).is_some_and(|now| now != eligibility) {
            self.change(worker, true, |seat| seat.eligibility = eligibility);
        }
    }

    /// Whether a worker may be given work.
    pub fn eligibility(&self, worker: WorkerUid) -> Option<Eligibility> {
        self.seats.get(&worker).map(|seat| seat.eligibility)
    }

    /// Forgets a worker and what was taken of it.
    pub fn remove(&mut self, worker: WorkerUid) {
        if let Some(seat) = self.seats.remove(&worker) {
            self.risen.remove(&seat.risen);
        }
    }

    /// Takes amounts of a worker, whatever its eligibility: the first free addresses in the worker's order. `None`, and nothing
    /// taken, when they are not free.
    pub fn take(&mut self, worker: WorkerUid, request: &Resources) -> Option<AllocatedResources> {
        let mut given = None;
        self.change(worker, false, |seat| given = seat.take(request));
        given
    }

    /// Notes what is taken of a worker by something that a record or an inventory names. May exceed what there is: then nothing
    /// is free, and giving back pays the excess off first.
    pub fn hold(&mut self, worker: WorkerUid, held: &AllocatedResources) {
        self.change(worker, false, |seat| seat.hold(held));
    }

    /// Gives back exactly what was taken or held.
    pub fn give_back(&mut self, worker: WorkerUid, held: &AllocatedResources) {
        self.change(worker, false, |seat| seat.give_back(held));
    }

    /// What is free, with addresses.
    pub fn free(&self, worker: WorkerUid) -> Option<AllocatedResources> {
        self.seats.get(&worker).map(Seat::free)
    }

    /// What is taken; more than the total where a worker runs more than it has.
    pub fn used(&self, worker: WorkerUid) -> Option<Resources> {
        self.seats.get(&worker).map(Seat::used)
    }

    /// What is known of a worker.
    pub fn facts(&self, worker: WorkerUid) -> Option<&WorkerFacts> {
        self.seats.get(&worker).map(|seat| &seat.facts)
    }

    /// Workers by uid.
    pub fn workers(&self) -> impl Iterator<Item = WorkerUid> + '_ {
        self.seats.keys().copied()
    }

    /// How often placement has looked at a worker: what a pass costs, for tests and metrics.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Workers that rose after a stamp, the longest ago first.
    pub(super) fn risen_after(&self, stamp: u64) -> impl Iterator<Item = WorkerUid> + '_ {
        self.risen.range(stamp.saturating_add(1)..).map(|(_, worker)| *worker)
    }

    /// Changes a seat; marks it risen if more is free than was, or if `rises` says that what it may be given changed.
    pub(super) fn change(&mut self, worker: WorkerUid, rises: bool, change: impl FnOnce(&mut Seat)) {
        let Some(seat) = self.seats.get_mut(&worker) else { return };
        let before = seat.free().amounts();
        change(seat);
        let rose = seat.eligibility == Eligibility::Ready && (rises || !before.holds(&seat.free().amounts()));
        if rose {
            self.risen.remove(&seat.risen);
            self.stamp += 1;
            seat.risen = self.stamp;
            self.risen.insert(self.stamp, worker);
        }
    }
}
