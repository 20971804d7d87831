//! The parts of the model, their steps, and their faults.

use std::collections::VecDeque;
use std::time::Duration;

use muster_agent::fence::Fence;
use muster_agent::guard::{DELAY, Guard, GuardEffect, Written};
use muster_agent::runner_protocol::Renewal;
use muster_types::{AttemptKey, AttemptNumber, DriverUid, Now, Time, WallTime};

/// Guard and agent both give the runner one tick after the lease's end.
const TICK: Duration = DELAY;
const AGENT_DELAY: u64 = 1;

/// In ticks.
const LEASE: u64 = 2;
const MARGIN: u64 = 2;

/// Long enough for a lease, the worker timeout, a second lease under which something may go on, and
/// the worker timeout after that.
const HORIZON: u64 = 7;

/// Most heartbeats that are answered after the one before the beginning.
const ANSWERS: u8 = 2;

/// Most messages that wait in one place.
const WAITING: usize = 3;

const TREE: AttemptKey = AttemptKey::Driver(DriverUid(1), AttemptNumber(1));

/// A rule that the model leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// The guard leaves its brake open.
    Guard,
    /// The runner stops nothing at the lease's end.
    RunnersFence,
    /// The agent ends nothing.
    AgentsFence,
    /// Guard and runner move one brake.
    TwoBrakes,
    /// A renewal after a gap continues the term before it.
    Gaps,
    /// The guard opens its brake for any lease that stands.
    Terms,
    /// Every frozen tree goes on with the next renewal.
    ThawByLeader,
    /// A thaw is obeyed whether a lease stands or not.
    ThawUnderLease,
    /// The guard is told of a lease after something was thawed under it.
    GuardFirst,
    /// The clock is read before the guard is told, but not after it.
    ClockAfterwards,
    /// The runner says that it has stopped everything before it does.
    StoppedAfterwards,
    /// The leader waits for the lease alone.
    Margin,
    /// Messages of an older stream are obeyed.
    StreamsEnd,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) without: Without,
    pub(crate) faults: u8,
    /// How many of the three processes may be down at once.
    pub(crate) down: usize,
    /// The kernel ends the tree with its runner.
    pub(crate) namespace: bool,
    /// The runner writes each renewal for the guard as soon as it has read it, because it thaws
    /// another tree under it, and not only after it has read the clocks.
    pub(crate) tells_at_once: bool,
}

impl Rules {
    /// How long the leader waits for a worker.
    fn timeout(self) -> u64 {
        if self.without == Without::Margin { LEASE } else { LEASE + MARGIN }
    }
}

pub(crate) const PROMISE: Rules =
    Rules { without: Without::Nothing, faults: 3, down: 2, namespace: true, tells_at_once: false };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    Awake,
    Stopped,
    Dead,
}

/// A message of the leader, which the agent passes on to the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    /// A heartbeat of this tick was answered.
    Renew(u64),
    Thaw,
}

/// A step that the runner has decided to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RunnerAct {
    Freeze,
    Thaw,
    /// Reads the clock, and then decides whether to thaw.
    CheckLease,
    /// Decides what to write for the guard.
    Tell,
    WriteStopped(u64),
    WriteRenewal(u64, Renewal),
    /// Answers the agent, by the clocks of this tick.
    EndPass(u64),
}

#[derive(Debug, Clone, Hash)]
struct Runner {
    process: Process,
    fence: Fence,
    /// Whether the runner takes the tree for frozen.
    is_frozen: bool,
    acts: VecDeque<RunnerAct>,
    /// Whether something was read, so that the clocks must be read next.
    has_heard: bool,
    written: Option<(u64, Time)>,
    stopped: u64,
    reported_frozen: bool,
    /// Terms that a fence without gaps has not counted.
    skipped: u64,
}

#[derive(Debug, Clone, Hash)]
struct GuardProcess {
    process: Process,
    guard: Guard,
    read: Option<Written>,
    next: Option<Time>,
    act: Option<GuardEffect>,
}

