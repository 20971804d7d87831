//! Deaths and restarts of the agent, the runner, the machine, and the machine with its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_agent::fence::Fence;
use muster_agent::journal::{JournalState, Record};
use muster_agent::link::{Link, LinkInput};
use muster_types::{Incarnation, Now, Outcome, WallTime, WorkerUid};

use super::{Agent, Attempt, Disk, Runner, Stage, Told};
use crate::world::World;
use crate::world::clock::Instant;
use crate::world::event::{Event, Life};
use crate::world::master::address;
use crate::world::network::StreamId;

impl World {
    pub(in crate::world) fn start_agent(&mut self, worker: usize) {
        if self.workers[worker].agent.is_some() {
            return;
        }
        let runner_stopped = self.workers[worker].runner_stopped_until;
        if runner_stopped > self.now {
            // It waits for the runner's hello.
            self.count("agent waits for a stopped runner");
            return self.at(runner_stopped + Duration::from_millis(5), Event::StartAgent { worker });
        }
        let masters = (0..self.masters.len()).map(address).collect();
        let entropy = self.rng.fork();
        let machine = &mut self.workers[worker];
        machine.agent_life += 1;
        // From here on the runner reads nothing more of an older agent.
        machine.connection += 1;
        (machine.orders_last, machine.told_last) = (Instant(0), Instant(0));
        machine.agent_stopped_until = Instant(0);
        machine.agent = Some(Agent {
            link: Link::new(masters, machine.disk.remembered),
            entropy,
            due: None,
            streams: BTreeMap::new(),
            preparing: BTreeMap::new(),
            known: BTreeSet::new(),
            sent_at: BTreeMap::new(),
        });
        self.note(|| format!("worker {worker}: agent starts"));
        self.meet(worker);
    }

    /// Gives agent and runner a new connection, if both are there.
    fn meet(&mut self, worker: usize) {
        let machine = &mut self.workers[worker];
        let Some(runner) = machine.runner.as_ref().filter(|_| machine.agent.is_some()) else { return };
        let incarnation = runner.incarnation;
        self.take_new_agent(worker);
        let machine = &mut self.workers[worker];
        if let (Some(agent), Some(runner)) = (&mut machine.agent, &machine.runner) {
            agent.known = runner.attempts.keys().copied().collect();
            agent.preparing.clear();
        }
        self.feed(worker, LinkInput::RunnerReady(incarnation));
    }

    /// Starts a runner of a new incarnation; nothing of an older one runs.
    pub(in crate::world) fn start_runner(&mut self, worker: usize) {
        if self.workers[worker].runner.is_some() {
            return;
        }
        let random = self.rng.bits();
        let now = self.worker_clock(worker);
        let machine = &mut self.workers[worker];
        machine.runner_life += 1;
        machine.connection += 1;
        (machine.orders_last, machine.told_last) = (Instant(0), Instant(0));
        machine.runner_stopped_until = Instant(0);
        machine.disk.counter += 1;
        let incarnation = Incarnation { counter: machine.disk.counter, random };
        let attempts = ends_on_record(&mut machine.disk.journal, now);
        machine.guard.begin_anew();
        let waiting = BTreeMap::new();
        machine.runner = Some(Runner { incarnation, fence: Fence::new(), attempts, due: None, waiting, stated: 0 });
        self.note(|| format!("worker {worker}: runner {incarnation} starts"));
        self.witness_incarnation(worker, incarnation);
        if self.workers[worker].agent.is_some() {
            self.meet(worker);
        } else {
            self.start_agent(worker);
        }
    }

    pub(in crate::world) fn kill_agent(&mut self, worker: usize) {
        let machine = &mut self.workers[worker];
        let life = machine.agent_life;
        if machine.agent.take().is_none() {
            return;
        }
        machine.agent_life += 1;
        machine.agent_stopped_until = Instant(0);
        self.note(|| format!("worker {worker}: agent dies"));
        self.count("agent died");
        self.break_streams_of_agent(worker, life);
        self.leave_one_up(worker);
        let longest = if self.rng.chance(400) { 300 } else { 15_000 };
        let pause = Duration::from_millis(self.rng.between(10, longest));
        self.after(pause, Event::StartAgent { worker });
    }

