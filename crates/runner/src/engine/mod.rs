//! The main loop waits, fences, kills and journals. It never touches a path that a user chose.
//!
//! Each pass reads what is ready, then reads the clocks, then writes the journal once, and then
//! does and reports what waited for it. So any number of starts and ends share one write, and
//! nothing is done or reported before its record.

mod agent_conn;
mod attempt;
mod attempts;
mod commands;
mod freeze;
mod guarded;
mod lifecycle;
mod poll;
mod reason;
mod user_rule;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_agent::journal::{JournalState, Record};
use muster_agent::runner_protocol::{RunnerHello, ToAgent, ToRunner, VERSION, VERSION_WITH_THAW};

use crate::clock;
use crate::connection::{Listener, ReadResult};
use crate::guard::Keeper;
use crate::journal::Journal;
use crate::private_tmp::PrivateTmp;
use crate::spawner::Spawner;
use crate::sys;
use crate::sys::signals::{Signal, SignalFd};
use crate::tree::{self, CgroupHome, Trees};
use agent_conn::AgentConnections;
use attempts::AttemptTable;
use commands::RunnerReply;
use freeze::FreezeRule;
use poll::{Poll, ReadySource};
pub(crate) use user_rule::UserRule;

/// Reads of the agent in one pass. The rest waits, so that ends and deadlines are not starved.
const READS_PER_PASS: u32 = 8;

/// Reads of the agent before something leased is stopped: enough for everything that a peer can
/// have sent and that is still unread.
const READS_BEFORE_FENCE: u32 = 256;

/// When passes follow each other faster than this, the loop is busy and lets events gather for a
/// moment, so that one pass, one write and one message serve several. Otherwise each start and each
/// end costs a wake-up, and the wake-ups take processor time from the spawner (about a tenth of the
/// rate, measured on two busy cores).
const BUSY: Duration = Duration::from_millis(1);
const GATHER: Duration = Duration::from_micros(300);

/// The longest grace when a signal tells the runner to end: no attempt's own grace is shortened.
const NO_SHORTER_GRACE: Duration = Duration::MAX;

/// From the first renewal to the start of the guard, unless something leased waits for it. An agent
/// registers right after that renewal and asks for the inventory, which must not wait.
const GUARD_DELAY: Duration = Duration::from_millis(50);

/// What the loop is made of.
pub(crate) struct EngineParts {
    pub(crate) hello: RunnerHello,
    pub(crate) journal: Journal,
    pub(crate) trees: Arc<Trees>,
    pub(crate) spawner: Spawner,
    pub(crate) guard: Keeper,
    pub(crate) listener: Listener,
    pub(crate) signals: SignalFd,
    /// Whether the runner is the first process of a PID namespace. The processes in it must not end
    /// the runner, since all of them are ours.
    pub(crate) is_first_process: bool,
    /// Held while the runner lives.
    pub(crate) cgroup_homes: Vec<CgroupHome>,
    /// How long a tree that is frozen at its lease's end waits to be confirmed; zero kills it at
    /// the lease's end.
    pub(crate) fence_kill_after: Duration,
    /// As which users programs are started.
    pub(crate) user_rule: UserRule,
    /// Where users have directories for temporary files of their own.
    pub(crate) private_tmp: Option<Arc<PrivateTmp>>,
}

/// The main loop.
pub(crate) struct Engine {
    hello: RunnerHello,
    attempts: AttemptTable,
    agent_conn: AgentConnections,
    poll: Poll,
    signals: SignalFd,
    is_first_process: bool,
    /// Answers to the agent that wait for the journal.
    replies: Vec<RunnerReply>,
    has_ended_children: bool,
    is_backlogged: bool,
    /// Dropped after the parts that have processes in these cgroups, so that they can be removed.
    cgroup_homes: Vec<CgroupHome>,
}

/// The ends in an earlier runner's journal that must still be reported, as records of the new
/// journal.
pub(crate) fn records_to_keep(memory: JournalState) -> Vec<Record> {
    attempts::ends_on_record(memory, clock::now()).values().flat_map(attempt::TrackedAttempt::records).collect()
}

