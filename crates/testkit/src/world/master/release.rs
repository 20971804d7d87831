//! What depends on a transaction is done in order, after that transaction and every earlier one.

use std::collections::BTreeSet;

use muster_agent::link::{DownlinkMessage, GoodbyeReason};
use muster_core::liveness::Heartbeat;
use muster_core::{Answer, Effect, LinkId, ViewUpdate};
use muster_types::Session;

use super::term::{Caller, Stop, Waiting};
use crate::world::World;
use crate::world::event::{Event, Reply};
use crate::world::network::Node;

impl World {
    /// `durable` says that the effects follow a write that is in the store.
    pub(super) fn release(&mut self, master: usize, effects: Vec<Effect>, durable: bool) {
        let (shows, rest): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::UpdateView(_)));
        for show in shows {
            if let Effect::UpdateView(ViewUpdate::Driver(shown)) = show {
                self.witness_shown(&shown.record);
            }
        }
        for effect in rest {
            self.act(master, effect, durable);
            if !self.masters[master].is_up() {
                return;
            }
        }
    }

    fn act(&mut self, master: usize, effect: Effect, durable: bool) {
        match effect {
            Effect::Reply(call, answer) => {
                // An answer that follows no write is given only while the deadline stands.
                let stands = durable || self.stands(master);
                let Some(active) = self.masters[master].active() else { return };
                let Some(caller) = active.calls.remove(&call) else { return };
                if let Ok(Answer::Session(application, number, _)) = &answer {
                    active.sessions.insert((*application, number.0));
                }
                if stands {
                    self.reply(master, caller, Reply::Core(Box::new(answer)));
                }
            }
            Effect::Welcome(link) => self.welcome(master, link),
            Effect::Refuse(link, refusal) => {
                self.count("hello refused");
                self.end_link(master, link, GoodbyeReason::Refused(refusal.as_str().to_owned()));
            }
            Effect::Send(link, commands) => {
                let Some(handle) = self.handle_of(master, link) else { return };
                let commands = DownlinkMessage::Commands(handle.incarnation, commands);
                self.say(master, handle.stream, link.session, commands);
            }
            Effect::Acknowledge(link, list) => {
                let Some(handle) = self.handle_of(master, link) else { return };
                self.say(master, handle.stream, link.session, DownlinkMessage::Acknowledgements(list));
            }
            Effect::Reconnect(link) => self.end_link(master, link, GoodbyeReason::SayHello),
            Effect::WorkerLossCommitted(worker) => {
                self.count("worker lost");
                if let Some(active) = self.masters[master].active() {
                    active.table.settle(worker);
                }
            }
            Effect::EndSession(application, number, _) => {
                if let Some(active) = self.masters[master].active() {
                    active.sessions.remove(&(application, number.0));
                }
            }
            Effect::Session(..) | Effect::UpdateView(_) => {}
        }
    }

    /// The core has accepted a hello: older streams are cut, then the table is told, then the
    /// worker.
    fn welcome(&mut self, master: usize, link: LinkId) {
        let Some(active) = self.masters[master].active() else { return };
        let older: Vec<LinkId> = active
            .links
            .range(LinkId { worker: link.worker, session: Session(0) }..link)
            .map(|(older, _)| *older)
            .collect();
        for older in older {
            self.end_link(master, older, GoodbyeReason::Superseded);
        }
        let Some(handle) = self.handle_of(master, link) else { return };
        let Some(active) = self.masters[master].active() else { return };
        match active.table.welcome(link.worker, link.session, handle.received) {
            Heartbeat::Ack if self.stands(master) => {
                let welcome = self.welcome_message();
                self.say(master, handle.stream, link.session, welcome);
            }
            Heartbeat::Ack | Heartbeat::Reconnect => self.end_link(master, link, GoodbyeReason::SayHello),
        }
    }

    pub(super) fn reply(&mut self, master: usize, caller: Caller, reply: Reply) {
        let Some(leaves) = self.may_send(master) else { return };
        let arrives = leaves + self.latency();
        if self.network.blocked(Node::Master(master), Node::Client, self.now).is_some() {
            return;
        }
        self.at(arrives, Event::Replied { call: caller.call, reply });
    }

    /// Ends every link with a goodbye.
    pub(super) fn say_goodbye(&mut self, master: usize, reason: Stop) {
        let Some(active) = self.masters[master].active() else { return };
        let links: Vec<LinkId> = active.links.keys().copied().collect();
        for link in links {
            let reason = match reason {
                Stop::Told => GoodbyeReason::Shutdown,
                Stop::Ended => GoodbyeReason::SayHello,
            };
            self.end_link(master, link, reason);
        }
    }

    /// Callers whose request was not handled are told so. Whether a request that is with the store
    /// is applied is unknown, so its caller gets no answer.
    pub(super) fn dismiss_all(&mut self, master: usize) {
        let Some(active) = self.masters[master].active() else { return };
        let inbox = std::mem::take(&mut active.inbox);
        let handled = std::mem::take(&mut active.calls);
        let with_store: BTreeSet<_> = match active.flight.take() {
            Some(flight) => {
                let asked = flight.effects.iter().filter_map(|effect| match effect {
                    Effect::Reply(call, _) => Some(*call),
                    _ => None,
                });
                asked.collect()
            }
            None => BTreeSet::new(),
        };
        let waiting = inbox.into_iter().filter_map(|waiting| match waiting {
            Waiting::Call(caller, _) => Some(caller),
            Waiting::Link(_) => None,
        });
        // These were handled and are not with the store, so nothing of them was written.
        let undone = handled.into_iter().filter(|(call, _)| !with_store.contains(call)).map(|(_, caller)| caller);
        for caller in waiting.chain(undone).collect::<Vec<_>>() {
            self.reply(master, caller, Reply::NotLeader);
        }
    }
}