    fn break_streams_of_agent(&mut self, worker: usize, life: Life) {
        let streams = self.network.streams.iter().filter(|(_, s)| s.worker == worker && s.agent == life && !s.broken);
        for id in streams.map(|(id, _)| *id).collect::<Vec<StreamId>>() {
            self.break_stream(id);
        }
    }

    /// The runner's processes die with it.
    pub(in crate::world) fn kill_runner(&mut self, worker: usize) {
        let machine = &mut self.workers[worker];
        if machine.runner.take().is_none() {
            return;
        }
        machine.runner_life += 1;
        machine.runner_stopped_until = Instant(0);
        machine.trees.clear();
        self.note(|| format!("worker {worker}: runner dies"));
        self.count("runner died");
        self.tell(worker, Told::Gone);
        let pause = Duration::from_millis(self.rng.between(10, 5_000));
        self.after(pause, Event::StartRunner { worker });
    }

    pub(in crate::world) fn reboot(&mut self, worker: usize, with_disk: bool) {
        let life = self.workers[worker].agent_life;
        let (uid, loses_journal) = (WorkerUid(u128::from(self.rng.bits())), self.rng.chance(300));
        let at = self.now;
        let machine = &mut self.workers[worker];
        machine.agent = None;
        machine.runner = None;
        machine.agent_life += 1;
        machine.runner_life += 1;
        machine.connection += 1;
        (machine.orders_last, machine.told_last) = (Instant(0), Instant(0));
        (machine.agent_stopped_until, machine.runner_stopped_until) = (Instant(0), Instant(0));
        machine.trees.clear();
        machine.boot += 1;
        machine.clock.boot(at);
        if loses_journal {
            // The journal was written, but not synced.
            machine.disk.journal = JournalState::default();
        }
        let old = machine.uid;
        if with_disk {
            machine.disk = Disk::default();
            machine.uid = uid;
        }
        self.note(|| format!("worker {worker}: reboots, disk lost: {with_disk}"));
        self.count(if with_disk { "disk lost" } else { "reboot" });
        if with_disk {
            self.clients.gone.insert(old);
        }
        self.break_streams_of_agent(worker, life);
        let pause = Duration::from_millis(self.rng.between(500, 15_000));
        self.after(pause, Event::StartRunner { worker });
    }

    /// Stops the runner for a while; the agent notices, and fences in its place.
    pub(in crate::world) fn stop_runner(&mut self, worker: usize, length: Duration) {
        let until = self.now + length;
        let machine = &mut self.workers[worker];
        if machine.runner.is_none() || machine.runner_stopped_until > self.now {
            return;
        }
        machine.runner_stopped_until = until;
        let runner = machine.runner_life;
        self.count("runner stopped");
        self.note(|| format!("worker {worker}: runner is stopped for {length:?}"));
        self.after(Duration::from_secs(3), Event::RunnerSilent { worker, runner });
    }

    pub(in crate::world) fn runner_silent(&mut self, worker: usize, runner: Life) {
        let machine = &self.workers[worker];
        let until = machine.runner_stopped_until;
        if machine.runner_life != runner || until <= self.now || machine.agent.is_none() {
            return;
        }
        self.feed(worker, LinkInput::RunnerSilent);
        let connection = self.workers[worker].connection;
        self.at(until + Duration::from_millis(5), Event::Told { worker, connection, reported: Told::Answers });
    }
}

/// The attempts of an earlier runner that must still be reported: those whose end is in its
/// journal.
fn ends_on_record(journal: &mut JournalState, now: Now) -> BTreeMap<muster_types::AttemptKey, Attempt> {
    let mut kept = BTreeMap::new();
    for (key, remembered) in std::mem::take(journal).into_attempts() {
        let (sequence, outcome, at): (u64, Outcome, WallTime) = match (remembered.ended, remembered.exited) {
            (Some(ended), _) => ended,
            (None, Some(outcome)) => (u64::from(u32::MAX), outcome, now.wall),
            (None, None) => continue,
        };
        journal.apply(Record::Accepted(remembered.accepted.clone()));
        journal.apply(Record::Ended { attempt: key, sequence, outcome: outcome.clone(), ended: at });
        let started = remembered.started.map(|(_, started)| started);
        let stage = Stage::Ended(outcome, at);
        kept.insert(key, Attempt { accepted: remembered.accepted, sequence, stage, stop: None, freeze: None, started });
    }
    kept
}
