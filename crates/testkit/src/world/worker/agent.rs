//! The agent: it carries out the link's effects in order, as `crates/worker` does.

use std::sync::Arc;
use std::time::Duration;

use muster_agent::link::{LinkEffect, LinkInput, RememberedCluster};
use muster_agent::runner_protocol::Renewal;
use muster_types::{AttemptKey, AttemptState, Capabilities, Hello, Launch, Report, Session, WallTime, WorkerCommand};

use super::{RunnerCommand, Told};
use crate::world::clock::Instant;
use crate::world::event::{Down, Event, Life, Up};
use crate::world::network::{Node, Pipe, Stream, StreamId};
use crate::world::sabotage::Sabotage;
use crate::world::{World, brief};

/// Sending times that are remembered: more than there can be open heartbeats.
const SENT_AT: usize = 16;

impl World {
    /// Feeds the link, and carries out its effects.
    pub(in crate::world) fn feed(&mut self, worker: usize, input: LinkInput) {
        let now = self.worker_clock(worker);
        let Some(agent) = &mut self.workers[worker].agent else { return };
        let entropy = agent.entropy.bits();
        agent.link.handle(now.time, entropy, input);
        let effects: Vec<LinkEffect> = agent.link.drain().collect();
        for effect in effects {
            self.carry_out(worker, effect);
        }
        self.arm_link(worker);
    }

    fn arm_link(&mut self, worker: usize) {
        let machine = &mut self.workers[worker];
        let (clock, life) = (machine.clock, machine.agent_life);
        let Some(agent) = &mut machine.agent else { return };
        let Some(deadline) = agent.link.next_deadline() else { return };
        let due = clock.when(deadline).max(self.now);
        if agent.due.is_none_or(|at| at > due) {
            agent.due = Some(due);
            self.at(due, Event::LinkDue { worker, life });
        }
    }

    pub(in crate::world) fn link_due(&mut self, worker: usize, life: Life) {
        let machine = &mut self.workers[worker];
        let Some(agent) = machine.agent.as_mut().filter(|_| machine.agent_life == life) else { return };
        agent.due = None;
        self.feed(worker, LinkInput::Tick);
    }

    fn carry_out(&mut self, worker: usize, effect: LinkEffect) {
        match effect {
            LinkEffect::Dial(session, address) => self.dial(worker, session, &address),
            LinkEffect::Close(session) => {
                self.send_up(worker, session, Up::Fin);
                if let Some(agent) = &mut self.workers[worker].agent {
                    agent.streams.remove(&session);
                }
            }
            LinkEffect::SendHello { session, incarnation, cluster, epoch } => {
                self.note_sent(worker);
                let machine = &self.workers[worker];
                let hello = Hello {
                    cluster,
                    worker: machine.uid,
                    name: machine.name.as_str().into(),
                    machine_id: format!("machine-{}", machine.name),
                    boot_id: format!("boot-{}", machine.boot),
                    incarnation,
                    session,
                    epoch,
                    capabilities: Capabilities {
                        tree: true,
                        freezer: machine.freezer,
                        earlier_ended: true,
                        ..Capabilities::default()
                    },
                    total: machine.total.clone(),
                    labels: Default::default(),
                    variables: Default::default(),
                    host: format!("host-{}", machine.name),
                    address: format!("{}:1", machine.name),
                    version: "1".to_owned(),
                    key: None,
                };
                self.send_up(worker, session, Up::Hello(Box::new(hello)));
            }
            LinkEffect::Persist(remembered) => {
                let pause = Duration::from_micros(self.rng.between(200, 40_000));
                let life = self.workers[worker].agent_life;
                self.after(pause, Event::Persisted { worker, life, remembered });
            }
            LinkEffect::AskInventory(session) => self.order(worker, RunnerCommand::Inventory(session)),
            LinkEffect::SendInventory(session, reports, complete) => {
                self.send_up(worker, session, Up::Inventory(reports, complete));
            }
            LinkEffect::Registered(_, epoch) => {
                self.witness_epoch(worker, epoch);
                self.finish_preparing(worker);
                let now = self.now;
                let machine = &mut self.workers[worker];
                let watched = machine.runner_stopped_until <= now || machine.guard.stopped_until <= now;
                if let Some(length) = machine.agent_stops_next.take().filter(|_| watched) {
                    machine.agent_stopped_until = machine.agent_stopped_until.max(now + length);
                    self.count("agent stopped in the middle");
                }
            }
            LinkEffect::SendHeartbeat(session, number) => {
                self.note_sent(worker);
                self.send_up(worker, session, Up::Heartbeat(number));
            }
            LinkEffect::SendReports(session, reports) => self.send_up(worker, session, Up::Reports(reports)),
            LinkEffect::RenewLease { sent, lease } => {
                let now = self.worker_clock(worker);
                let (mut sent, mut sent_wall) = (sent, self.wall_of(worker, sent));
                if self.sabotaged(Sabotage::LeaseFromReceipt) {
                    (sent, sent_wall) = (now.time, now.wall);
                }
                self.order(worker, RunnerCommand::Renew(Renewal { sent, sent_wall, lease }));
            }
            LinkEffect::Obey(commands) => {
                for command in commands {
                    self.obey(worker, command);
                }
            }
            LinkEffect::Forget(acknowledgement) => {
                if let Some(agent) = &mut self.workers[worker].agent {
                    agent.known.remove(&acknowledgement.attempt);
                }
                self.order(worker, RunnerCommand::Closed(acknowledgement));
            }
            LinkEffect::FenceWithoutRunner => self.fence_without_runner(worker),
            // No master is watched here: workers find the next leader by dialling.
            LinkEffect::Watch(_) | LinkEffect::Unwatch | LinkEffect::Masters(_) | LinkEffect::Say(_) => {}
        }
    }