#[derive(Debug, Clone, Hash)]
struct Agent {
    process: Process,
    /// Whether it has found the runner and read its renewal.
    has_adopted: bool,
    /// Whether its stream is the leader's present one.
    has_stream: bool,
    lease: Option<u64>,
    /// Whether the runner has answered since the lease's end.
    is_answered: bool,
    stream: VecDeque<Message>,
}

#[derive(Debug, Clone, Hash)]
pub(crate) struct State {
    now: u64,
    answers: u8,
    /// The tick of the newest heartbeat that the leader answered.
    heard: u64,
    /// Whether the worker was declared lost, so that a second copy runs elsewhere.
    is_lost: bool,
    agent: Agent,
    runner: Runner,
    guard: GuardProcess,
    socket: VecDeque<Message>,
    // The memory that runner and guard share. A renewal is written whole or not at all.
    term: u64,
    renewal: Renewal,
    stopped: u64,
    is_alive: bool,
    runners_brake: bool,
    guards_brake: bool,
}

/// The name of a step.
pub(crate) type Label = &'static str;

fn at(tick: u64) -> Now {
    let nanos = u64::try_from(TICK.as_nanos()).unwrap() * tick;
    Now { time: Time(nanos), wall: WallTime(1_700_000_000_000 + nanos / 1_000_000) }
}

fn renewal(tick: u64) -> Renewal {
    let Now { time, wall } = at(tick);
    Renewal { sent: time, sent_wall: wall, lease: TICK * u32::try_from(LEASE).unwrap() }
}

impl GuardProcess {
    fn new() -> GuardProcess {
        let guard = Guard::new(Duration::from_secs(600));
        GuardProcess { process: Process::Awake, guard, read: None, next: None, act: None }
    }
}

impl State {
    /// The first state: the tree runs under a lease that all parts know.
    pub(crate) fn first() -> State {
        let mut fence = Fence::new();
        fence.renew(renewal(0), at(0));
        assert!(fence.admit(TREE, at(0)));
        let runner = Runner {
            process: Process::Awake,
            fence,
            is_frozen: false,
            acts: VecDeque::new(),
            has_heard: false,
            written: Some((1, at(0).time)),
            stopped: 0,
            reported_frozen: false,
            skipped: 0,
        };
        let agent = Agent {
            process: Process::Awake,
            has_adopted: true,
            has_stream: true,
            lease: Some(0),
            is_answered: false,
            stream: VecDeque::new(),
        };
        let mut state = State {
            now: 0,
            answers: 0,
            heard: 0,
            is_lost: false,
            agent,
            runner,
            guard: GuardProcess::new(),
            socket: VecDeque::new(),
            term: 1,
            renewal: renewal(0),
            stopped: 0,
            is_alive: true,
            runners_brake: false,
            guards_brake: false,
        };
        state.guard_looks(Without::Nothing);
        state.guard.act = None;
        state
    }

    pub(crate) fn is_violated(&self) -> bool {
        self.is_lost && self.is_alive && !self.runners_brake && !self.guards_brake
    }

    /// How many of the three hold nothing now: they are stopped, dead, or new and without
    /// knowledge.
    fn down(&self) -> usize {
        let agent = self.agent.process == Process::Awake && self.agent.has_adopted;
        let runner = self.runner.process == Process::Awake;
        let guard = self.guard.process == Process::Awake && self.guard.read.is_some();
        [agent, runner, guard].into_iter().filter(|is_up| !is_up).count()
    }

    fn written(&self) -> Written {
        Written { term: self.term, renewal: self.renewal, stopped: self.stopped }
    }

    // The runner.

    /// Whether the runner has something to do at once.
    fn runner_is_due(&self) -> bool {
        let runner = &self.runner;
        let due = runner.fence.next_deadline().is_some_and(|deadline| deadline <= at(self.now).time);
        let is_pinged = self.agent.process == Process::Awake && self.agent_waits();
        !runner.acts.is_empty() || !self.socket.is_empty() || runner.has_heard || due || is_pinged
    }

