//! The guard: it closes its brake on everything leased that the runner has not stopped. It works as
//! in `crates/runner`, around the real decision.

use std::sync::Arc;
use std::time::Duration;

use muster_agent::guard::{Guard, GuardEffect, Written};
use muster_types::{AttemptKey, Launch};

use super::{Attempt, Stage};
use crate::world::World;
use crate::world::clock::Instant;
use crate::world::event::{Event, Life};
use crate::world::plan::FENCE_KILL_AFTER;
use crate::world::sabotage::Sabotage;

/// A machine's guard, and what runner and guard share.
#[derive(Debug)]
pub(in crate::world) struct GuardState {
    guard: Guard,
    written: Option<Written>,
    /// Whether the brake is closed.
    pub(in crate::world) is_closed: bool,
    pub(in crate::world) stopped_until: Instant,
    due: Option<Instant>,
}

impl GuardState {
    pub(super) fn new() -> GuardState {
        GuardState {
            guard: Guard::new(FENCE_KILL_AFTER),
            written: None,
            is_closed: false,
            stopped_until: Instant(0),
            due: None,
        }
    }

    /// Replaces the guard by that of the next runner.
    pub(super) fn begin_anew(&mut self) {
        *self = GuardState::new();
    }
}

impl Attempt {
    /// Whether the runner itself has made sure that nothing of it executes until it is thawed.
    fn is_stopped(&self) -> bool {
        match &self.stage {
            Stage::Accepted => false,
            // Before it executes, it checks whether it is still wanted.
            Stage::Starting => self.stop.is_some(),
            Stage::Running => self.is_frozen() || self.stop.as_ref().is_some_and(|stop| stop.killed),
            Stage::Ending(_) | Stage::Ended(..) => true,
        }
    }
}

impl World {
    /// Writes for the guard how the lease stands and what is stopped, then starts the attempts that
    /// waited for the guard.
    pub(super) fn mind_guard(&mut self, worker: usize) {
        let machine = &mut self.workers[worker];
        let life = machine.runner_life;
        let Some(runner) = &mut machine.runner else { return };
        let ended = runner.fence.ended_term();
        let is_stopped = |(key, attempt): (&AttemptKey, &Attempt)| {
            !attempt.accepted.leased || runner.fence.holds(key) || attempt.is_stopped()
        };
        if ended > runner.stated && runner.attempts.iter().all(is_stopped) {
            runner.stated = ended;
        }
        let Some(renewal) = runner.fence.renewal() else { return };
        let written = Some(Written { term: runner.fence.term(), renewal, stopped: runner.stated });
        if machine.guard.written != written {
            machine.guard.written = written;
            let pause = Duration::from_micros(self.rng.between(20, 2_000));
            self.after(pause, Event::GuardDue { worker, runner: life });
        }
        if self.guard_lets_start(worker) {
            self.start_waiting(worker);
        }
    }

    pub(super) fn guard_lets_start(&self, worker: usize) -> bool {
        let machine = &self.workers[worker];
        let is_told = |runner: &super::Runner| runner.stated >= runner.fence.ended_term();
        !machine.guard.is_closed && machine.runner.as_ref().is_some_and(is_told)
    }

    fn start_waiting(&mut self, worker: usize) {
        let Some(runner) = &mut self.workers[worker].runner else { return };
        let waiting: Vec<(AttemptKey, Arc<Launch>)> = std::mem::take(&mut runner.waiting).into_iter().collect();
        for (key, launch) in waiting {
            let is_wanted = self.workers[worker].runner.as_ref().is_some_and(|runner| {
                let attempt = runner.attempts.get(&key);
                runner.fence.holds(&key) && attempt.is_some_and(|attempt| matches!(attempt.stage, Stage::Accepted))
            });
            if is_wanted {
                self.start_now(worker, key, &launch);
            }
        }
    }

