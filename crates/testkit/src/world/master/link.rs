//! The master's end of streams: hellos, heartbeats, and the messages from and to workers.

use std::time::Duration;

use muster_agent::link::{self, DownlinkMessage, GoodbyeReason, ReceivedGoodbye, Welcome};
use muster_core::liveness::Heartbeat;
use muster_core::{Input, LinkId};
use muster_types::{AttemptKey, Hello, Report, Session};

use super::election::CLUSTER;
use super::term::{Handle, Waiting};
use crate::world::event::{Down, Event, Up};
use crate::world::network::{Node, StreamId};
use crate::world::plan::{HEARTBEAT, LEASE, WAIT};
use crate::world::sabotage::Sabotage;
use crate::world::{World, brief};

pub(crate) fn address(master: usize) -> String {
    format!("m{master}")
}

impl World {
    /// A worker dials. The kernel answers for a process that exists, stopped or not.
    pub(in crate::world) fn take_dial(&mut self, id: StreamId) {
        let Some(stream) = self.network.streams.get(&id).copied() else { return };
        let (here, there) = (Node::Master(stream.master), Node::Worker(stream.worker));
        let cut = self.network.blocked(there, here, self.now).or(self.network.blocked(here, there, self.now));
        if cut.is_some() {
            return;
        }
        let back = self.latency();
        if self.masters[stream.master].is_up() {
            let life = self.masters[stream.master].life;
            if let Some(stream) = self.network.streams.get_mut(&id) {
                stream.life = life;
            }
            self.after(back, Event::Connected { stream: id });
        } else {
            self.after(back, Event::BrokenAtWorker { stream: id });
        }
    }

    pub(in crate::world) fn take_up(&mut self, id: StreamId, number: u64, up: Up) {
        let Some(stream) = self.network.streams.get(&id).copied() else { return };
        let (from, to) = (Node::Worker(stream.worker), Node::Master(stream.master));
        if let Some(until) = self.network.blocked(from, to, self.now) {
            if let Some(stream) = self.network.streams.get_mut(&id) {
                stream.up.hold(until);
            }
            return self.at(until, Event::Up { stream: id, number, up });
        }
        if stream.up.loses(number)
            || self.masters[stream.master].life != stream.life
            || !self.masters[stream.master].is_up()
        {
            return;
        }
        let link = LinkId { worker: stream.uid, session: stream.session };
        let master = stream.master;
        self.note(|| {
            format!("master {master}: of worker {}, {:?}: {}", stream.worker, stream.session, brief(&format!("{up:?}")))
        });
        match up {
            Up::Hello(hello) => self.take_hello(master, id, link, *hello),
            Up::Fin => self.unlink(master, link, id),
            Up::Heartbeat(number) => self.take_heartbeat(master, id, link, number),
            Up::Inventory(reports, complete) => {
                let Some(link) = self.present(master, id, link) else { return };
                let reports = self.rewrite(reports);
                self.queue_input(master, Waiting::Link(Input::Inventory(link, reports, complete)));
            }
            Up::Reports(reports) => {
                let Some(link) = self.present(master, id, link) else { return };
                let reports = self.rewrite(reports);
                self.queue_input(master, Waiting::Link(Input::Reports(link, reports)));
            }
        }
        self.end_if_dying(master);
    }

    /// The link of a stream, if the stream is registered.
    fn present(&mut self, master: usize, id: StreamId, link: LinkId) -> Option<LinkId> {
        let sabotaged = self.sabotaged(Sabotage::SessionCheckOff);
        let active = self.masters[master].active()?;
        if sabotaged {
            let all = LinkId { worker: link.worker, session: Session(0) }..=LinkId {
                worker: link.worker,
                session: Session(u64::MAX),
            };
            return active.links.range(all).next_back().map(|(newest, _)| *newest);
        }
        active.links.get(&link).filter(|handle| handle.stream == id).map(|_| link)
    }

    /// Without the check of attempts, a report of an earlier attempt counts for the open one.
    fn rewrite(&mut self, mut reports: Vec<Report>) -> Vec<Report> {
        if self.sabotaged(Sabotage::AttemptCheckOff) {
            for report in &mut reports {
                let AttemptKey::Driver(uid, number) = report.attempt else { continue };
                let open = self.store.ledger.fold.drivers.get(&uid).and_then(|record| record.attempts.last());
                if let Some(open) = open.filter(|open| open.outcome.is_none() && open.number > number) {
                    report.attempt = AttemptKey::Driver(uid, open.number);
                }
            }
        }
        reports
    }

    fn take_hello(&mut self, master: usize, id: StreamId, link: LinkId, mut hello: Hello) {
        let received = self.clock(master).time;
        let hint = self.hint(master);
        let leads = self.masters[master].active().is_some_and(|active| active.stop.is_none());
        if !leads {
            return self.goodbye(master, id, link.session, GoodbyeReason::NotLeader(hint));
        }
        let incarnation = hello.incarnation;
        if self.sabotaged(Sabotage::IncarnationCheckOff)
            && let Some(known) = self.store.ledger.fold.workers.get(&hello.worker)
        {
            (hello.incarnation, hello.boot_id) = (known.incarnation, known.boot_id.clone());
        }
        let Some(active) = self.masters[master].active() else { return };
        if hello.epoch.is_some_and(|seen| seen.number() > active.epoch.number()) {
            self.count("hello refused for its epoch");
            return self.goodbye(master, id, link.session, GoodbyeReason::Refused("EPOCH".to_owned()));
        }
        if active.links.contains_key(&link) {
            return self.goodbye(master, id, link.session, GoodbyeReason::Refused("OLD_SESSION".to_owned()));
        }
        active.links.insert(link, Handle { stream: id, received, incarnation });
        if let Some(worker) = self.network.streams.get(&id).map(|stream| stream.worker) {
            self.dawdle_if_wanted(master, worker);
        }
        self.queue_input(master, Waiting::Link(Input::Hello(link, Box::new(hello))));
    }