    fn note_sent(&mut self, worker: usize) {
        let now = self.worker_clock(worker);
        let Some(agent) = &mut self.workers[worker].agent else { return };
        agent.sent_at.insert(now.time, now.wall);
        if agent.sent_at.len() > SENT_AT {
            agent.sent_at.pop_first();
        }
    }

    fn wall_of(&self, worker: usize, sent: muster_types::Time) -> WallTime {
        let agent = self.workers[worker].agent.as_ref();
        let known = agent.and_then(|agent| agent.sent_at.range(..=sent).next_back());
        known.map_or(WallTime(0), |(_, wall)| *wall)
    }

    fn dial(&mut self, worker: usize, session: Session, address: &str) {
        let Some(master) = address.strip_prefix('m').and_then(|number| number.parse().ok()) else { return };
        let machine = &self.workers[worker];
        let (up, down) = (Pipe::default(), Pipe::default());
        let (uid, agent) = (machine.uid, machine.agent_life);
        let id = self.network.open(Stream { worker, uid, agent, session, master, life: 0, up, down, broken: false });
        if let Some(agent) = &mut self.workers[worker].agent {
            agent.streams.insert(session, id);
        }
        let latency = self.latency();
        self.after(latency, Event::Dial { stream: id });
    }

    pub(in crate::world) fn take_connected(&mut self, id: StreamId) {
        if let Some((worker, session)) = self.stream_of_agent(id) {
            self.feed(worker, LinkInput::Connected(session));
        }
    }

    pub(in crate::world) fn break_at_worker(&mut self, id: StreamId) {
        let Some((worker, session)) = self.stream_of_agent(id) else { return };
        if let Some(agent) = &mut self.workers[worker].agent {
            agent.streams.remove(&session);
        }
        self.feed(worker, LinkInput::Broken(session));
    }

    /// The worker and the session of a stream, if the agent that opened it lives and has not
    /// dropped it.
    fn stream_of_agent(&self, id: StreamId) -> Option<(usize, Session)> {
        let stream = self.network.streams.get(&id)?;
        let machine = &self.workers[stream.worker];
        let agent = machine.agent.as_ref().filter(|_| machine.agent_life == stream.agent)?;
        (agent.streams.get(&stream.session) == Some(&id)).then_some((stream.worker, stream.session))
    }

    fn send_up(&mut self, worker: usize, session: Session, up: Up) {
        let stopped = self.workers[worker].agent_stopped_until;
        let arrives = self.now.max(stopped) + self.latency();
        let Some(agent) = &self.workers[worker].agent else { return };
        let Some(id) = agent.streams.get(&session).copied() else { return };
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        if let Some((number, arrives)) = stream.up.send(arrives) {
            self.at(arrives, Event::Up { stream: id, number, up });
        }
    }

    pub(in crate::world) fn take_down(&mut self, id: StreamId, number: u64, down: Down) {
        let Some(stream) = self.network.streams.get(&id).copied() else { return };
        let (from, to) = (Node::Master(stream.master), Node::Worker(stream.worker));
        if let Some(until) = self.network.blocked(from, to, self.now) {
            if let Some(stream) = self.network.streams.get_mut(&id) {
                stream.down.hold(until);
            }
            return self.at(until, Event::Down { stream: id, number, down });
        }
        if stream.down.loses(number) {
            return;
        }
        let machine = &self.workers[stream.worker];
        let Some(agent) = machine.agent.as_ref().filter(|_| machine.agent_life == stream.agent) else { return };
        let is_open = agent.streams.get(&stream.session) == Some(&id);
        let at = stream.worker;
        let (text, from) = (if self.trace.is_some() { format!("{down:?}") } else { String::new() }, stream.master);
        let newest = agent.streams.last_key_value().map(|(session, _)| *session);
        self.note(|| format!("worker {at}: of master {from}: {}", brief(&text)));
        match down {
            Down::Fin if is_open => self.break_at_worker(id),
            Down::Fin => {}
            Down::Said(said) if is_open => self.feed(stream.worker, LinkInput::Down(stream.session, said)),
            Down::Said(mut said) => {
                self.count("late word of an older stream");
                if let Some(newest) = newest.filter(|_| self.sabotaged(Sabotage::SessionCheckOff)) {
                    said.session = newest;
                    self.feed(stream.worker, LinkInput::Down(newest, said));
                }
            }
        }
    }

