//! A master: the real core and liveness table, in a shell that repeats step for step what
//! `crates/master` does.

mod election;
mod expiry;
mod followed;
mod link;
mod loops;
mod release;
mod term;

use std::collections::BTreeMap;
use std::time::Duration;

use followed::Followed;
use muster_types::{LeaderUid, Now, Time};

pub(super) use link::address;
pub(super) use term::{Active, Stop};

use super::World;
use super::clock::{Clock, Instant};
use super::event::Life;
use super::plan::Plan;

/// What a master does.
#[derive(Debug)]
pub(super) enum Role {
    /// Its process does not run.
    Down,
    /// It has no lease or no key yet, or waits for its turn.
    Standby,
    /// It has won and loads.
    Recovering { won: Now, key: u64, asked: Instant },
    /// It leads.
    Active(Box<Active>),
}

#[derive(Debug)]
pub(super) struct Master {
    pub(super) clock: Clock,
    pub(super) life: Life,
    pub(super) role: Role,
    /// Until when it is stopped by a signal, or starved.
    pub(super) stopped_until: Instant,
    /// How long it stops within its next step.
    pub(super) stops_next: Option<Duration>,
    /// After how many more messages it dies.
    pub(super) dies_after: Option<u32>,
    pub(super) leader: LeaderUid,
    pub(super) lease: Option<u64>,
    pub(super) key: Option<u64>,
    /// The sending time of the last keep-alive (or grant) that was answered well.
    pub(super) last_good: Option<Time>,
    /// When calls to the store were sent, by number.
    pub(super) sent: BTreeMap<u64, Time>,
    pub(super) calls: u64,
    /// The candidates, as the master last heard of them.
    pub(super) keys: Vec<(u64, usize)>,
    /// What it will lead with, as far as it has followed it.
    followed: Followed,
    /// The key of its previous life, which it deletes when it starts.
    pub(super) left: Option<u64>,
    pub(super) terms: u64,
    pub(super) last_deposed: Option<Time>,
}

impl Master {
    pub(super) fn new(clock: Clock, plan: &Plan) -> Master {
        Master {
            clock,
            life: 0,
            role: Role::Down,
            stopped_until: Instant(0),
            stops_next: None,
            dies_after: None,
            leader: LeaderUid(0),
            lease: None,
            key: None,
            last_good: None,
            sent: BTreeMap::new(),
            calls: 0,
            keys: Vec::new(),
            followed: Followed::new(plan),
            left: None,
            terms: 0,
            last_deposed: None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        !matches!(self.role, Role::Down)
    }

    pub(super) fn active(&mut self) -> Option<&mut Active> {
        match &mut self.role {
            Role::Active(active) => Some(active),
            Role::Down | Role::Standby | Role::Recovering { .. } => None,
        }
    }
}

impl World {
    fn clock(&self, master: usize) -> Now {
        self.masters[master].clock.read(self.now)
    }

    /// When a message that is sent now leaves: once the master is not stopped any more. `None` if
    /// the master, which dies within this step, has sent its last message.
    fn may_send(&mut self, master: usize) -> Option<Instant> {
        let this = &mut self.masters[master];
        if let Some(left) = &mut this.dies_after {
            if *left == 0 {
                return None;
            }
            *left -= 1;
        }
        if let Some(length) = this.stops_next.take() {
            this.stopped_until = this.stopped_until.max(self.now + length);
            let until = this.stopped_until;
            self.count("master stopped in the middle");
            self.note(|| format!("master {master} is stopped in the middle, until {until:?}"));
        }
        Some(self.masters[master].stopped_until.max(self.now))
    }

    /// Ends a master that was to die within what it did.
    fn end_if_dying(&mut self, master: usize) {
        if self.masters[master].dies_after.is_some() && self.masters[master].is_up() {
            self.crash_master(master);
        }
    }
}