impl Engine {
    /// Begins with the records that were kept.
    pub(crate) fn new(parts: EngineParts, kept: Vec<Record>) -> io::Result<Engine> {
        let EngineParts {
            hello,
            journal,
            trees,
            spawner,
            guard,
            listener,
            signals,
            is_first_process,
            cgroup_homes,
            fence_kill_after,
            user_rule,
            private_tmp,
        } = parts;
        let poll = Poll::new()?;
        poll.watch(&signals, ReadySource::Signals)?;
        poll.watch(&spawner, ReadySource::Spawner)?;
        let agent_conn = AgentConnections::new(listener, &poll)?;
        let rule = FreezeRule { kill_after: fence_kill_after, agent_thaws: true };
        let mut attempts = AttemptTable::new(journal, trees, spawner, guard, rule, user_rule);
        attempts.private_tmp = private_tmp;
        attempts.restore(attempts::ends_on_record(JournalState::of(kept), clock::now()));
        Ok(Engine {
            hello,
            attempts,
            agent_conn,
            poll,
            signals,
            is_first_process,
            replies: Vec::new(),
            has_ended_children: false,
            is_backlogged: false,
            cgroup_homes,
        })
    }

    /// Runs until everything has been shut down.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut begun = None;
        while !self.attempts.is_shut_down() {
            self.poll.arm(self.attempts.next_deadline())?;
            let ready = self.poll.wait()?;
            let last = begun.replace(Instant::now());
            self.pass(&ready);
            if last.is_some_and(|last: Instant| last.elapsed() < BUSY) {
                std::thread::sleep(GATHER);
            }
        }
        self.attempts.trees.remove_leased();
        Ok(())
    }

    fn pass(&mut self, ready: &[ReadySource]) {
        self.attempts.trees.begin_pass();
        if ready.contains(&ReadySource::Listener) {
            self.agent_conn.accept(&self.poll);
        }
        if ready.iter().any(|ready| matches!(ready, ReadySource::Connection(_) | ReadySource::Listener)) {
            self.hear(READS_PER_PASS);
        }
        if ready.contains(&ReadySource::Guard) {
            self.attempts.guard.hear();
        }
        if ready.contains(&ReadySource::Spawner) {
            self.take_spawned();
        }
        for ready in ready {
            if let ReadySource::Child(pid) = ready {
                self.attempts.exited(*pid, clock::now());
            }
        }
        if ready.contains(&ReadySource::Signals) {
            self.take_signals();
        }
        self.look_at_clocks();
        self.settle();
        if self.has_ended_children {
            self.reap_adopted();
            self.settle();
        }
        self.agent_conn.close_ended(&self.poll);
        self.attempts.guard.take_ended().iter().for_each(|socket| self.poll.forget(socket));
    }

    /// Pending connections come first: a new agent voids what its predecessor has sent.
    fn hear(&mut self, reads: u32) {
        let renewal = self.attempts.fence.renewal();
        let spoken = Cell::new(VERSION);
        let hello = |version| {
            spoken.set(version);
            RunnerHello { version, renewal, ..self.hello.clone() }
        };
        if self.agent_conn.read_pending(hello) {
            self.replies.clear();
            self.attempts.freeze_rule.agent_thaws = spoken.get() >= VERSION_WITH_THAW;
            self.attempts.user_rule.take_agent(spoken.get());
            self.attempts.take_new_agent(clock::now());
        }
        if self.attempts.journal.is_backlogged() {
            return;
        }
        let (attempts, replies) = (&mut self.attempts, &mut self.replies);
        let mut take = |message: ToRunner| replies.extend(attempts.take(message, clock::now()));
        for _ in 0..reads {
            if self.agent_conn.read_agent(&mut take) == ReadResult::Nothing {
                break;
            }
        }
    }

    fn take_spawned(&mut self) {
        for done in self.attempts.spawner.take_done() {
            let key = done.attempt;
            let is_watched = match &done.result {
                Ok(spawned) => self.poll.watch_child(&spawned.pidfd, spawned.pid).is_ok(),
                Err(_) => true,
            };
            self.attempts.spawned(done, clock::now());
            if !is_watched {
                self.attempts.stop_unwatched(key, clock::now());
            }
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.take() {
            match signal {
                Signal::Child => self.has_ended_children = true,
                Signal::Terminate { sender } if self.is_first_process && sender != 0 => {}
                Signal::Terminate { .. } => self.attempts.shut_down(NO_SHORTER_GRACE, clock::now()),
            }
        }
    }

    /// Leases, graces and second looks. If the loop was late, waiting messages are read before
    /// anything expires.
    fn look_at_clocks(&mut self) {
        if self.attempts.is_lease_due(clock::now()) {
            self.agent_conn.accept(&self.poll);
            self.hear(READS_BEFORE_FENCE);
        }
        let now = clock::now();
        self.attempts.fence(now);
        for key in self.attempts.take_due(now) {
            self.attempts.wake(key, now);
        }
        if let Some(private) = &self.attempts.private_tmp {
            private.sweep(now.time);
        }
        self.attempts.mind_guard(now);
        self.keep_guard();
        let end = self.attempts.fence.lease_end(now);
        self.attempts.spawner.set_lease_end(end.map_or(0, |end| end.0));
    }

    /// Keeps a guard from shortly after the first renewal on. Before it nothing leased runs, and a
    /// worker that has just started must not wait: the kernel takes 10 to 20 ms for each move
    /// between cgroups, of the runner and of the guard, and holds up all forks for so long.
    ///
    /// A guard whose socket cannot be watched is replaced when it does not answer.
    fn keep_guard(&mut self) {
        if self.attempts.fence.renewal().is_none() {
            return;
        }
        let now = clock::now().time;
        let due = *self.attempts.guard_due.get_or_insert(now + GUARD_DELAY);
        if now < due && self.attempts.waiting.is_empty() {
            return;
        }
        if !self.attempts.guard.was_started() {
            tree::admit_runner(&mut self.cgroup_homes);
        }
        if self.attempts.guard.keep(&self.cgroup_homes, clock::now())
            && let Some(socket) = self.attempts.guard.socket()
        {
            let _ = self.poll.watch(socket, ReadySource::Guard);
        }
    }

    fn settle(&mut self) {
        let reports = self.attempts.settle(clock::now());
        if self.attempts.is_settled() {
            let reports = reports.into_iter().map(|report| ToAgent::Report(Box::new(report)));
            let mut messages: Vec<ToAgent> = reports.collect();
            for reply in self.replies.drain(..) {
                match reply {
                    RunnerReply::Inventory(number) => messages.extend(self.attempts.inventory(number)),
                    RunnerReply::Message(message) => messages.push(message),
                }
            }
            self.agent_conn.send_to_agent(messages, &self.poll);
        }
        self.hold_back_agent();
    }

    fn hold_back_agent(&mut self) {
        let is_backlogged = self.attempts.journal.is_backlogged();
        match (self.is_backlogged, is_backlogged) {
            // Each time, since the agent may be another one than before.
            (_, true) => self.agent_conn.pause_agent(&self.poll),
            (true, false) => self.agent_conn.resume_agent(&self.poll),
            (false, false) => {}
        }
        self.is_backlogged = is_backlogged;
    }

    /// Reaps processes that became our children because their parents ended. A main process is not
    /// reaped here, since its end is written first; if one is in the way, the others wait for the
    /// next pass.
    fn reap_adopted(&mut self) {
        while let Some(pid) = sys::wait::look_for_any() {
            if self.attempts.guard.is_guard(pid) {
                self.attempts.guard.ended();
                continue;
            }
            if self.is_main(pid) {
                return;
            }
            // Nothing else reaps it.
            let _ = sys::wait::reap(pid);
        }
        self.has_ended_children = false;
    }

    fn is_main(&mut self, pid: i32) -> bool {
        if self.attempts.mains.contains_key(&pid) || self.attempts.spawner.is_starting(pid) {
            return true;
        }
        self.take_spawned();
        self.attempts.mains.contains_key(&pid)
    }
}
