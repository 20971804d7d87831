//! Messages from a master. Each is checked for stream, session and epoch before it is obeyed.

use muster_types::{Acknowledgement, Epoch, Incarnation, Session, Time, WorkerCommand};

use super::effect::{LinkEffect, Notice};
use super::input::{DownlinkMessage, GoodbyeReason, NumberedDownlink, ReceivedGoodbye, Welcome};
use super::machine::{Link, RunnerState};
use super::masters::Pace;
use super::memory::{Offer, RememberedCluster};
use super::stream::{StreamState, StreamTerms};

impl Link {
    pub(super) fn handle_down(&mut self, now: Time, entropy: u64, session: Session, down: NumberedDownlink) {
        if self.stream.session() != Some(session) {
            return;
        }
        if let DownlinkMessage::Goodbye(goodbye) = down.message {
            return self.handle_goodbye(now, entropy, goodbye);
        }
        let Some(epoch) = down.epoch.filter(|_| down.session == session) else {
            return self.leave(now, entropy, Notice::Nonsense("message without epoch or of another session"));
        };
        if let DownlinkMessage::Welcome(welcome) = down.message {
            return self.handle_welcome(now, entropy, epoch, welcome);
        }
        let Some(terms) = self.stream.terms() else {
            return self.leave(now, entropy, Notice::Nonsense("message before the welcome"));
        };
        if terms.epoch() != epoch {
            let seen = terms.epoch();
            return self.leave(now, entropy, Notice::StaleLeader { seen, offered: epoch });
        }
        match down.message {
            DownlinkMessage::HeartbeatAnswer(number) => self.handle_answer(number),
            DownlinkMessage::Commands(incarnation, commands) => self.handle_commands(incarnation, commands),
            DownlinkMessage::Acknowledgements(list) => self.handle_acknowledgements(&list),
            DownlinkMessage::Masters(masters) => self.learn_masters(&masters),
            DownlinkMessage::Welcome(_) | DownlinkMessage::Goodbye(_) => {}
        }
    }

    fn leave(&mut self, now: Time, entropy: u64, reason: Notice) {
        self.effects.push_back(LinkEffect::Say(reason));
        self.abandon(now, entropy, Pace::BackOff);
    }

    fn handle_welcome(&mut self, now: Time, entropy: u64, epoch: Epoch, welcome: Welcome) {
        let StreamState::Greeting { session, master, sent, .. } = &self.stream else {
            return self.leave(now, entropy, Notice::Nonsense("second welcome"));
        };
        let (session, master, hello_sent) = (*session, master.clone(), *sent);
        let remembered = RememberedCluster { cluster: welcome.cluster, epoch };
        let durable = match self.memory.offer(remembered) {
            Offer::WrongCluster(joined) => {
                self.effects.push_back(LinkEffect::Say(Notice::WrongCluster { joined, offered: welcome.cluster }));
                return self.abandon(now, entropy, Pace::Slow);
            }
            Offer::Stale(seen) => return self.leave(now, entropy, Notice::StaleLeader { seen, offered: epoch }),
            Offer::Durable => true,
            Offer::Pending(ask) => {
                if ask {
                    self.effects.push_back(LinkEffect::Persist(remembered));
                }
                false
            }
        };
        self.learn_masters(&welcome.masters);
        let terms = StreamTerms { master, remembered, heartbeat: welcome.heartbeat, lease: welcome.lease };
        if durable {
            self.count(session, terms, hello_sent);
        } else {
            self.stream = StreamState::Remembering { session, terms, hello_sent };
        }
    }

    fn handle_answer(&mut self, number: u64) {
        let StreamState::Active { terms, heartbeats, .. } = &mut self.stream else { return };
        if let Some(sent) = heartbeats.answered(number) {
            let terms = terms.clone();
            self.masters.settle();
            self.renew(sent, &terms);
        }
    }

    /// Commands are for one incarnation. They are obeyed only once the inventory has gone up: a
    /// leader sends none before.
    fn handle_commands(&mut self, incarnation: Incarnation, commands: Vec<WorkerCommand>) {
        let (RunnerState::Ready(own) | RunnerState::Silent(own)) = self.runner else { return };
        if own != incarnation {
            self.effects.push_back(LinkEffect::Say(Notice::OtherIncarnation(incarnation)));
        } else if !matches!(self.stream, StreamState::Active { .. }) {
            self.effects.push_back(LinkEffect::Say(Notice::Nonsense("commands before the inventory")));
        } else if !commands.is_empty() {
            self.effects.push_back(LinkEffect::Obey(commands));
        }
    }

    fn handle_acknowledgements(&mut self, list: &[Acknowledgement]) {
        for acknowledgement in list {
            if self.reports.acknowledge(acknowledgement) {
                self.effects.push_back(LinkEffect::Forget(*acknowledgement));
            }
        }
    }

    fn handle_goodbye(&mut self, now: Time, entropy: u64, goodbye: ReceivedGoodbye) {
        let message = goodbye.message;
        let pace = match goodbye.reason {
            GoodbyeReason::Refused(refusal) => {
                self.effects.push_back(LinkEffect::Say(Notice::Refused { refusal, message }));
                return self.abandon(now, entropy, Pace::Slow);
            }
            GoodbyeReason::SayHello => {
                self.dial_same_again();
                Pace::AtOnce
            }
            GoodbyeReason::NotLeader(Some(leader)) => self.masters.hear_of(leader),
            GoodbyeReason::Busy => {
                self.dial_same_again();
                Pace::BackOff
            }
            GoodbyeReason::NotLeader(None)
            | GoodbyeReason::Unknown
            | GoodbyeReason::Shutdown
            | GoodbyeReason::Superseded => Pace::BackOff,
        };
        self.effects.push_back(LinkEffect::Say(Notice::Goodbye(message)));
        self.abandon(now, entropy, pace);
    }

    pub(super) fn learn_masters(&mut self, masters: &[String]) {
        if self.masters.learn(masters) {
            self.effects.push_back(LinkEffect::Masters(self.masters.addresses().to_vec()));
        }
    }

    pub(super) fn dial_same_again(&mut self) {
        let master = match &self.stream {
            StreamState::Dialing { master, .. } | StreamState::Greeting { master, .. } => master.clone(),
            _ => match self.stream.terms() {
                Some(terms) => terms.master.clone(),
                None => return,
            },
        };
        self.masters.prefer(&master);
    }
}