    fn runner_steps(&mut self, rules: Rules) -> Label {
        let label = self.runner_steps_once(rules);
        // Changes of its own memory, and its answer to the agent, belong to the step that they
        // follow.
        loop {
            match self.runner.acts.front() {
                Some(RunnerAct::Tell) => {
                    self.runner.acts.pop_front();
                    self.runner_decides_what_to_tell();
                }
                Some(RunnerAct::EndPass(tick)) => {
                    let tick = *tick;
                    self.runner.acts.pop_front();
                    self.runner.reported_frozen = self.runner.is_frozen;
                    self.agent.is_answered |= self.agent.lease.is_some_and(|sent| tick >= sent + LEASE);
                }
                _ => return label,
            }
        }
    }

    fn runner_steps_once(&mut self, rules: Rules) -> Label {
        let now = at(self.now);
        if let Some(act) = self.runner.acts.pop_front() {
            return self.runner_acts(act, rules.without);
        }
        if let Some(message) = self.socket.pop_front() {
            self.runner.has_heard = true;
            match message {
                Message::Renew(sent) => {
                    self.runner_renews(sent, rules.without);
                    self.runner.acts.extend(rules.tells_at_once.then_some(RunnerAct::Tell));
                }
                Message::Thaw => self.runner_hears_thaw(rules.without),
            }
            return "the runner reads a message";
        }
        self.runner.has_heard = false;
        let is_over = self.runner.fence.expire(now).contains(&TREE);
        if is_over && rules.without != Without::RunnersFence {
            if rules.without == Without::StoppedAfterwards {
                self.runner.is_frozen = true;
                self.runner.acts.push_back(RunnerAct::Tell);
            }
            self.runner.acts.push_back(RunnerAct::Freeze);
        }
        self.runner.acts.extend([RunnerAct::Tell, RunnerAct::EndPass(self.now)]);
        "the runner looks at the clocks"
    }

    fn runner_renews(&mut self, sent: u64, without: Without) {
        let now = at(self.now);
        let runner = &mut self.runner;
        let before = runner.fence.term();
        let held = runner.fence.holds(&TREE);
        let is_new = runner.fence.renew(renewal(sent), now);
        if without == Without::Gaps && runner.fence.term() > before && held {
            // The fence behaves as if there had been no gap between the two.
            runner.skipped += before;
            runner.fence = Fence::new();
            runner.fence.renew(renewal(sent), now);
            runner.skipped -= 1;
            runner.fence.admit(TREE, now);
        }
        if without == Without::ThawByLeader && is_new && runner.is_frozen && runner.fence.stands(now) {
            runner.acts.extend([RunnerAct::Tell, RunnerAct::Thaw]);
            runner.fence.admit(TREE, now);
        }
    }

    fn runner_hears_thaw(&mut self, without: Without) {
        let stands = self.runner.fence.stands(at(self.now));
        if !self.runner.is_frozen || (!stands && without != Without::ThawUnderLease) {
            return;
        }
        let acts: &[RunnerAct] = match without {
            Without::GuardFirst => &[RunnerAct::CheckLease],
            Without::ClockAfterwards => {
                self.runner.fence.admit(TREE, at(self.now));
                &[RunnerAct::Tell, RunnerAct::Thaw]
            }
            _ => &[RunnerAct::Tell, RunnerAct::CheckLease],
        };
        self.runner.acts.extend(acts);
    }

