//! The simulation: masters, workers, clients, a store and a network in virtual time, in one thread,
//! from a seed.
//!
//! The decisions are the real ones: `muster_core::Core` with its liveness table, and from
//! `muster_agent` the link, the fence and the guard. The world plays what is around them: the
//! master's commit loop and links (step for step in the order of `crates/master`), the worker's
//! agent loop, its runner and kernel, an etcd, clients, the network, the clocks, and everything
//! that goes wrong with them. After every step the invariants are checked. At last everything is
//! healed, and must come to its end.

mod client;
mod clock;
mod event;
mod faults;
mod heal;
mod invariants;
mod master;
mod network;
mod plan;
mod rng;
mod run;
mod sabotage;
mod store;
mod worker;

pub use run::{Broken, Report, Steps, catch, run, run_all};
pub use sabotage::Sabotage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use client::Clients;
use clock::{Clock, Instant};
use event::{Event, Process};
use invariants::Recorder;
use master::Master;
use network::Network;
use plan::Plan;
use rng::Rng;
use store::Store;
use worker::Machine;

/// Lines of a trace that are kept.
const TRACE: usize = 100_000;
/// Characters of a message in a trace.
const BRIEF: usize = 420;

/// Added to the order of a waiting timer: it comes after all other events of the same moment.
const AFTER: u64 = 1 << 62;

/// The whole world.
#[derive(Debug)]
pub(crate) struct World {
    plan: Plan,
    sabotage: BTreeSet<Sabotage>,
    rng: Rng,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    scheduled: u64,
    /// Whether there are no more faults, and messages are quick.
    calm: bool,
    network: Network,
    store: Store,
    masters: Vec<Master>,
    workers: Vec<Machine>,
    clients: Clients,
    recorder: Recorder,
    /// How often each kind of thing happened: a run that meets no fault proves nothing.
    tally: BTreeMap<&'static str, u64>,
    /// Filled only when a failing seed is run again.
    trace: Option<VecDeque<String>>,
}

