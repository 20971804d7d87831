//! What comes down: judged by stream, session and epoch before it is obeyed.

use muster_types::{Acknowledgement, Epoch, Incarnation, Session, Time, WorkerCommand};

use super::effect::{Effect, Notice};
use super::input::{Down, DownMessage, Goodbye, GoodbyeReason, Welcome};
use super::machine::{Link, Runner};
use super::masters::Pace;
use super::memory::{Offer, Remembered};
use super::stream::{Stream, Terms};

impl Link {
    pub(super) fn handle_down(&mut self, now: Time, entropy: u64, session: Session, down: Down) {
        if self.stream.session() != Some(session) {
            return;
        }
        if let DownMessage::Goodbye(goodbye) = down.message {
            return self.handle_goodbye(now, entropy, goodbye);
        }
        let Some(epoch) = down.epoch.filter(|_| down.session == session) else {
            return self.leave(now, entropy, Notice::Nonsense("message without epoch or of another session"));
        };
        if let DownMessage::Welcome(welcome) = down.message {
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
            DownMessage::HeartbeatAnswer(number) => self.handle_answer(number),
            DownMessage::Commands(incarnation, commands) => self.handle_commands(incarnation, commands),
            DownMessage::Acknowledgements(list) => self.handle_acknowledgements(&list),
            DownMessage::Masters(masters) => self.learn_masters(&masters),
            DownMessage::Welcome(_) | DownMessage::Goodbye(_) => {}
        }
    }

    fn leave(&mut self, now: Time, entropy: u64, why: Notice) {
        self.effects.push_back(Effect::Say(why));
        self.abandon(now, entropy, Pace::BackOff);
    }

    fn handle_welcome(&mut self, now: Time, entropy: u64, epoch: Epoch, welcome: Welcome) {
        let Stream::Greeting { session, master, sent, .. } = &self.stream else {
            return self.leave(now, entropy, Notice::Nonsense("second welcome"));
        };
        let (session, master, hello_sent) = (*session, master.clone(), *sent);
        let remembered = Remembered { cluster: welcome.cluster, epoch };
        let durable = match self.memory.offer(remembered) {
            Offer::WrongCluster(joined) => {
                self.effects.push_back(Effect::Say(Notice::WrongCluster { joined, offered: welcome.cluster }));
                return self.abandon(now, entropy, Pace::Slow);
            }
            Offer::Stale(seen) => return self.leave(now, entropy, Notice::StaleLeader { seen, offered: epoch }),
            Offer::Durable => true,
            Offer::Pending(ask) => {
                if ask {
                    self.effects.push_back(Effect::Persist(remembered));
                }
                false
            }
        };
        self.learn_masters(&welcome.masters);
        let terms = Terms { master, remembered, heartbeat: welcome.heartbeat, lease: welcome.lease };
        if durable {
            self.count(session, terms, hello_sent);
        } else {
            self.stream = Stream::Remembering { session, terms, hello_sent };
        }
    }

    fn handle_answer(&mut self, number: u64) {
        let Stream::Active { terms, heartbeats, .. } = &mut self.stream else { return };
        if let Some(sent) = heartbeats.answered(number) {
            let terms = terms.clone();
            self.masters.settle();
            self.renew(sent, &terms);
        }
    }

    /// Commands are for one incarnation. They are obeyed only once the inventory has gone up: a leader sends none before.
    fn handle_commands(&mut self, incarnation: Incarnation, commands: Vec<WorkerCommand>) {
        let (Runner::Ready(own) | Runner::Silent(own)) = self.runner else { return };
        if own != incarnation {
            self.effects.push_back(Effect::Say(Notice::OtherIncarnation(incarnation)));
        } else if !matches!(self.stream, Stream::Active { .. }) {
            self.effects.push_back(Effect::Say(Notice::Nonsense("commands before the inventory")));
        } else if !commands.is_empty() {
            self.effects.push_back(Effect::Obey(commands));
        }
    }

    fn handle_acknowledgements(&mut self, list: &[Acknowledgement]) {
        for acknowledgement in list {
            if self.reports.acknowledge(acknowledgement) {
                self.effects.push_back(Effect::Forget(*acknowledgement));
            }
        }
    }

    fn handle_goodbye(&mut self, now: Time, entropy: u64, goodbye: Goodbye) {
        let message = goodbye.message;
        let pace = match goodbye.reason {
            GoodbyeReason::Refused(refusal) => {
                self.effects.push_back(Effect::Say(Notice::Refused { refusal, message }));
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
        self.effects.push_back(Effect::Say(Notice::Goodbye(message)));
        self.abandon(now, entropy, pace);
    }

    pub(super) fn learn_masters(&mut self, masters: &[String]) {
        if self.masters.learn(masters) {
            self.effects.push_back(Effect::Masters(self.masters.addresses().to_vec()));
        }
    }

    fn dial_same_again(&mut self) {
        let master = match &self.stream {
            Stream::Dialing { master, .. } | Stream::Greeting { master, .. } => master.clone(),
            _ => match self.stream.terms() {
                Some(terms) => terms.master.clone(),
                None => return,
            },
        };
        self.masters.prefer(&master);
    }
}