    /// Decides in the order of the writes: see `Keeper::tell` in `crates/runner`.
    fn runner_decides_what_to_tell(&mut self) {
        let runner = &mut self.runner;
        let Some(renewal) = runner.fence.renewal() else { return };
        let (term, ended) = (runner.fence.term() + runner.skipped, runner.fence.ended_term() + runner.skipped);
        let is_earlier_stopped = runner.fence.holds(&TREE) || runner.is_frozen;
        let stopped = if ended > runner.stopped && is_earlier_stopped { ended } else { runner.stopped };
        let says = stopped > runner.stopped;
        let fits = runner.written.is_some_and(|(term, _)| stopped <= term);
        let is_newer = runner.written.is_none_or(|(_, sent)| sent != renewal.sent);
        let mut acts = Vec::new();
        if says && fits {
            acts.push(RunnerAct::WriteStopped(stopped));
        }
        if is_newer {
            acts.push(RunnerAct::WriteRenewal(term, renewal));
            runner.written = Some((term, renewal.sent));
        }
        if says && !fits {
            acts.push(RunnerAct::WriteStopped(stopped));
        }
        runner.stopped = stopped;
        acts.into_iter().rev().for_each(|act| runner.acts.push_front(act));
    }

    fn runner_acts(&mut self, act: RunnerAct, without: Without) -> Label {
        match act {
            RunnerAct::Freeze => {
                self.runner.is_frozen = true;
                self.runners_brake = true;
                self.share_brake(without, true);
                "the runner freezes the tree"
            }
            RunnerAct::Thaw => {
                self.runner.is_frozen = false;
                self.runners_brake = false;
                self.share_brake(without, false);
                "the runner thaws the tree"
            }
            RunnerAct::CheckLease => {
                if self.runner.fence.admit(TREE, at(self.now)) || without == Without::ThawUnderLease {
                    self.runner.acts.push_front(RunnerAct::Thaw);
                }
                "the runner looks at the clock before it thaws"
            }
            RunnerAct::WriteStopped(term) => {
                self.stopped = term;
                "the runner writes that it has stopped everything"
            }
            RunnerAct::WriteRenewal(term, renewal) => {
                (self.term, self.renewal) = (term, renewal);
                "the runner writes a renewal"
            }
            RunnerAct::Tell | RunnerAct::EndPass(_) => unreachable!("done with what it follows"),
        }
    }

    fn share_brake(&mut self, without: Without, is_closed: bool) {
        if without == Without::TwoBrakes {
            (self.runners_brake, self.guards_brake) = (is_closed, is_closed);
        }
    }

    // The guard.

    fn guard_is_due(&self) -> bool {
        let guard = &self.guard;
        let is_news = guard.read != Some(self.written());
        let due = guard.next.is_some_and(|next| next <= at(self.now).time);
        guard.act.is_some() || is_news || due
    }

    fn guard_looks(&mut self, without: Without) {
        let written = self.written();
        let now = at(self.now);
        let decision = self.guard.guard.look(Some(written), self.guards_brake, now);
        let stands = now.time < written.renewal.sent + written.renewal.lease + DELAY;
        let effect = match without {
            Without::Guard => GuardEffect::Open,
            Without::Terms if stands => GuardEffect::Open,
            _ => decision.effect,
        };
        self.guard.read = Some(written);
        self.guard.next = decision.next;
        // An act that changes nothing is not a step: only the guard moves this brake.
        let is_closed = effect != GuardEffect::Open;
        let moves = is_closed != self.guards_brake || without == Without::TwoBrakes;
        self.guard.act = moves.then_some(effect);
    }

    fn guard_steps(&mut self, rules: Rules) -> Label {
        let Some(effect) = self.guard.act.take() else {
            self.guard_looks(rules.without);
            return "the guard looks";
        };
        let is_closed = effect != GuardEffect::Open;
        self.guards_brake = is_closed;
        self.share_brake(rules.without, is_closed);
        if is_closed { "the guard closes its brake" } else { "the guard opens its brake" }
    }

    // The agent.

    /// Whether its lease has ended without an answer from the runner since.
    fn agent_waits(&self) -> bool {
        let agent = &self.agent;
        agent.has_adopted && !agent.is_answered && agent.lease.is_some_and(|sent| self.now >= sent + LEASE)
    }

    /// Whether it has something to do at once.
    fn agent_is_due(&self, rules: Rules) -> bool {
        let is_new = !self.agent.has_adopted && self.runner.process == Process::Awake;
        let is_alone = self.runner.process == Process::Dead;
        self.agent_fences(rules) || is_new || is_alone || !self.agent.stream.is_empty()
    }

