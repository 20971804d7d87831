//! The levels of locality at which stages wait.
//!
//! The wait counts only while the stage refuses something: when it ends and no executor has been
//! free that the stage could have taken at a worse level, it begins anew.

use std::time::Duration;

use muster_types::ProfileId;

use super::StageOffer;
use crate::Locality;
use crate::ids::StageSlot;
use crate::locality::WAITING_LEVELS;
use crate::scheduler::Scheduler;
use crate::stage::StageNode;
use crate::timers::SchedulerTimer;

impl Scheduler {
    fn wait_at(&self, level: Locality) -> Duration {
        match level {
            Locality::Process => self.config.locality_wait.process,
            Locality::Node => self.config.locality_wait.node,
            Locality::Rack => self.config.locality_wait.rack,
            Locality::NoPreference | Locality::Any => Duration::ZERO,
        }
    }

    /// The first level from one on at which an executor could serve a waiting task, and at which
    /// waiting is wanted.
    fn served_level(&self, node: &StageNode, from: Locality) -> Locality {
        let levels = WAITING_LEVELS.into_iter().filter(|level| *level >= from && !self.wait_at(*level).is_zero());
        let is_served = |level: &Locality| {
            let mut keys = node.pending.keys().filter(|key| key.level() == *level);
            keys.any(|key| self.executors.is_served(key))
        };
        levels.into_iter().find(is_served).unwrap_or(Locality::Any)
    }

    /// Gives a stage that begins an attempt its first level.
    pub(crate) fn begin_level(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get(slot) else { return };
        let level = self.served_level(node, Locality::Process);
        if let Some(node) = self.stages.get_mut(slot) {
            node.place.level = level;
        }
    }

    /// Sees to it that a timer looks at the level of a stage.
    pub(crate) fn time_level(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get(slot).filter(|node| !node.place.is_timed) else { return };
        let due = node.place.level_since + self.wait_at(node.place.level);
        self.timers.arm(due, SchedulerTimer::Locality(slot));
        if let Some(node) = self.stages.get_mut(slot) {
            node.place.is_timed = true;
        }
    }

    /// Looks whether a stage has waited for long enough.
    pub(crate) fn check_level(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get_mut(slot) else { return };
        node.place.is_timed = false;
        let (level, since, shape) = (node.place.level, node.place.level_since, node.terms.shape);
        if !node.place.is_listed || level == Locality::Any {
            return;
        }
        if since + self.wait_at(level) > self.now {
            return self.time_level(slot);
        }
        let has_refused = self.refused.get(&shape.profile).is_some_and(|at| *at >= since)
            || self.executors.profile(shape.profile).is_some_and(|profile| profile.has_idle(shape.cores));
        if has_refused {
            self.raise_level(slot);
        } else {
            self.restart_wait(slot);
            self.time_level(slot);
        }
    }

    /// A task was launched while a stage waits at a level. A stage that waits begins its wait anew
    /// when it has got all that was free; to the others it was something that they refused.
    pub(crate) fn note_refusal(&mut self, launched: StageSlot, level: Locality, profile: ProfileId) {
        if level == Locality::Any {
            self.refused.insert(profile, self.now);
        } else if !self.executors.profile(profile).is_some_and(|executors| executors.has_idle(1)) {
            self.restart_wait(launched);
        }
    }

    fn restart_wait(&mut self, slot: StageSlot) {
        if let Some(node) = self.stages.get_mut(slot) {
            node.place.level_since = self.now;
        }
    }

    fn raise_level(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get(slot) else { return };
        let next = match node.place.level {
            Locality::Process => Locality::Node,
            Locality::Node | Locality::NoPreference => Locality::Rack,
            Locality::Rack | Locality::Any => Locality::Any,
        };
        let level = self.served_level(node, next);
        if let Some(node) = self.stages.get_mut(slot) {
            node.place.level = level;
            node.place.level_since = self.now;
        }
        self.list_open(slot);
        self.unsettled.stages.push((slot, StageOffer::All));
    }

    /// Moves a stage on from a level at which nothing serves it any more.
    pub(crate) fn leave_unserved_levels(&mut self, slot: StageSlot) {
        let Some(node) = self.stages.get(slot).filter(|node| node.place.is_listed) else { return };
        if node.place.level != Locality::Any && self.served_level(node, node.place.level) != node.place.level {
            self.raise_level(slot);
        }
    }
}
