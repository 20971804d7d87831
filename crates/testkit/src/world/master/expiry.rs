//! Workers that have been disconnected for longer than the worker timeout: they are marked in the
//! table first, then the loop is told.

use muster_core::Input;

use super::election::EXPIRY_INTERVAL;
use super::loops::LATE;
use super::term::Waiting;
use crate::world::World;
use crate::world::clock::Instant;
use crate::world::event::{Event, Life};
use crate::world::plan::WAIT;

impl World {
    pub(in crate::world) fn expire(&mut self, master: usize, life: Life, term: u64, due: Instant) {
        let now = self.clock(master).time;
        let late = self.now.since(due);
        let this = &mut self.masters[master];
        let is_current = this.life == life;
        let Some(active) = this.active().filter(|active| is_current && active.term == term) else { return };
        // If this look was late, heartbeats may wait unread: every deadline moves by as much.
        if late >= LATE {
            active.table.extend_all(late);
        }
        let lost = active.table.expire(now, WAIT);
        if active.stop.is_some() {
            return;
        }
        if !lost.is_empty() {
            self.note(|| format!("master {master}: silent past the wait: {lost:?}"));
            self.queue_input(master, Waiting::Link(Input::Expired(lost)));
        }
        let due = self.now + EXPIRY_INTERVAL;
        self.at(due, Event::Expiry { master, life, term, due });
    }
}