    fn agent_fences(&self, rules: Rules) -> bool {
        let is_due = self.agent.lease.is_some_and(|sent| self.now >= sent + LEASE + AGENT_DELAY);
        rules.without != Without::AgentsFence && self.agent_waits() && is_due
    }

    /// All steps but its fence; the agent takes each of them or not.
    fn agent_steps(&self, rules: Rules, out: &mut Vec<(Label, State)>) {
        let mut add = |label: Label, change: &dyn Fn(&mut State)| {
            let mut next = self.clone();
            change(&mut next);
            out.push((label, next));
        };
        let room = self.agent.stream.len() < WAITING && self.socket.len() < WAITING;
        if self.agent.has_stream && self.heard < self.now && self.answers < ANSWERS && room {
            add("a heartbeat is answered", &|state: &mut State| state.answer());
        }
        let is_old = !self.agent.has_stream || !self.agent.stream.is_empty();
        if is_old && self.heard < self.now && self.answers < ANSWERS && room {
            add("the agent says hello and is welcome", &|state: &mut State| {
                let older = std::mem::take(&mut state.agent.stream);
                state.agent.has_stream = true;
                state.answer();
                if rules.without == Without::StreamsEnd {
                    state.agent.stream.extend(older);
                }
            });
        }
        let is_asked = self.agent.stream.contains(&Message::Thaw);
        if self.agent.has_stream && !self.is_lost && self.runner.reported_frozen && !is_asked && room {
            add("the leader has it go on", &|state: &mut State| state.agent.stream.push_back(Message::Thaw));
        }
        if !self.agent.stream.is_empty() && room {
            add("the agent passes a message on", &|state: &mut State| {
                let message = state.agent.stream.pop_front().unwrap();
                if let Message::Renew(sent) = message {
                    state.agent.lease = state.agent.lease.max(Some(sent));
                    state.agent.is_answered = false;
                }
                state.socket.push_back(message);
            });
        }
    }

    fn answer(&mut self) {
        self.answers += 1;
        self.heard = self.now;
        self.agent.stream.push_back(Message::Renew(self.now));
    }

    // All together.

    /// Whether no step can lead to two copies any more: there is no tree, or its runner's brake is
    /// closed and nothing is under way that would open it, or the worker cannot be lost before the
    /// end.
    pub(crate) fn is_decided(&self, rules: Rules) -> bool {
        let thaws = [RunnerAct::CheckLease, RunnerAct::Thaw];
        let is_thawed = self.runner.acts.iter().any(|act| thaws.contains(act))
            || self.socket.contains(&Message::Thaw)
            || self.agent.stream.contains(&Message::Thaw)
            || matches!(rules.without, Without::TwoBrakes | Without::ThawByLeader);
        let is_over = self.is_lost && self.runners_brake && !is_thawed;
        let is_early = !self.is_lost && self.heard + rules.timeout() > HORIZON;
        !self.is_alive || is_over || is_early
    }