    /// The leader, as this master believes.
    fn hint(&self, master: usize) -> Option<String> {
        let (_, leader) = self.masters[master].keys.first()?;
        (*leader != master).then(|| address(*leader))
    }

    /// Enters the heartbeat in the table that expiry reads, then checks the leadership deadline,
    /// then answers.
    fn take_heartbeat(&mut self, master: usize, id: StreamId, link: LinkId, number: u64) {
        let now = self.clock(master).time;
        let Some(link) = self.present(master, id, link) else { return };
        if self.sabotaged(Sabotage::AnswerBeforeTable) {
            self.say(master, id, link.session, DownlinkMessage::HeartbeatAnswer(number));
            // The loop enters it when the store has answered, or never if that takes longer than
            // the link lives.
            if self.masters[master].active().is_some_and(|active| active.flight.is_some()) || self.rng.chance(600) {
                return;
            }
        }
        let Some(active) = self.masters[master].active() else { return };
        match active.table.heard(link.worker, link.session, now) {
            Heartbeat::Ack if self.stands(master) => {
                if !self.sabotaged(Sabotage::AnswerBeforeTable) {
                    self.say(master, id, link.session, DownlinkMessage::HeartbeatAnswer(number));
                }
            }
            Heartbeat::Ack => self.count("heartbeat not answered past the deadline"),
            Heartbeat::Reconnect => self.end_link(master, link, GoodbyeReason::SayHello),
        }
    }

    pub(super) fn handle_of(&mut self, master: usize, link: LinkId) -> Option<Handle> {
        self.masters[master].active()?.links.get(&link).copied()
    }

    pub(super) fn welcome_message(&self) -> DownlinkMessage {
        let lease = if self.sabotaged(Sabotage::LeaseBeyondWait) { WAIT + Duration::from_secs(6) } else { LEASE };
        let masters = (0..self.masters.len()).map(address).collect();
        DownlinkMessage::Welcome(Welcome { cluster: CLUSTER, heartbeat: HEARTBEAT, lease, masters })
    }

    /// Sends something down a stream, with the leader's numbers on it.
    pub(super) fn say(&mut self, master: usize, id: StreamId, session: Session, message: DownlinkMessage) {
        let epoch = self.masters[master].active().map(|active| active.epoch);
        self.send_down(master, id, Down::Said(link::NumberedDownlink { epoch, session, message }));
    }

    fn send_down(&mut self, master: usize, id: StreamId, down: Down) {
        let Some(leaves) = self.may_send(master) else { return };
        let arrives = leaves + self.latency();
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        if let Some((number, arrives)) = stream.down.send(arrives) {
            self.at(arrives, Event::Down { stream: id, number, down });
        }
    }

    fn goodbye(&mut self, master: usize, id: StreamId, session: Session, reason: GoodbyeReason) {
        self.say(master, id, session, DownlinkMessage::Goodbye(ReceivedGoodbye { reason, message: String::new() }));
        self.send_down(master, id, Down::Fin);
    }

    /// Ends a link with a goodbye.
    pub(super) fn end_link(&mut self, master: usize, link: LinkId, reason: GoodbyeReason) {
        let Some(handle) = self.handle_of(master, link) else { return };
        self.goodbye(master, handle.stream, link.session, reason);
        self.unlink(master, link, handle.stream);
    }

    /// A link's tasks have ended: it leaves the registry first, then the loop is told.
    pub(super) fn unlink(&mut self, master: usize, link: LinkId, id: StreamId) {
        let Some(active) = self.masters[master].active() else { return };
        if active.links.get(&link).is_some_and(|handle| handle.stream == id) {
            active.links.remove(&link);
            self.queue_input(master, Waiting::Link(Input::LinkBroken(link)));
        }
    }

    pub(in crate::world) fn break_at_master(&mut self, id: StreamId) {
        let Some(stream) = self.network.streams.get(&id).copied() else { return };
        if self.masters[stream.master].life == stream.life {
            self.unlink(stream.master, LinkId { worker: stream.uid, session: stream.session }, id);
        }
    }

    pub(super) fn break_streams_of_master(&mut self, master: usize) {
        let streams: Vec<StreamId> =
            self.network.streams.iter().filter(|(_, s)| s.master == master && !s.broken).map(|(id, _)| *id).collect();
        for id in streams {
            self.break_stream(id);
        }
    }

    /// Breaks a stream: some of its messages are lost and the rest are late, and each end learns of
    /// it at its own time.
    pub(in crate::world) fn break_stream(&mut self, id: StreamId) {
        let (up, down) = (self.rng.between(0, 4), self.rng.between(0, 4));
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        if std::mem::replace(&mut stream.broken, true) {
            return;
        }
        stream.up.cut(up);
        stream.down.cut(down);
        for event in [Event::BrokenAtMaster { stream: id }, Event::BrokenAtWorker { stream: id }] {
            // Mostly at once; sometimes an end learns of it only by its own timeout.
            let late = if self.rng.chance(200) { self.rng.between(1_000, 20_000) } else { self.rng.between(0, 50) };
            self.after(Duration::from_millis(late), event);
        }
    }
}
