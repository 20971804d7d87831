//! A core, its liveness table and model workers under random faults: streams break, runners die, leaders die between any two
//! groups, workers fall silent past the wait. The library of invariants holds after every step; then all faults stop, and
//! everything must come to an end. `SEED=n` replays one run, `SEEDS=n` runs more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; its output is for who reads it"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_core::liveness::{Answer as Heard, Table};
use muster_core::{
    Answer, CallId, Config, Core, Effect, Group, Input, Request, SessionNumber, Target, invariants::check,
};
use muster_types::{
    ApplicationState, ApplicationUid, AttemptKey, AttemptState, DriverState, DriverUid, ExecutorId, Exit, KilledBy,
    ProfileId, Reason, RequestId, Time, WorkerUid,
};

use support::machine::{Down, Machine, Up};
use support::specs::{self, Words};
use support::words::worker_uid;
use support::world::{World, cluster};

const WAIT: Duration = Duration::from_secs(50);

/// Xorshift: the same run for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        if list.is_empty() { None } else { list.get(self.roll(list.len())) }
    }
}

struct Run {
    world: World,
    table: Table,
    machines: Vec<Machine>,
    dice: Dice,
    calls: u64,
    received: BTreeMap<(WorkerUid, u64), Time>,
    sessions: BTreeMap<ApplicationUid, SessionNumber>,
    /// Attempts that a process was started for, and those whose end was acknowledged.
    started: BTreeSet<AttemptKey>,
    acknowledged: BTreeSet<AttemptKey>,
    exits: BTreeMap<AttemptKey, i32>,
    submitted: BTreeSet<DriverUid>,
    trace: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let config = Config { kept_executors: 4, kept_records: 50, ..Config::default() };
        Run {
            world: World::new(config),
            table: Table::new(),
            machines: ["w1", "w2", "w3"].map(Machine::new).into(),
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            calls: 0,
            received: BTreeMap::new(),
            sessions: BTreeMap::new(),
            started: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            exits: BTreeMap::new(),
            submitted: BTreeSet::new(),
            trace: Vec::new(),
        }
    }

    fn note(&mut self, what: String) {
        self.trace.push(what);
    }

    /// A batch; with `survive` given, the leader dies after so many of its groups are durable.
    fn batch(&mut self, inputs: Vec<Input>, survive: Option<usize>) {
        let now = self.world.now;
        for input in inputs {
            self.world.core.handle(now, &mut self.world.entropy, input);
        }
        self.world.core.place(now, &mut self.world.entropy);
        self.assert_sound(check(&self.world.core));
        let groups = self.world.core.drain();
        let durable = survive.map_or(groups.len(), |survive| survive.min(groups.len()));
        for group in groups.into_iter().take(durable) {
            let broken = self.world.ledger.observe(&group);
            self.assert_sound(broken);
            self.release(group, survive.is_none());
        }
    }

    fn assert_sound(&self, broken: Vec<muster_core::invariants::Violation>) {
        let last = self.trace.len().saturating_sub(60);
        assert!(broken.is_empty(), "{broken:#?} after {:#?}", &self.trace[last..]);
    }

    fn release(&mut self, group: Group, alive: bool) {
        for effect in group.effects {
            match effect {
                Effect::Welcome(link) if alive => {
                    let received = self.received.get(&(link.worker, link.session.0)).copied().unwrap();
                    let answer = self.table.welcome(link.worker, link.session, received);
                    let down = if answer == Heard::Answer { Down::Welcome } else { Down::SayHello };
                    self.send(link, down);
                }
                Effect::Refuse(link, _) | Effect::SayHello(link) if alive => self.send(link, Down::SayHello),
                Effect::Send(link, commands) if alive => self.send(link, Down::Commands(commands)),
                Effect::Acknowledge(link, list) if alive => self.send(link, Down::Acknowledge(list)),
                Effect::Lost(worker) => self.table.settle(worker),
                Effect::Reply(_, Ok(Answer::Session(uid, number, _))) => drop(self.sessions.insert(uid, number)),
                Effect::Reply(_, Ok(Answer::Driver(shown))) => drop(self.submitted.insert(shown.record.uid)),
                Effect::Welcome(_)
                | Effect::Refuse(..)
                | Effect::SayHello(_)
                | Effect::Send(..)
                | Effect::Acknowledge(..)
                | Effect::Reply(..)
                | Effect::Session(..)
                | Effect::EndSession(..)
                | Effect::Show(_) => {}
            }
        }
    }

    fn send(&mut self, link: muster_core::LinkId, down: Down) {
        if let Some(machine) = self.machines.iter_mut().find(|machine| machine.connected && machine.link() == link) {
            machine.down.push_back(down);
        }
    }

    /// One message up, as the master reads it.
    fn deliver_up(&mut self, index: usize, survive: Option<usize>) {
        let now = self.world.now.time;
        let machine = &mut self.machines[index];
        let link = machine.link();
        let Some(message) = machine.up.pop_front() else { return };
        self.note(format!("up {} {message:?}", self.machines[index].name));
        match message {
            Up::Hello(hello) => {
                self.received.insert((link.worker, link.session.0), now);
                self.batch(vec![Input::Hello(link, hello)], survive);
            }
            Up::Inventory(reports) => self.batch(vec![Input::Inventory(link, reports, true)], survive),
            Up::Reports(reports) => self.batch(vec![Input::Reports(link, reports)], survive),
            Up::Heartbeat { sent } => match self.table.heard(link.worker, link.session, now) {
                Heard::Answer => self.send(link, Down::Beat { sent }),
                Heard::SayHello => self.send(link, Down::SayHello),
            },
        }
    }

    fn deliver_down(&mut self, index: usize) {
        let now = self.world.now.time;
        let machine = &mut self.machines[index];
        let Some(message) = machine.down.pop_front() else { return };
        self.trace.push(format!("down {} {message:?}", machine.name));
        if !machine.obey(now, message, &mut self.acknowledged) {
            self.cut(index);
        }
    }

    fn cut(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        let link = machine.link();
        if machine.connected {
            machine.cut();
            self.batch(vec![Input::LinkBroken(link)], None);
        }
    }

    fn pass(&mut self, length: Duration) {
        self.world.pass(length);
        let now = self.world.now.time;
        for index in 0..self.machines.len() {
            if self.machines[index].fence(now) {
                self.cut(index);
            }
        }
        let lost = self.table.expire(now, WAIT);
        self.note(format!("pass {length:?}, lost {lost:?}"));
        let mut inputs = vec![Input::Tick];
        if !lost.is_empty() {
            inputs.push(Input::Expired(lost));
        }
        self.batch(inputs, None);
    }

    fn crash(&mut self) {
        self.note("crash".to_owned());
        for machine in &mut self.machines {
            machine.cut();
        }
        self.sessions.clear();
        let (config, snapshot) = (self.world.config.clone(), self.world.ledger.fold.snapshot());
        let known = snapshot.workers.iter().filter(|record| !record.lost && !record.forgotten);
        self.table.reset_all(known.map(|record| record.uid).collect::<Vec<_>>(), self.world.now.time);
        let now = self.world.now;
        self.world.core = Core::load(config, cluster(), snapshot, now, &mut self.world.entropy);
        self.batch(Vec::new(), None);
    }

    fn advance(&mut self, index: usize) {
        let open = self.machines[index].unfinished();
        let Some(key) = self.dice.pick(&open).copied() else { return };
        let exit = i32::from(self.dice.roll(2) == 0);
        let was_running = matches!(self.machines[index].journal[&key].state, AttemptState::Running);
        self.note(format!("advance {} {key} exit {exit}", self.machines[index].name));
        if self.machines[index].advance(key, exit, self.world.now.wall) {
            assert!(self.started.insert(key), "{key} started twice: {:#?}", self.trace);
        } else if was_running {
            self.exits.insert(key, exit);
        }
        self.check_processes();
    }

    /// At most one tree of a driver executes; what is closed executes nowhere; an exit code is the true one.
    fn check_processes(&self) {
        let fold = &self.world.ledger.fold;
        let mut alive: BTreeMap<DriverUid, AttemptKey> = BTreeMap::new();
        for key in self.machines.iter().flat_map(|machine| machine.running().collect::<Vec<_>>()) {
            let closed = match key {
                AttemptKey::Driver(uid, number) => {
                    let before = alive.insert(uid, key);
                    assert!(before.is_none(), "two copies: {before:?} and {key}: {:#?}", self.trace);
                    let record = fold.drivers.get(&uid);
                    record.is_none_or(|record| {
                        record.attempts.iter().all(|attempt| attempt.number != number || attempt.outcome.is_some())
                    })
                }
                AttemptKey::Executor(uid, id) => {
                    fold.executors_of(uid).get(&id).is_none_or(|executor| executor.outcome.is_some())
                }
            };
            assert!(!closed, "closed, and executes: {key}: {:#?}", self.trace);
        }
        for record in fold.drivers.values() {
            for attempt in &record.attempts {
                let key = AttemptKey::Driver(record.uid, attempt.number);
                let lost = attempt.outcome.as_ref().is_some_and(|outcome| outcome.reason == Reason::Lost);
                let machine = self.machines.iter().find(|machine| worker_uid(&machine.name) == attempt.worker);
                let stands = machine.is_some_and(|machine| machine.incarnation == attempt.incarnation.counter);
                let leased = record.spec.on_worker_lost.is_leased();
                assert!(
                    !lost || leased || !stands,
                    "closed as lost, and merely out of reach: {key}: {:#?}",
                    self.trace
                );
                if let Some(Exit::Code(code)) = attempt.outcome.as_ref().map(|outcome| outcome.exit) {
                    assert_eq!(self.exits.get(&key), Some(&code), "{key}");
                }
            }
        }
    }

    fn call(&mut self, request: Request) {
        self.calls += 1;
        self.note(format!("call {request:?}"));
        let survive = (self.dice.roll(30) == 0).then(|| self.dice.roll(3));
        self.batch(vec![Input::Call(CallId(self.calls), request)], survive);
        if survive.is_some() {
            self.crash();
        }
    }

    fn ask(&mut self) {
        let request = match self.dice.roll(12) {
            0..=3 => {
                let restart = ["never", "on-failure", "always"][self.dice.roll(3)];
                let lost = ["rerun", "wait"][self.dice.roll(2)];
                let gpu = if self.dice.roll(4) == 0 { " gpu=1" } else { "" };
                let words = Words::parse(&format!("restart={restart} lost={lost} max-attempts=2{gpu}"));
                let request = (self.dice.roll(2) == 0).then(|| RequestId::new(format!("r{}", self.dice.roll(40))));
                Request::SubmitDriver { id: None, spec: specs::driver(&words), request, validate_only: false }
            }
            4 => Request::KillDriver { driver: self.a_driver(), request: None, version: None, by: KilledBy::Operator },
            5 => {
                let token = self.a_token();
                let words = Words::parse("target=2 grace=30s max-attempts=5");
                Request::RegisterApplication { id: None, spec: specs::application(&words), request: None, token }
            }
            6 | 7 => {
                let (application, token) = self.an_application();
                Request::OpenSession { application, token }
            }
            8 => {
                let (application, token) = self.an_application();
                let target = u32::try_from(self.dice.roll(4)).unwrap();
                let targets =
                    vec![Target { profile: ProfileId(0), target, new_profile: None, preferred_hosts: BTreeMap::new() }];
                let excluded_hosts = BTreeSet::new();
                Request::RequestExecutors {
                    application,
                    token,
                    sequence: self.calls,
                    targets,
                    excluded_hosts,
                    request: None,
                }
            }
            9 => {
                let (application, token) = self.an_application();
                let executors = (0..3).map(|_| ExecutorId(u32::try_from(self.dice.roll(12)).unwrap())).collect();
                let replace = self.dice.roll(2) == 0;
                Request::KillExecutors { application, token, executors, replace, request: None }
            }
            10 => {
                let (application, token) = self.an_application();
                let grace = Duration::from_secs(u64::try_from(self.dice.roll(2) * 10).unwrap());
                Request::Unregister { application, token, success: true, message: String::new(), grace, request: None }
            }
            _ => {
                let worker = format!("w{}", 1 + self.dice.roll(3));
                if self.dice.roll(2) == 0 {
                    Request::Drain { worker, request: None, deadline: Some(Duration::from_secs(20)) }
                } else {
                    Request::Undrain { worker, request: None }
                }
            }
        };
        self.call(request);
    }

    fn a_driver(&mut self) -> String {
        let all: Vec<_> = self.world.ledger.fold.drivers.keys().copied().collect();
        self.dice.pick(&all).map(ToString::to_string).unwrap_or_default()
    }

    fn a_token(&mut self) -> Option<String> {
        let drivers = self.world.ledger.fold.drivers.values();
        let tokens: Vec<String> = drivers
            .filter_map(|record| record.attempts.last())
            .filter(|a| a.outcome.is_none())
            .map(|a| a.token.expose().to_owned())
            .collect();
        if self.dice.roll(4) == 0 { None } else { self.dice.pick(&tokens).cloned() }
    }

    fn an_application(&mut self) -> (String, Option<String>) {
        let fold = &self.world.ledger.fold;
        let all: Vec<_> = fold.applications.keys().copied().collect();
        let Some(uid) = self.dice.pick(&all).copied() else { return (String::new(), None) };
        let owner = fold.applications[&uid].driver.as_ref();
        let token = owner.and_then(|(driver, _, number)| {
            let record = fold.drivers.get(driver)?;
            record.attempts.iter().find(|a| a.number == *number).map(|a| a.token.expose().to_owned())
        });
        (uid.to_string(), token)
    }

    fn step(&mut self) {
        let index = self.dice.roll(self.machines.len());
        let survive = (self.dice.roll(150) == 0).then(|| self.dice.roll(4));
        match self.dice.roll(60) {
            0..=17 => {
                self.deliver_up(index, survive);
                if survive.is_some() {
                    self.crash();
                }
            }
            18..=35 => self.deliver_down(index),
            36..=42 => self.advance(index),
            43..=46 => self.ask(),
            47 | 48 => {
                let length = [1, 1, 3, 5, 20][self.dice.roll(5)];
                self.pass(Duration::from_secs(length));
            }
            49..=52 => {
                if !self.machines[index].connected {
                    self.note(format!("dial {}", self.machines[index].name));
                    self.machines[index].dial(self.world.now.time);
                }
            }
            53..=56 => self.machines[index].beat(self.world.now.time),
            57 => self.fault(index),
            _ => {
                let open: Vec<_> = self.sessions.iter().map(|(uid, number)| (*uid, *number)).collect();
                if let Some((uid, number)) = self.dice.pick(&open).copied() {
                    self.note(format!("break session {uid}"));
                    self.batch(vec![Input::SessionBroken(uid, number)], None);
                }
            }
        }
        self.check_processes();
    }

    fn fault(&mut self, index: usize) {
        match self.dice.roll(8) {
            0 => {
                self.note(format!("runner of {} dies", self.machines[index].name));
                let link = self.machines[index].link();
                let was_connected = self.machines[index].connected;
                self.machines[index].restart_runner();
                if was_connected {
                    self.batch(vec![Input::LinkBroken(link)], None);
                }
            }
            1 => self.crash(),
            2..=4 => {
                self.note(format!("cut {}", self.machines[index].name));
                self.cut(index);
            }
            _ => self.machines[index].beat(self.world.now.time),
        }
    }

    /// Everything is delivered until nothing moves.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for index in 0..self.machines.len() {
                if !self.machines[index].connected {
                    self.machines[index].dial(self.world.now.time);
                    moved = true;
                }
                while !self.machines[index].up.is_empty() {
                    self.deliver_up(index, None);
                    moved = true;
                }
                while !self.machines[index].down.is_empty() {
                    self.deliver_down(index);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
        panic!("never comes to rest: {:#?}", &self.trace[self.trace.len() - 60..]);
    }

    /// No more faults: all is killed or ends, nothing is left running, and every journal is empty.
    fn heal(&mut self) {
        self.note("heal".to_owned());
        for worker in ["w1", "w2", "w3"] {
            self.call_calmly(Request::Undrain { worker: worker.to_owned(), request: None });
        }
        self.settle();
        let drivers: Vec<_> = self.world.ledger.fold.drivers.keys().map(ToString::to_string).collect();
        // Half of them are left to end by themselves; those that run for ever are killed.
        for (index, driver) in drivers.into_iter().enumerate() {
            if index % 2 == 0 {
                self.call_calmly(Request::KillDriver { driver, request: None, version: None, by: KilledBy::Operator });
            }
        }
        // What is ending already must come to its end without being asked again.
        let applications = self.world.ledger.fold.applications.values();
        let lasting = applications.filter(|record| record.state != ApplicationState::Ending);
        for application in lasting.map(|record| record.uid.to_string()).collect::<Vec<_>>() {
            self.call_calmly(Request::KillApplication { application, request: None });
        }
        for round in 0..200 {
            self.settle();
            for index in 0..self.machines.len() {
                for key in self.machines[index].unfinished() {
                    let running = matches!(self.machines[index].journal[&key].state, AttemptState::Running);
                    if self.machines[index].advance(key, 0, self.world.now.wall) {
                        assert!(self.started.insert(key), "{key} started twice");
                    } else if running {
                        self.exits.insert(key, 0);
                    }
                }
                self.machines[index].beat(self.world.now.time);
            }
            self.settle();
            self.pass(Duration::from_secs(5));
            if round == 60 {
                let drivers: Vec<_> = self.world.ledger.fold.drivers.keys().map(ToString::to_string).collect();
                for driver in drivers {
                    let by = KilledBy::Operator;
                    self.call_calmly(Request::KillDriver { driver, request: None, version: None, by });
                }
            }
        }
        self.settle();
        self.assert_over();
    }

    fn call_calmly(&mut self, request: Request) {
        self.calls += 1;
        self.note(format!("call {request:?}"));
        self.batch(vec![Input::Call(CallId(self.calls), request)], None);
    }

    fn assert_over(&self) {
        let fold = &self.world.ledger.fold;
        let last = &self.trace[self.trace.len().saturating_sub(40)..];
        for record in fold.drivers.values() {
            assert!(record.state.is_terminal(), "{} is {:?}: {last:#?}", record.id, record.state);
            let puts = self.world.ledger.puts[&record.uid];
            let relaunches = record.attempts.len() > 1 || record.state == DriverState::CrashLoop;
            assert!(
                puts <= 4 || relaunches || self.trace.iter().any(|line| line == "crash" || line.starts_with("cut"))
            );
        }
        for record in fold.applications.values() {
            assert!(record.state.is_terminal(), "{} is {:?}", record.id, record.state);
            assert_ne!(record.state, ApplicationState::Ending);
        }
        for machine in &self.machines {
            assert!(machine.journal.is_empty(), "{}: {:#?}: {last:#?}", machine.name, machine.journal);
        }
    }
}