    pub(crate) fn steps(&self, rules: Rules) -> Vec<(Label, State)> {
        let mut out = Vec::new();
        let mut is_idle = true;
        let mut add = |label: Label, next: State| out.push((label, next));
        if self.runner.process == Process::Awake {
            if self.runner_is_due() {
                is_idle = false;
                let mut next = self.clone();
                let label = next.runner_steps(rules);
                add(label, next);
            }
            if self.guard.process == Process::Dead && self.runner.acts.is_empty() {
                is_idle = false;
                let mut next = self.clone();
                next.guard = GuardProcess::new();
                add("the runner starts a guard", next);
            }
        }
        if self.guard.process == Process::Awake {
            if self.guard_is_due() {
                is_idle = false;
                let mut next = self.clone();
                let label = next.guard_steps(rules);
                add(label, next);
            }
            if self.runner.process == Process::Dead {
                is_idle = false;
                let mut next = self.clone();
                next.is_alive = false;
                add("the guard ends what its runner left", next);
            }
        }
        if self.agent.process == Process::Awake {
            if self.agent_fences(rules) {
                is_idle = false;
                let mut next = self.clone();
                next.is_alive = false;
                add("the agent ends the tree", next);
            }
            match self.runner.process {
                Process::Awake if !self.agent.has_adopted => {
                    is_idle = false;
                    let mut next = self.clone();
                    next.socket.clear();
                    next.agent.has_adopted = true;
                    next.agent.lease = next.runner.fence.renewal().map(|renewal| renewal.sent.0 / at(1).time.0);
                    add("the agent finds the runner", next);
                }
                Process::Dead => {
                    is_idle = false;
                    let mut next = self.clone();
                    next.is_alive = false;
                    add("the agent starts a runner, which ends what the last one left", next);
                }
                Process::Awake | Process::Stopped => {}
            }
        }
        if self.agent.process == Process::Awake && self.agent.has_adopted {
            // A message waits for a stopped agent, but not for an awake one.
            is_idle &= self.agent.stream.is_empty();
            self.agent_steps(rules, &mut out);
        }
        if !self.is_lost && self.now >= self.heard + rules.timeout() {
            let mut next = self.clone();
            next.is_lost = true;
            next.agent.has_stream = false;
            is_idle = false;
            out.push(("the leader declares the worker lost and runs it elsewhere", next));
        }
        if is_idle && self.now < HORIZON {
            let mut next = self.clone();
            next.now += 1;
            out.push(("time passes", next));
        }
        self.recover(&mut out);
        out
    }

    /// A stopped process goes on, and a dead agent starts again. Other parts start the next runner
    /// and the next guard.
    fn recover(&self, out: &mut Vec<(Label, State)>) {
        for (process, label) in
            PROCESSES.into_iter().zip(["the agent goes on", "the runner goes on", "the guard goes on"])
        {
            let mut next = self.clone();
            if *process(&mut next) == Process::Stopped {
                *process(&mut next) = Process::Awake;
                out.push((label, next));
            }
        }
        if self.agent.process == Process::Dead {
            let mut next = self.clone();
            next.agent.process = Process::Awake;
            out.push(("the agent starts again", next));
        }
    }

    /// Everything that can befall one of the three.
    pub(crate) fn faults(&self, rules: Rules) -> Vec<(Label, State)> {
        // An idle process is not stopped here: it may as well be stopped once it has something to
        // do.
        let is_due = [
            self.agent_is_due(rules),
            self.runner_is_due() || !self.agent.has_adopted || self.guard.process == Process::Dead,
            self.guard_is_due() || self.runner.process == Process::Dead,
        ];
        let stopped = ["the agent is stopped", "the runner is stopped", "the guard is stopped"];
        let killed = ["the agent is killed", "the runner is killed", "the guard is killed"];
        let mut out = Vec::new();
        for (number, process) in PROCESSES.into_iter().enumerate() {
            let mut next = self.clone();
            let before = *process(&mut next);
            if before == Process::Awake && is_due[number] {
                *process(&mut next) = Process::Stopped;
                out.push((stopped[number], next));
            }
            if before != Process::Dead {
                let mut next = self.clone();
                *process(&mut next) = Process::Dead;
                if number == 0 {
                    next.agent.forget();
                }
                next.is_alive &= number != 1 || !rules.namespace;
                out.push((killed[number], next));
            }
        }
        out.retain(|(_, next)| next.down() <= rules.down);
        out
    }
}

/// Agent, runner and guard.
const PROCESSES: [fn(&mut State) -> &mut Process; 3] =
    [|state| &mut state.agent.process, |state| &mut state.runner.process, |state| &mut state.guard.process];

impl Agent {
    /// Its knowledge and its stream end with it.
    fn forget(&mut self) {
        (self.has_adopted, self.has_stream, self.lease, self.is_answered) = (false, false, None, false);
        self.stream.clear();
    }
}