    pub(in crate::world) fn guard_due(&mut self, worker: usize, life: Life) {
        let now = self.worker_clock(worker);
        let taken_away = self.sabotaged(Sabotage::GuardTakenAway);
        let at = self.now;
        let machine = &mut self.workers[worker];
        if machine.runner_life != life || machine.runner.is_none() || taken_away {
            return;
        }
        if machine.guard.due.is_some_and(|due| due <= at) {
            machine.guard.due = None;
        }
        let state = &mut machine.guard;
        let decision = state.guard.look(state.written, state.is_closed, now);
        let closes = decision.effect != GuardEffect::Open;
        let is_news = closes != state.is_closed;
        state.is_closed = closes;
        if is_news {
            self.move_brake(worker, closes);
            let pause = Duration::from_micros(self.rng.between(20, 2_000));
            self.after(pause, Event::RunnerDue { worker, runner: life });
        }
        let kills = decision.effect == GuardEffect::KillAll || (closes && !self.workers[worker].freezer);
        if kills {
            self.kill_leased(worker, life);
        }
        let machine = &mut self.workers[worker];
        let Some(next) = decision.next.map(|next| machine.clock.when(next).max(at)) else { return };
        if machine.guard.due.is_none_or(|due| due > next) {
            machine.guard.due = Some(next);
            self.at(next, Event::GuardDue { worker, runner: life });
        }
    }

    /// Moves the brake. Without a freezer it holds nothing, and everything leased is killed
    /// instead.
    fn move_brake(&mut self, worker: usize, closes: bool) {
        self.count(if closes { "guard closes its brake" } else { "guard opens its brake" });
        self.note(|| format!("worker {worker}: the guard's brake is {}", if closes { "closed" } else { "open" }));
        let machine = &mut self.workers[worker];
        let (freezer, mut moved) = (machine.freezer, Vec::new());
        let attempts = machine.runner.as_ref().map(|runner| &runner.attempts);
        let is_killed = |key: &AttemptKey| {
            let attempt = attempts.and_then(|attempts| attempts.get(key));
            attempt.is_some_and(|attempt| {
                matches!(attempt.stage, Stage::Ending(_)) || attempt.stop.as_ref().is_some_and(|stop| stop.killed)
            })
        };
        for (key, tree) in machine.trees.iter_mut().filter(|(_, tree)| tree.leased && tree.is_there()) {
            // A tree that was killed while the brake held it stays held: it ends before it executes
            // anything.
            tree.braked = freezer && (closes || (tree.braked && is_killed(key)));
            moved.push(*key);
        }
        if !closes {
            moved.into_iter().for_each(|key| self.go_on(worker, key));
        }
    }

    fn kill_leased(&mut self, worker: usize, runner: Life) {
        let trees = self.workers[worker].trees.iter().filter(|(_, tree)| tree.leased && tree.is_there());
        for attempt in trees.map(|(key, _)| *key).collect::<Vec<_>>() {
            let pause = Duration::from_micros(self.rng.between(200, 60_000));
            self.after(pause, Event::TreeGone { worker, runner, attempt });
        }
    }

    fn down(&self, worker: usize) -> usize {
        let machine = &self.workers[worker];
        let agent = machine.agent.is_none() || machine.agent_stopped_until > self.now;
        let stopped = [machine.runner_stopped_until, machine.guard.stopped_until];
        usize::from(agent) + stopped.into_iter().filter(|until| *until > self.now).count()
    }

    /// Whether one more may go down. Two of agent, runner and guard may be down at once; all three
    /// are outside the promise.
    pub(in crate::world) fn may_go_down(&self, worker: usize) -> bool {
        self.down(worker) < 2
    }

    /// Wakes the guard if an agent has died while the two others are stopped.
    pub(super) fn leave_one_up(&mut self, worker: usize) {
        if self.down(worker) == 3 {
            let machine = &mut self.workers[worker];
            machine.guard.stopped_until = Instant(0);
            let runner = machine.runner_life;
            self.after(Duration::from_millis(1), Event::GuardDue { worker, runner });
        }
    }

    pub(in crate::world) fn stop_guard(&mut self, worker: usize) {
        let until = self.now + Duration::from_millis(self.rng.between(1_000, 25_000));
        if self.workers[worker].runner.is_none() || !self.may_go_down(worker) {
            return;
        }
        self.count("guard stopped");
        self.note(|| format!("worker {worker}: guard is stopped until {until:?}"));
        let state = &mut self.workers[worker].guard;
        state.stopped_until = state.stopped_until.max(until);
    }
}