    pub(in crate::world) fn persisted(&mut self, worker: usize, life: Life, remembered: RememberedCluster) {
        let machine = &mut self.workers[worker];
        if machine.agent_life != life || machine.agent.is_none() {
            return;
        }
        machine.disk.remembered = Some(remembered);
        self.feed(worker, LinkInput::Persisted(remembered));
    }

    fn obey(&mut self, worker: usize, command: WorkerCommand) {
        match command {
            WorkerCommand::Launch(launch) => self.launch(worker, launch),
            WorkerCommand::Kill { attempt, at_once, by } => {
                if let Some(agent) = &mut self.workers[worker].agent {
                    agent.preparing.remove(&attempt);
                }
                self.order(worker, RunnerCommand::Kill { attempt, at_once, by });
            }
            WorkerCommand::Thaw { attempt } => self.order(worker, RunnerCommand::Thaw(attempt)),
            WorkerCommand::ApplicationGone(_) => {}
        }
    }

    /// The runner remembers the attempt before anything is done for it; for a known attempt it only
    /// reports the state.
    fn launch(&mut self, worker: usize, launch: Arc<Launch>) {
        let attempt = launch.attempt;
        self.witness_launch(worker, attempt);
        self.order(worker, RunnerCommand::Accept(Arc::clone(&launch)));
        // Half of the launches have nothing to fetch.
        let longest = if self.rng.chance(500) { 60 } else { 1_500 };
        let pause = Duration::from_millis(self.rng.between(0, longest));
        let machine = &mut self.workers[worker];
        let life = machine.agent_life;
        let Some(agent) = &mut machine.agent else { return };
        if agent.preparing.contains_key(&attempt) || agent.known.contains(&attempt) {
            return;
        }
        agent.preparing.insert(attempt, Arc::clone(&launch));
        let cut_off = launch.leased && !self.calm && std::mem::take(&mut self.workers[worker].cut_off_next_accept);
        let pause = if cut_off { self.cut_off_while_it_prepares(worker, attempt) } else { pause };
        self.after(pause, Event::Prepared { worker, life, attempt });
    }

    pub(in crate::world) fn prepared(&mut self, worker: usize, life: Life, attempt: AttemptKey) {
        let machine = &mut self.workers[worker];
        let Some(agent) = machine.agent.as_mut().filter(|_| machine.agent_life == life) else { return };
        let Some(launch) = agent.preparing.remove(&attempt) else { return };
        if std::mem::take(&mut machine.agent_dies_next) {
            self.count("agent died in the middle");
            let slow = Duration::from_millis(self.rng.between(200, 4_000));
            machine_is_slow(&mut self.workers[worker], self.now + slow);
            self.order(worker, RunnerCommand::Start(launch));
            return self.kill_agent(worker);
        }
        self.order(worker, RunnerCommand::Start(launch));
    }

    /// Sends an order down the one connection to the runner, after everything before it.
    fn order(&mut self, worker: usize, order: RunnerCommand) {
        // Sometimes the runner is busy, and orders lie in its socket.
        let slow = self.rng.chance(25) && !self.calm;
        let pause =
            Duration::from_micros(if slow { self.rng.between(3_000, 2_500_000) } else { self.rng.between(20, 3_000) });
        let machine = &mut self.workers[worker];
        let (connection, runner) = (machine.connection, machine.runner_life);
        machine.orders_last = machine.orders_last.max(self.now.max(machine.agent_stopped_until) + pause);
        let arrives: Instant = machine.orders_last;
        self.at(arrives, Event::Ordered { worker, connection, runner, order: Box::new(order) });
    }

    pub(in crate::world) fn reported(&mut self, worker: usize, connection: u64, reported: Told) {
        let machine = &mut self.workers[worker];
        if machine.connection != connection {
            return;
        }
        self.note(|| format!("worker {worker}: runner tells {}", brief(&format!("{reported:?}"))));
        let machine = &mut self.workers[worker];
        let Some(agent) = &mut machine.agent else { return };
        let input = match reported {
            Told::Reports(reports) => {
                // An attempt that has ended is not started any more: the runner may have forgotten
                // it, and would take it for new.
                let over =
                    |report: &&Report| matches!(report.state, AttemptState::Ended(_) | AttemptState::Killing { .. });
                reports.iter().filter(over).for_each(|report| drop(agent.preparing.remove(&report.attempt)));
                agent.known.extend(reports.iter().map(|report| report.attempt));
                LinkInput::Reports(reports)
            }
            Told::Inventory(session, reports) => {
                agent.known = reports.iter().map(|report| report.attempt).collect();
                LinkInput::Inventory(session, reports)
            }
            Told::Gone => {
                agent.preparing.clear();
                LinkInput::RunnerGone
            }
            Told::Answers => LinkInput::RunnerAnswers,
        };
        self.feed(worker, input);
    }
}

/// Lets the orders to the runner lie in its socket until then.
fn machine_is_slow(machine: &mut super::Machine, until: Instant) {
    machine.orders_last = machine.orders_last.max(until);
}
