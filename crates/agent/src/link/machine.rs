//! The machine: its state, its inputs, its deadlines.

use std::collections::VecDeque;

use muster_types::{Epoch, Incarnation, Report, Session, Time};

use super::effect::{LinkEffect, Notice};
use super::input::LinkInput;
use super::masters::{MasterList, Pace};
use super::memory::{EpochMemory, RememberedCluster};
use super::reports::{Reports, in_messages};
use super::stream::{CONNECT_PATIENCE, HELLO_PATIENCE, Heartbeats, StreamState, StreamTerms};
use super::watch::LeaderDial;

/// The runner, as the link sees it.
///
/// `Gone → Ready` when one is adopted; `Ready ⇄ Silent`; any of them `→ Gone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunnerState {
    /// There is no runner: nothing is dialled.
    Gone,
    /// The runner answers.
    Ready(Incarnation),
    /// The runner does not answer. No hello and no heartbeat goes out, since nothing could stop the
    /// attempts that they would lease.
    Silent(Incarnation),
}

/// The worker's side of the link.
#[derive(Debug)]
pub struct Link {
    pub(super) runner: RunnerState,
    pub(super) masters: MasterList,
    pub(super) memory: EpochMemory,
    pub(super) stream: StreamState,
    pub(super) watch: LeaderDial,
    pub(super) reports: Reports,
    pub(super) last_session: Session,
    /// When the lease ends; `None` before the first answer, and after its end was handled.
    pub(super) lease_end: Option<Time>,
    pub(super) effects: VecDeque<LinkEffect>,
}

impl Link {
    /// A link that has dialled no master. `masters` are the configured ones, `remembered` is what
    /// is on disk.
    pub fn new(masters: Vec<String>, remembered: Option<RememberedCluster>) -> Link {
        Link {
            runner: RunnerState::Gone,
            masters: MasterList::new(masters),
            memory: EpochMemory::new(remembered),
            stream: StreamState::Idle { dial_at: Time(0) },
            watch: LeaderDial::default(),
            reports: Reports::default(),
            last_session: Session(0),
            lease_end: None,
            effects: VecDeque::new(),
        }
    }

    /// Takes masters that an earlier agent knew, in addition to the configured ones. To be called
    /// before any input.
    pub fn recall_masters(&mut self, masters: &[String]) {
        self.masters.learn(masters);
    }

    /// Takes one input. `entropy` is fresh with each call; it spreads reconnects.
    pub fn handle(&mut self, now: Time, entropy: u64, input: LinkInput) {
        match input {
            LinkInput::RunnerReady(incarnation) => self.handle_runner_ready(now, incarnation),
            LinkInput::RunnerSilent => self.handle_runner_silent(),
            LinkInput::RunnerAnswers => self.handle_runner_answers(now),
            LinkInput::RunnerGone => self.handle_runner_gone(now),
            LinkInput::Connected(session) => self.handle_connected(now, session),
            LinkInput::Broken(session) => self.handle_broken(now, entropy, session),
            LinkInput::Down(session, down) => self.handle_down(now, entropy, session, down),
            LinkInput::Persisted(remembered) => self.handle_persisted(remembered),
            LinkInput::Inventory(session, reports) => self.handle_inventory(now, session, reports),
            LinkInput::Reports(reports) => self.handle_reports(now, reports),
            LinkInput::LeaderSeen(seen) => self.handle_leader_seen(now, entropy, seen),
            LinkInput::WatchBroken(master) => self.handle_watch_broken(now, entropy, &master),
            LinkInput::Tick => {}
        }
        self.pass_time(now, entropy);
    }

