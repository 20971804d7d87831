//! The runner: its orders, the end of leases, and its reports. It works as in `crates/runner`,
//! around the real fence.

use std::sync::Arc;
use std::time::Duration;

use muster_agent::journal::Record;
use muster_agent::runner_protocol::Accepted;
use muster_types::{
    AllocatedResources, AttemptKey, AttemptState, Exit, Fault, KilledBy, Launch, Now, Outcome, Reason, Report,
};

use super::{Attempt, Freeze, Runner, RunnerCommand, Stage, Stopping, Told};
use crate::world::clock::Instant;
use crate::world::event::{Event, Life};
use crate::world::sabotage::Sabotage;
use crate::world::{World, brief};

impl Attempt {
    pub(in crate::world) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(..))
    }

    /// Whether it executes nothing and its end was not ordered.
    pub(super) fn is_frozen(&self) -> bool {
        let runs = matches!(self.stage, Stage::Running) && self.stop.is_none();
        runs && matches!(self.freeze, Some(Freeze::Frozen { .. }))
    }

    fn report(&self) -> Report {
        let killing = || AttemptState::Killing { wait_channel: None };
        let (state, ended) = match &self.stage {
            Stage::Ended(outcome, at) => (AttemptState::Ended(outcome.clone()), Some(*at)),
            Stage::Ending(_) => (killing(), None),
            Stage::Accepted | Stage::Starting | Stage::Running if self.stop.is_some() => (killing(), None),
            Stage::Accepted | Stage::Starting => (AttemptState::Accepted, None),
            Stage::Running if self.is_frozen() => (AttemptState::Frozen, None),
            Stage::Running => (AttemptState::Running, None),
        };
        Report {
            attempt: self.accepted.attempt,
            sequence: self.sequence,
            state,
            pid: None,
            started: self.started,
            ended,
            resources: self.accepted.resources.clone(),
            id: self.accepted.id.clone(),
        }
    }

    /// The outcome, given how the main process ended: the first reason to stop it counts.
    fn outcome(&self, exit: Exit) -> Outcome {
        match &self.stop {
            Some(stop) => {
                Outcome { exit, out_of_memory: false, fault: stop.fault, reason: stop.reason, message: String::new() }
            }
            None => Outcome::exited(exit),
        }
    }
}

/// Reason and fault of a kill.
fn of_kill(by: KilledBy) -> (Reason, Fault) {
    match by {
        KilledBy::Lease => (Reason::LeaseEnded, Fault::Platform),
        KilledBy::Drain => (Reason::Drained, Fault::Platform),
        KilledBy::Fence | KilledBy::Preemption => (Reason::Killed, Fault::Platform),
        KilledBy::Application | KilledBy::Operator => (Reason::Killed, Fault::User),
    }
}

impl World {
    fn runner(&mut self, worker: usize, life: Life) -> Option<&mut Runner> {
        let machine = &mut self.workers[worker];
        machine.runner.as_mut().filter(|_| machine.runner_life == life)
    }

    pub(in crate::world) fn ordered(&mut self, worker: usize, connection: u64, runner: Life, order: RunnerCommand) {
        let is_void = self.workers[worker].connection != connection;
        if is_void {
            self.count("order of an older agent void");
            if !self.sabotaged(Sabotage::OldSocketRead) {
                return;
            }
        }
        let now = self.worker_clock(worker);
        if self.runner(worker, runner).is_none() {
            return;
        }
        self.note(|| format!("worker {worker}: runner is ordered {}", brief(&format!("{order:?}"))));
        self.fence(worker, now);
        let Some(this) = self.runner(worker, runner) else { return };
        match order {
            RunnerCommand::Renew(renewal) => self.renew(worker, renewal, now),
            RunnerCommand::Thaw(attempt) => self.thaw(worker, attempt, now),
            RunnerCommand::Accept(launch) => self.accept(worker, &launch, now),
            RunnerCommand::Start(launch) => {
                self.accept(worker, &launch, now);
                self.start(worker, &launch, now);
            }
            RunnerCommand::Kill { attempt, at_once, by } => self.kill(worker, attempt, at_once, by, now),
            RunnerCommand::Closed(closed) => {
                let attempt = this.attempts.get(&closed.attempt);
                if attempt.is_some_and(|attempt| attempt.has_ended() && attempt.sequence == closed.sequence) {
                    this.attempts.remove(&closed.attempt);
                    self.workers[worker].disk.journal.apply(Record::Closed(closed.attempt));
                }
            }
            RunnerCommand::Inventory(session) => {
                let reports = this.attempts.values().map(Attempt::report).collect();
                self.tell(worker, Told::Inventory(session, reports));
            }
        }
        self.arm_runner(worker);
    }