impl World {
    fn new(seed: u64, sabotage: &[Sabotage], traced: bool) -> World {
        let mut rng = Rng::new(seed);
        let plan = Plan::of(&mut rng);
        let sabotage: BTreeSet<Sabotage> = sabotage.iter().copied().collect();
        let drift = if sabotage.contains(&Sabotage::DriftBeyondBound) { plan::WILD_DRIFT } else { plan::DRIFT };
        let store = Store::new(clock_of(&mut rng, drift), !sabotage.contains(&Sabotage::EpochGuardOff));
        let masters = (0..plan.masters).map(|_| Master::new(clock_of(&mut rng, drift), &plan)).collect();
        let workers = (0..plan.workers).map(|index| {
            let freezer = rng.chance(750);
            Machine::new(index, clock_of(&mut rng, drift), freezer)
        });
        let workers = workers.collect();
        let mut world = World {
            plan,
            sabotage,
            rng,
            now: Instant(0),
            queue: BTreeMap::new(),
            scheduled: 0,
            calm: false,
            network: Network::default(),
            store,
            masters,
            workers,
            clients: Clients::default(),
            recorder: Recorder::default(),
            tally: BTreeMap::new(),
            trace: traced.then(VecDeque::new),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for master in 0..self.plan.masters {
            let pause = self.rng.between(0, 300_000);
            self.after(Duration::from_micros(pause), Event::StartMaster { master });
        }
        for worker in 0..self.plan.workers {
            let pause = self.rng.between(0, 2_000_000);
            self.after(Duration::from_micros(pause), Event::StartRunner { worker });
        }
        self.after(Duration::from_millis(500), Event::Ask);
        self.after(Duration::from_secs(4), Event::Fault);
    }

    fn sabotaged(&self, fault: Sabotage) -> bool {
        self.sabotage.contains(&fault)
    }

    fn at(&mut self, when: Instant, event: Event) {
        self.scheduled += 1;
        self.queue.insert((when.max(self.now), self.scheduled), event);
    }

    fn after(&mut self, length: Duration, event: Event) {
        self.at(self.now + length, event);
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let Some(trace) = &mut self.trace else { return };
        if trace.len() >= TRACE {
            trace.pop_front();
        }
        let what = what();
        // Events that happen all the time tell nothing.
        if !what.contains("Heartbeat") && !what.contains("Renew") {
            trace.push_back(format!("{:>11.4} {what}", self.now.0 as f64 / 1e9));
        }
    }

    fn latency(&mut self) -> Duration {
        Network::latency(&mut self.rng, self.calm)
    }

    /// Handles the next event, and returns whether it counts as a step; `None` once nothing is left
    /// to happen. An event of a stopped process waits, in its order.
    fn step(&mut self) -> Option<bool> {
        let ((when, order), event) = self.queue.pop_first()?;
        self.now = when;
        if let Some(until) = self.stopped(self.process_of(&event)) {
            // The tasks of a process that goes on run in any order, so the one that keeps its term
            // may be late.
            let late = if matches!(event, Event::Beat { .. }) { self.rng.between(0, 300_000_000) } else { 0 };
            let until = until + Duration::from_nanos(late);
            let order = if event.is_timer() { order | AFTER } else { order };
            self.queue.insert((until, order), event);
            return Some(false);
        }
        let counts = !event.is_idle();
        self.handle(event);
        self.check();
        Some(counts)
    }

    fn process_of(&self, event: &Event) -> Process {
        let stream = |id: &network::StreamId| self.network.streams.get(id);
        match event {
            Event::Up { stream: id, .. } | Event::BrokenAtMaster { stream: id } => {
                stream(id).map_or(Process::None, |stream| Process::Master(stream.master))
            }
            Event::Down { stream: id, .. } | Event::BrokenAtWorker { stream: id } | Event::Connected { stream: id } => {
                stream(id).map_or(Process::None, |stream| Process::Agent(stream.worker))
            }
            Event::Answered { master, .. }
            | Event::Called { master, .. }
            | Event::Beat { master, .. }
            | Event::Expiry { master, .. }
            | Event::Turn { master, .. }
            | Event::Deadline { master, .. }
            | Event::Silence { master, .. }
            | Event::Depose { master, .. } => Process::Master(*master),
            Event::LinkDue { worker, .. }
            | Event::Persisted { worker, .. }
            | Event::Prepared { worker, .. }
            | Event::RunnerSilent { worker, .. }
            | Event::Told { worker, .. } => Process::Agent(*worker),
            Event::Ordered { worker, .. }
            | Event::RunnerDue { worker, .. }
            | Event::Spawned { worker, .. }
            | Event::Reaped { worker, .. } => Process::Runner(*worker),
            Event::GuardDue { worker, .. } => Process::Guard(*worker),
            // The kernel of a machine accepts connections whatever its processes do; the other
            // events belong to no process.
            Event::Dial { .. }
            | Event::Asked { .. }
            | Event::Replied { .. }
            | Event::GaveUp { .. }
            | Event::Ask
            | Event::StartMaster { .. }
            | Event::MainEnds { .. }
            | Event::TreeGone { .. }
            | Event::Frozen { .. }
            | Event::StartAgent { .. }
            | Event::StartRunner { .. }
            | Event::Fault => Process::None,
        }
    }

    fn stopped(&self, process: Process) -> Option<Instant> {
        let until = match process {
            Process::Master(master) => self.masters[master].stopped_until,
            Process::Agent(worker) => self.workers[worker].agent_stopped_until,
            Process::Runner(worker) => self.workers[worker].runner_stopped_until,
            Process::Guard(worker) => self.workers[worker].guard.stopped_until,
            Process::None => return None,
        };
        (until > self.now).then_some(until)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Dial { stream } => self.take_dial(stream),
            Event::Connected { stream } => self.take_connected(stream),
            Event::Up { stream, number, up } => self.take_up(stream, number, up),
            Event::Down { stream, number, down } => self.take_down(stream, number, down),
            Event::BrokenAtMaster { stream } => self.break_at_master(stream),
            Event::BrokenAtWorker { stream } => self.break_at_worker(stream),
            Event::Asked { master, life, number, call } => self.take_asked(master, life, number, call),
            Event::Answered { master, life, number, answer } => self.take_answered(master, life, number, answer),
            Event::Called { master, call, request } => self.take_call(master, call, *request),
            Event::Replied { call, reply } => self.take_reply(call, reply),
            Event::GaveUp { call } => self.give_up(call),
            Event::Ask => self.ask(),
            Event::Beat { master, life } => self.beat(master, life),
            Event::Expiry { master, life, term, due } => self.expire(master, life, term, due),
            Event::Turn { master, life, term } => self.turn(master, life, term),
            Event::Deadline { master, life, term, due } => self.core_deadline(master, life, term, due),
            Event::Silence { master, life, term, transaction, tries } => {
                self.store_silent(master, life, term, transaction, tries);
            }
            Event::Depose { master, life, key } => self.depose(master, life, key),
            Event::StartMaster { master } => self.start_master(master),
            Event::LinkDue { worker, life } => self.link_due(worker, life),
            Event::Persisted { worker, life, remembered } => self.persisted(worker, life, remembered),
            Event::Prepared { worker, life, attempt } => self.prepared(worker, life, attempt),
            Event::Ordered { worker, connection, runner, order } => self.ordered(worker, connection, runner, *order),
            Event::Told { worker, connection, reported } => self.reported(worker, connection, reported),
            Event::RunnerDue { worker, runner } => self.runner_due(worker, runner),
            Event::GuardDue { worker, runner } => self.guard_due(worker, runner),
            Event::Spawned { worker, runner, attempt } => self.spawned(worker, runner, attempt),
            Event::MainEnds { worker, runner, attempt, signal } => self.main_ends(worker, runner, attempt, signal),
            Event::TreeGone { worker, runner, attempt } => self.tree_gone(worker, runner, attempt),
            Event::Frozen { worker, runner, attempt } => self.frozen_by_kernel(worker, runner, attempt),
            Event::Reaped { worker, runner, attempt } => self.reaped(worker, runner, attempt),
            Event::StartAgent { worker } => self.start_agent(worker),
            Event::StartRunner { worker } => self.start_runner(worker),
            Event::RunnerSilent { worker, runner } => self.runner_silent(worker, runner),
            Event::Fault => self.fault(),
        }
    }
}

fn clock_of(rng: &mut Rng, bound: u64) -> Clock {
    let offset = i128::from(1_000_000_000_000 + rng.between(0, 1_000_000_000_000_000));
    let drift = rng.between(0, 2 * bound + 1) as i64 - bound as i64;
    Clock { offset, drift }
}

/// The first part of a text, without names of types that only make it longer.
fn brief(text: &str) -> String {
    let text = text
        .replace("LeaderUid", "")
        .replace("AttemptNumber", "")
        .replace("DriverUid", "")
        .replace("ApplicationUid", "");
    text.chars().take(BRIEF).collect()
}