    /// The effects since the last call, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = LinkEffect> + '_ {
        self.effects.drain(..)
    }

    /// When `handle` must be called with [`LinkInput::Tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        [self.stream_deadline(), self.lease_end, self.watch_deadline()].into_iter().flatten().min()
    }

    /// The address and epoch of the leader that has this worker's inventory.
    pub fn registered_with(&self) -> Option<(&str, Epoch)> {
        match &self.stream {
            StreamState::Active { terms, .. } => Some((&terms.master, terms.epoch())),
            _ => None,
        }
    }

    /// The masters that are known.
    pub fn masters(&self) -> &[String] {
        self.masters.addresses()
    }

    /// The highest epoch seen.
    pub fn epoch(&self) -> Option<Epoch> {
        self.memory.epoch()
    }

    fn stream_deadline(&self) -> Option<Time> {
        let answers = matches!(self.runner, RunnerState::Ready(_));
        match &self.stream {
            StreamState::Idle { dial_at } => (answers && !self.masters.addresses().is_empty()).then_some(*dial_at),
            StreamState::Dialing { until, .. } | StreamState::Greeting { until, .. } => Some(*until),
            StreamState::Remembering { .. } | StreamState::Counting { .. } => None,
            StreamState::Active { heartbeats, .. } => answers.then_some(heartbeats.due),
        }
    }

    fn pass_time(&mut self, now: Time, entropy: u64) {
        if self.lease_end.is_some_and(|end| end <= now) {
            self.end_lease(now, entropy);
        }
        if self.is_due(now) && !matches!(self.stream, StreamState::Idle { .. }) {
            self.pass_stream_deadline(now, entropy);
        }
        if self.is_due(now) && matches!(self.stream, StreamState::Idle { .. }) {
            self.dial(now);
        }
        self.mind_watch(now, entropy);
    }

    fn is_due(&self, now: Time) -> bool {
        self.stream_deadline().is_some_and(|due| due <= now)
    }

    fn pass_stream_deadline(&mut self, now: Time, entropy: u64) {
        match &mut self.stream {
            StreamState::Idle { .. } => {}
            StreamState::Dialing { .. } | StreamState::Greeting { .. } => self.abandon(now, entropy, Pace::BackOff),
            StreamState::Remembering { .. } | StreamState::Counting { .. } => {}
            StreamState::Active { heartbeats, .. } if heartbeats.gave_up() => {
                self.effects.push_back(LinkEffect::Say(Notice::Unanswered));
                self.abandon(now, entropy, Pace::BackOff);
            }
            StreamState::Active { .. } => self.beat(now),
        }
    }

    fn beat(&mut self, now: Time) {
        let StreamState::Active { session, terms, heartbeats } = &mut self.stream else { return };
        let session = *session;
        let number = heartbeats.send(now, terms.interval());
        self.effects.push_back(LinkEffect::SendHeartbeat(session, number));
        let overdue = self.reports.overdue(now);
        if !overdue.is_empty() {
            self.send_reports(now, session, overdue);
        }
    }

    fn end_lease(&mut self, now: Time, entropy: u64) {
        self.lease_end = None;
        self.effects.push_back(LinkEffect::Say(Notice::LeaseEnded));
        if matches!(self.runner, RunnerState::Silent(_)) {
            self.effects.push_back(LinkEffect::FenceWithoutRunner);
        }
        if self.stream.terms().is_some() {
            self.abandon(now, entropy, Pace::BackOff);
        }
    }

    fn dial(&mut self, now: Time) {
        let Some(master) = self.masters.choose() else { return };
        // The session must be larger than every earlier one of this incarnation, also those of
        // earlier agents, with nothing kept on disk. The clock counts from the boot, and no agent
        // dials more than once per millisecond.
        let session = Session((self.last_session.0 + 1).max(now.0 / 1_000_000));
        self.last_session = session;
        self.effects.push_back(LinkEffect::Dial(session, master.clone()));
        self.stream = StreamState::Dialing { session, master, until: now + CONNECT_PATIENCE };
    }

    /// Leaves the current stream, and plans the next.
    pub(super) fn abandon(&mut self, now: Time, entropy: u64, pace: Pace) {
        if let Some(session) = self.stream.session() {
            self.effects.push_back(LinkEffect::Close(session));
        }
        let dial_at = self.masters.schedule(now, pace, self.watch.is_to_name(self.memory.epoch()), entropy);
        self.stream = StreamState::Idle { dial_at };
    }

    fn handle_runner_ready(&mut self, now: Time, incarnation: Incarnation) {
        self.handle_runner_gone(now);
        self.runner = RunnerState::Ready(incarnation);
    }

    /// The runner may have stopped answering before the lease ended, and be found silent only now:
    /// then nothing has ended the leased trees. The same holds where no lease is known, because an
    /// earlier agent renewed it.
    fn handle_runner_silent(&mut self) {
        if let RunnerState::Ready(incarnation) = self.runner {
            self.runner = RunnerState::Silent(incarnation);
            if self.lease_end.is_none() {
                self.effects.push_back(LinkEffect::FenceWithoutRunner);
            }
        }
    }

    fn handle_runner_answers(&mut self, now: Time) {
        let RunnerState::Silent(incarnation) = self.runner else { return };
        self.runner = RunnerState::Ready(incarnation);
        if let StreamState::Active { heartbeats, .. } = &mut self.stream {
            heartbeats.due = heartbeats.due.max(now);
        }
    }

    /// A stream belongs to one connection of one runner: commands that it brought may be lost with
    /// that connection.
    fn handle_runner_gone(&mut self, now: Time) {
        self.runner = RunnerState::Gone;
        self.reports.clear();
        if let Some(session) = self.stream.session() {
            self.effects.push_back(LinkEffect::Close(session));
            self.stream = StreamState::Idle { dial_at: now };
        }
    }

    fn handle_connected(&mut self, now: Time, connected: Session) {
        let StreamState::Dialing { session, master, .. } = &self.stream else { return };
        let RunnerState::Ready(incarnation) = self.runner else { return };
        if *session != connected {
            return;
        }
        self.effects.push_back(LinkEffect::SendHello {
            session: connected,
            incarnation,
            cluster: self.memory.cluster(),
            epoch: self.memory.epoch(),
        });
        let master = master.clone();
        self.stream = StreamState::Greeting { session: connected, master, sent: now, until: now + HELLO_PATIENCE };
    }

    fn handle_broken(&mut self, now: Time, entropy: u64, session: Session) {
        if self.stream.session() != Some(session) {
            return;
        }
        // A machine without a master refuses at once, and where only the stream broke, its leader
        // is there. Were another dialled, so would be by all workers of a leader that has died.
        if self.watch.is_to_name(self.memory.epoch()) && matches!(self.stream, StreamState::Active { .. }) {
            self.dial_same_again();
        }
        self.abandon(now, entropy, Pace::BackOff);
    }

    fn handle_persisted(&mut self, remembered: RememberedCluster) {
        self.memory.persisted(remembered);
        if let StreamState::Remembering { session, terms, hello_sent } = &self.stream
            && self.memory.is_durable(&terms.remembered)
        {
            let (session, terms, hello_sent) = (*session, terms.clone(), *hello_sent);
            self.count(session, terms, hello_sent);
        }
    }

    /// The welcome is accepted: the lease counts from its hello, and the inventory is asked for
    /// after everything that was sent to the runner.
    pub(super) fn count(&mut self, session: Session, terms: StreamTerms, hello_sent: Time) {
        self.renew(hello_sent, &terms);
        self.effects.push_back(LinkEffect::AskInventory(session));
        self.stream = StreamState::Counting { session, terms };
    }

    pub(super) fn renew(&mut self, sent: Time, terms: &StreamTerms) {
        let end = sent + terms.lease;
        self.lease_end = Some(self.lease_end.map_or(end, |known| known.max(end)));
        self.effects.push_back(LinkEffect::RenewLease { sent, lease: terms.lease });
    }

    fn handle_inventory(&mut self, now: Time, asked: Session, inventory: Vec<Report>) {
        let StreamState::Counting { session, terms } = &self.stream else { return };
        if *session != asked {
            return;
        }
        let terms = terms.clone();
        self.reports.replace(now, inventory.clone());
        let messages = in_messages(inventory);
        let last = messages.len() - 1;
        for (index, reports) in messages.into_iter().enumerate() {
            self.effects.push_back(LinkEffect::SendInventory(asked, reports, index == last));
        }
        self.effects.push_back(LinkEffect::Registered(asked, terms.epoch()));
        let heartbeats = Heartbeats::new(now + terms.interval());
        self.stream = StreamState::Active { session: asked, terms, heartbeats };
    }

    /// Reports before the inventory are dropped: the inventory will hold them.
    fn handle_reports(&mut self, now: Time, reports: Vec<Report>) {
        let StreamState::Active { session, .. } = self.stream else { return };
        let newer: Vec<Report> = reports.into_iter().filter(|report| self.reports.take(report)).collect();
        if !newer.is_empty() {
            self.send_reports(now, session, newer);
        }
    }

    fn send_reports(&mut self, now: Time, session: Session, reports: Vec<Report>) {
        self.reports.sent(now, &reports);
        for message in in_messages(reports) {
            self.effects.push_back(LinkEffect::SendReports(session, message));
        }
    }
}