    /// Ends the attempts that an earlier agent had accepted and not started.
    pub(in crate::world) fn take_new_agent(&mut self, worker: usize) {
        let now = self.worker_clock(worker);
        let Some(runner) = &self.workers[worker].runner else { return };
        let accepted = runner.attempts.iter().filter(|(_, attempt)| matches!(attempt.stage, Stage::Accepted));
        for key in accepted.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.end(worker, key, Outcome::without_exit(Fault::Platform, Reason::NeverStarted, ""), now);
        }
    }

    pub(super) fn tell(&mut self, worker: usize, reported: Told) {
        let pause = Duration::from_micros(self.rng.between(20, 3_000));
        let machine = &mut self.workers[worker];
        machine.told_last = machine.told_last.max(self.now + pause);
        let (connection, arrives): (u64, Instant) = (machine.connection, machine.told_last);
        self.at(arrives, Event::Told { worker, connection, reported });
    }

    pub(super) fn report(&mut self, worker: usize, key: AttemptKey) {
        let Some(attempt) = self.workers[worker].runner.as_ref().and_then(|runner| runner.attempts.get(&key)) else {
            return;
        };
        let report = attempt.report();
        self.tell(worker, Told::Reports(vec![report]));
    }

    pub(super) fn change(&mut self, worker: usize, key: AttemptKey) {
        if let Some(attempt) = self.attempt(worker, key) {
            attempt.sequence += 1;
            self.report(worker, key);
        }
    }

    pub(super) fn attempt(&mut self, worker: usize, key: AttemptKey) -> Option<&mut Attempt> {
        self.workers[worker].runner.as_mut()?.attempts.get_mut(&key)
    }

    /// A leased attempt is accepted only while the lease stands, and the fence holds it from then
    /// on.
    fn accept(&mut self, worker: usize, launch: &Arc<Launch>, now: Now) {
        let key = launch.attempt;
        if self.attempt(worker, key).is_some() {
            return self.report(worker, key);
        }
        self.remember(
            worker,
            Accepted {
                attempt: key,
                id: launch.id.clone(),
                leased: launch.leased,
                resources: launch.resources.clone(),
                kill_grace: launch.kill_grace,
            },
        );
        if launch.leased && !self.admit(worker, key, now, Sabotage::AcceptWithoutLease) {
            self.count("accept refused without a lease");
            return self.end(worker, key, Outcome::without_exit(Fault::Platform, Reason::Refused, "no lease"), now);
        }
        self.report(worker, key);
    }

    /// Whether the lease stands. With the given fault, or if starts are not checked at all, it is
    /// not asked.
    fn admit(&mut self, worker: usize, key: AttemptKey, now: Now, without: Sabotage) -> bool {
        if self.sabotaged(without) || self.sabotaged(Sabotage::StartWithoutLease) {
            return true;
        }
        self.workers[worker].runner.as_mut().is_some_and(|runner| runner.fence.admit(key, now))
    }

    fn remember(&mut self, worker: usize, accepted: Accepted) {
        let machine = &mut self.workers[worker];
        machine.disk.journal.apply(Record::Accepted(accepted.clone()));
        if let Some(runner) = &mut machine.runner {
            let attempt =
                Attempt { accepted, sequence: 1, stage: Stage::Accepted, stop: None, freeze: None, started: None };
            runner.attempts.insert(attempt.accepted.attempt, attempt);
        }
    }

    /// A leased attempt is started only while the lease stands.
    fn start(&mut self, worker: usize, launch: &Arc<Launch>, now: Now) {
        let key = launch.attempt;
        let Some(runner) = &mut self.workers[worker].runner else { return };
        if !runner.attempts.get(&key).is_some_and(|attempt| matches!(attempt.stage, Stage::Accepted)) {
            return;
        }
        if launch.leased && !self.admit(worker, key, now, Sabotage::StartWithoutLease) {
            self.count("start refused without a lease");
            return self.end(worker, key, Outcome::without_exit(Fault::Platform, Reason::Refused, "no lease"), now);
        }
        if launch.leased && !self.guard_lets_start(worker) {
            if let Some(runner) = &mut self.workers[worker].runner {
                runner.waiting.insert(key, Arc::clone(launch));
            }
            return self.count("leased start waits for the guard");
        }
        self.start_now(worker, key, launch);
    }

    pub(super) fn start_now(&mut self, worker: usize, key: AttemptKey, launch: &Arc<Launch>) {
        if let Some(attempt) = self.attempt(worker, key) {
            attempt.stage = Stage::Starting;
        }
        self.plan_tree(worker, key, launch);
    }

    fn kill(&mut self, worker: usize, key: AttemptKey, at_once: bool, by: KilledBy, now: Now) {
        self.witness_kill(worker, key, by, at_once);
        let (reason, fault) = of_kill(by);
        let Some(attempt) = self.attempt(worker, key) else {
            // The kill is remembered as an end, so that a later start finds it.
            self.remember(
                worker,
                Accepted {
                    attempt: key,
                    id: String::new(),
                    leased: false,
                    resources: AllocatedResources::default(),
                    kill_grace: Duration::ZERO,
                },
            );
            return self.end(worker, key, Outcome::without_exit(fault, Reason::NeverStarted, ""), now);
        };
        let grace = if at_once { Duration::ZERO } else { attempt.accepted.kill_grace };
        self.stop(worker, key, (reason, fault), grace, now);
    }

    /// Orders the end of an attempt. The first order gives the reason; a later one can only hasten
    /// the end.
    pub(super) fn stop(
        &mut self,
        worker: usize,
        key: AttemptKey,
        (reason, fault): (Reason, Fault),
        grace: Duration,
        now: Now,
    ) {
        let life = self.workers[worker].runner_life;
        let Some(attempt) = self.attempt(worker, key) else { return };
        // A frozen tree gets no TERM, and is not thawed for one.
        let grace = if attempt.freeze.take().is_some() { Duration::ZERO } else { grace };
        let kill_at = now.time + grace;
        match attempt.stage {
            Stage::Accepted => {
                return self.end(worker, key, Outcome::without_exit(fault, Reason::NeverStarted, ""), now);
            }
            Stage::Ending(_) | Stage::Ended(..) => return self.report(worker, key),
            Stage::Starting | Stage::Running => {}
        }
        match &mut attempt.stop {
            Some(stop) => stop.kill_at = stop.kill_at.min(kill_at),
            None => {
                attempt.stop = Some(Stopping { reason, fault, kill_at, killed: false });
                self.change(worker, key);
                // Most programs end by a TERM, in their own time.
                if !grace.is_zero() && self.rng.chance(600) {
                    let pause = Duration::from_millis(self.rng.between(1, 3_000));
                    self.after(pause, Event::MainEnds { worker, runner: life, attempt: key, signal: Some(15) });
                }
            }
        }
        self.kill_due(worker, now);
        self.arm_runner(worker);
    }

    /// KILLs what must be killed by now. The kernel takes a moment.
    fn kill_due(&mut self, worker: usize, now: Now) {
        let machine = &mut self.workers[worker];
        let life = machine.runner_life;
        let Some(runner) = &mut machine.runner else { return };
        let mut killed = Vec::new();
        for (key, attempt) in &mut runner.attempts {
            let running = matches!(attempt.stage, Stage::Running);
            if let Some(stop) = attempt.stop.as_mut().filter(|stop| running && !stop.killed && stop.kill_at <= now.time)
            {
                stop.killed = true;
                killed.push(*key);
            }
        }
        for attempt in killed {
            let pause = Duration::from_micros(self.rng.between(200, 60_000));
            self.after(pause, Event::TreeGone { worker, runner: life, attempt });
        }
    }

    pub(in crate::world) fn runner_due(&mut self, worker: usize, life: Life) {
        let now = self.worker_clock(worker);
        let Some(runner) = self.runner(worker, life) else { return };
        runner.due = None;
        self.fence(worker, now);
        self.look_at_freezes(worker, now);
        self.kill_due(worker, now);
        self.arm_runner(worker);
    }

    pub(super) fn arm_runner(&mut self, worker: usize) {
        self.mind_guard(worker);
        let machine = &mut self.workers[worker];
        let (clock, life) = (machine.clock, machine.runner_life);
        let Some(runner) = &mut machine.runner else { return };
        let stops = runner.attempts.values().filter(|attempt| matches!(attempt.stage, Stage::Running));
        let kill =
            stops.filter_map(|attempt| attempt.stop.as_ref()).filter(|stop| !stop.killed).map(|stop| stop.kill_at);
        let freezes = runner.attempts.values().filter_map(|attempt| attempt.freeze);
        let freezes = freezes.map(|(Freeze::Asked { until } | Freeze::Frozen { until })| until);
        let Some(deadline) = kill.chain(freezes).chain(runner.fence.next_deadline()).min() else { return };
        let due = clock.when(deadline).max(self.now);
        if runner.due.is_none_or(|at| at > due) {
            runner.due = Some(due);
            self.at(due, Event::RunnerDue { worker, runner: life });
        }
    }

    /// A start is done: the process executes.
    pub(in crate::world) fn spawned(&mut self, worker: usize, life: Life, key: AttemptKey) {
        let now = self.worker_clock(worker);
        if self.runner(worker, life).is_none() {
            return;
        }
        self.fence(worker, now);
        let Some(attempt) = self.attempt(worker, key) else { return };
        if !matches!(attempt.stage, Stage::Starting) {
            return;
        }
        if let Some(stop) = &attempt.stop {
            let outcome = Outcome::without_exit(stop.fault, Reason::NeverStarted, "");
            self.count("start taken back");
            return self.end(worker, key, outcome, now);
        }
        attempt.stage = Stage::Running;
        attempt.started = Some(now.wall);
        let record = Record::Started { attempt: key, pid: 1, started: now.wall };
        self.workers[worker].disk.journal.apply(record);
        self.execute(worker, key);
        self.change(worker, key);
        self.arm_runner(worker);
    }

    /// The kernel reports an end, of the main process or of everything that was left.
    pub(in crate::world) fn reaped(&mut self, worker: usize, life: Life, key: AttemptKey) {
        let now = self.worker_clock(worker);
        if self.runner(worker, life).is_none() {
            return;
        }
        let tree = self.workers[worker].trees.get(&key).cloned();
        let exit = self.recorder.exit_of(key).unwrap_or(Exit::None);
        let Some(attempt) = self.attempt(worker, key) else { return };
        let outcome = match &attempt.stage {
            Stage::Running => attempt.outcome(exit),
            Stage::Ending(outcome) => outcome.clone(),
            Stage::Accepted | Stage::Starting | Stage::Ended(..) => return,
        };
        match tree {
            Some(tree) if tree.main => {
                self.look_at_freezes(worker, now);
                self.arm_runner(worker);
            }
            // The rest of its tree is ended too, before its end is reported.
            Some(tree) if tree.unparented > 0 => {
                if matches!(attempt.stage, Stage::Running) {
                    attempt.stage = Stage::Ending(outcome.clone());
                    self.workers[worker].disk.journal.apply(Record::Exited { attempt: key, outcome });
                    let pause = Duration::from_micros(self.rng.between(200, 60_000));
                    self.after(pause, Event::TreeGone { worker, runner: life, attempt: key });
                }
            }
            Some(_) | None => {
                self.workers[worker].trees.remove(&key);
                self.end(worker, key, outcome, now);
            }
        }
    }

    pub(super) fn end(&mut self, worker: usize, key: AttemptKey, outcome: Outcome, now: Now) {
        let machine = &mut self.workers[worker];
        let Some(runner) = &mut machine.runner else { return };
        runner.fence.release(&key);
        runner.waiting.remove(&key);
        let Some(attempt) = runner.attempts.get_mut(&key) else { return };
        attempt.sequence += 1;
        attempt.stage = Stage::Ended(outcome.clone(), now.wall);
        let sequence = attempt.sequence;
        machine.disk.journal.apply(Record::Ended { attempt: key, sequence, outcome, ended: now.wall });
        self.report(worker, key);
    }
}
