//! Process trees: they start late, run for a while, leave processes behind, and end with their
//! runner.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{AttemptKey, Exit, Launch};

use super::Tree;
use crate::world::World;
use crate::world::event::{Event, Life};

impl World {
    /// Plans what the tree will be once it has started.
    pub(super) fn plan_tree(&mut self, worker: usize, key: AttemptKey, launch: &Arc<Launch>) {
        let code = if self.rng.chance(450) { 0 } else { 1 + i32::from(self.rng.roll(3) as u8) };
        let leaves = u32::from(self.rng.chance(200));
        let token = launch.token.as_ref().map(|token| token.expose().to_owned());
        let tree = Tree {
            main: false,
            unparented: 0,
            frozen: false,
            leased: launch.leased,
            braked: false,
            overdue: false,
            exit: None,
            code,
            leaves,
            token,
        };
        let machine = &mut self.workers[worker];
        machine.trees.insert(key, tree);
        let runner = machine.runner_life;
        let slow = self.rng.chance(40) && !self.calm;
        let pause = Duration::from_millis(if slow { self.rng.between(1_000, 15_000) } else { self.rng.between(1, 60) });
        self.after(pause, Event::Spawned { worker, runner, attempt: key });
    }

    pub(super) fn execute(&mut self, worker: usize, key: AttemptKey) {
        self.note(|| format!("worker {worker}: {key} executes"));
        self.count("process started");
        self.witness_started(worker, key);
        let machine = &mut self.workers[worker];
        let runner = machine.runner_life;
        if let Some(tree) = machine.trees.get_mut(&key) {
            tree.main = true;
            // A process that is born under a closed brake executes nothing.
            tree.braked = tree.leased && machine.guard.is_closed;
        }
        let length = if key.is_executor() { self.rng.between(500, 60_000) } else { self.rng.between(50, 30_000) };
        self.after(Duration::from_millis(length), Event::MainEnds { worker, runner, attempt: key, signal: None });
    }

    pub(in crate::world) fn main_ends(&mut self, worker: usize, runner: Life, key: AttemptKey, signal: Option<i32>) {
        let machine = &mut self.workers[worker];
        if machine.runner_life != runner {
            return;
        }
        let Some(tree) = machine.trees.get_mut(&key).filter(|tree| tree.main) else { return };
        if tree.frozen || tree.braked {
            // It executes nothing, not even its end; a signal waits too.
            tree.overdue = true;
            return;
        }
        let exit = signal.map_or(Exit::Code(tree.code), Exit::Signal);
        (tree.main, tree.unparented, tree.exit) = (false, tree.leaves, Some(exit));
        if tree.unparented > 0 {
            self.count("orphans left");
        }
        self.note(|| format!("worker {worker}: {key} ends, {exit:?}"));
        self.recorder.exited(key, exit);
        self.hear(worker, key);
    }

    pub(in crate::world) fn tree_gone(&mut self, worker: usize, runner: Life, key: AttemptKey) {
        let machine = &mut self.workers[worker];
        if machine.runner_life != runner {
            return;
        }
        let Some(tree) = machine.trees.get_mut(&key).filter(|tree| tree.is_there()) else { return };
        let was_running = std::mem::take(&mut tree.main);
        (tree.unparented, tree.frozen, tree.braked) = (0, false, false);
        if was_running {
            tree.exit = Some(Exit::Signal(9));
            self.recorder.exited(key, Exit::Signal(9));
        }
        self.note(|| format!("worker {worker}: {key} is killed"));
        self.hear(worker, key);
    }

    /// A tree that was to be frozen executes nothing from here on.
    pub(in crate::world) fn frozen_by_kernel(&mut self, worker: usize, runner: Life, key: AttemptKey) {
        let machine = &mut self.workers[worker];
        let asked =
            machine.runner.as_ref().and_then(|runner| runner.attempts.get(&key)).is_some_and(|a| a.freeze.is_some());
        if machine.runner_life != runner || !asked {
            return;
        }
        let Some(tree) = machine.trees.get_mut(&key).filter(|tree| tree.is_there()) else { return };
        tree.frozen = true;
        self.note(|| format!("worker {worker}: {key} is frozen"));
        self.hear(worker, key);
    }

    pub(super) fn thaw_tree(&mut self, worker: usize, key: AttemptKey) {
        let Some(tree) = self.workers[worker].trees.get_mut(&key) else { return };
        tree.frozen = false;
        self.note(|| format!("worker {worker}: {key} is thawed"));
        self.go_on(worker, key);
    }

    /// Lets a process end that would have ended while a brake held it, once both brakes are open.
    pub(super) fn go_on(&mut self, worker: usize, key: AttemptKey) {
        let machine = &mut self.workers[worker];
        let runner = machine.runner_life;
        let Some(tree) = machine.trees.get_mut(&key).filter(|tree| tree.executes()) else { return };
        if std::mem::take(&mut tree.overdue) {
            let pause = Duration::from_millis(self.rng.between(1, 2_000));
            self.after(pause, Event::MainEnds { worker, runner, attempt: key, signal: None });
        }
    }

    fn hear(&mut self, worker: usize, attempt: AttemptKey) {
        let runner = self.workers[worker].runner_life;
        let pause = Duration::from_micros(self.rng.between(20, 2_000));
        self.after(pause, Event::Reaped { worker, runner, attempt });
    }

    /// The agent ends leased trees itself, since the runner does not answer.
    pub(super) fn fence_without_runner(&mut self, worker: usize) {
        self.count("fenced without the runner");
        let machine = &self.workers[worker];
        let runner = machine.runner_life;
        let Some(this) = &machine.runner else { return };
        let leased = this.attempts.iter().filter(|(_, attempt)| attempt.accepted.leased && !attempt.has_ended());
        for attempt in leased.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.after(Duration::from_millis(5), Event::TreeGone { worker, runner, attempt });
        }
    }
}