fn run(seed: u64) -> Run {
    let mut run = Run::new(seed);
    for _ in 0..1500 {
        run.step();
    }
    run.heal();
    run
}

/// What happened in the runs: a test of luck that never meets a fault proves nothing.
fn tally(run: &Run, seen: &mut BTreeMap<String, u32>) {
    let fold = &run.world.ledger.fold;
    for record in fold.drivers.values() {
        *seen.entry(format!("driver {}", record.state.as_str())).or_default() += 1;
        for outcome in record.attempts.iter().filter_map(|attempt| attempt.outcome.as_ref()) {
            *seen.entry(format!("attempt {}", outcome.reason.as_str())).or_default() += 1;
        }
    }
    for record in fold.applications.values() {
        *seen.entry(format!("application {}", record.state.as_str())).or_default() += 1;
        for executor in fold.executors_of(record.uid).values() {
            *seen.entry(format!("executor {}", executor.state.as_str())).or_default() += 1;
        }
    }
}

#[test]
fn whatever_fails_at_most_one_copy_runs_and_everything_ends() {
    if let Ok(seed) = std::env::var("SEED") {
        run(seed.parse().unwrap());
        return;
    }
    let mut seen = BTreeMap::new();
    let seeds = std::env::var("SEEDS").map_or(40, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        println!("SEED={seed} cargo test -p muster-core --test random");
        tally(&run(seed), &mut seen);
    }
    println!("{seen:#?}");
    for needed in [
        "driver LOST",
        "driver CRASH_LOOP",
        "attempt LEASE_ENDED",
        "attempt LOST",
        "attempt NEVER_STARTED",
        "executor LOST",
    ] {
        assert!(seen.contains_key(needed), "the runs never meet {needed}");
    }
}
