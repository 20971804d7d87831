//! The task that owns the link machine. It waits only for its inputs and its clock: slow work is
//! handed to others, through bounded queues.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_agent::link::{LeaderSeen, Link, LinkEffect, LinkInput, Notice, RememberedCluster};
use muster_agent::runner_protocol::Renewal;
use muster_proto::BearerToken;
use muster_proto::v1::{self, link_request::Message};
use muster_tls::Trust;
use muster_types::{Capabilities, Hello, Incarnation, Report, Session, Time};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::convert::ReadMessage;
use super::dial;
use super::outgoing::{UplinkSender, UplinkStuck};
use super::sent_at::SentAt;
use crate::certificate::ShownCertificate;
use crate::launch::ClusterVariables;
use crate::runner::{ConnectionNumber, RunnerOrder, RunnerOrders};
use crate::status::AgentStatus;
use crate::{clock, state};

/// Events that may wait for the actor. If there are more, their senders wait, the stream's reader
/// among them.
const EVENTS: usize = 1_024;
/// Epochs that may wait to be written.
const WRITES: usize = 16;
/// Time between tries to write the epoch on a disk that refuses it.
const WRITE_RETRY: Duration = Duration::from_secs(1);
/// Inputs that are taken before the clock is read again.
const INPUTS_PER_TURN: usize = 64;

/// The events of the actor.
#[derive(Debug)]
pub enum LinkEvent {
    /// A runner was adopted or started; orders are for this connection from here on.
    RunnerReady(ConnectionNumber, Incarnation, Box<Capabilities>),
    /// The runner does not answer.
    RunnerSilent,
    /// The runner answers again.
    RunnerAnswers,
    /// The runner is gone.
    RunnerGone,
    /// The runner's inventory, for the stream of this session.
    Inventory(Session, Vec<Report>),
    /// The runner's reports.
    Reports(Vec<Report>),
    /// A stream is open.
    Connected(Session, UplinkSender),
    /// A stream to this master ended, for this reason.
    Broken(Session, String, String),
    /// A message came down the stream of this session.
    Down(Session, Box<ReadMessage>),
    /// An epoch is on disk.
    Persisted(RememberedCluster),
    /// The watch of this number tells who leads.
    LeaderSeen(u64, LeaderSeen),
    /// The watch of this number, on this master, ended.
    WatchBroken(u64, String),
}

/// Sends events to the actor.
pub type LinkHandle = mpsc::Sender<LinkEvent>;

/// What the actor starts with.
#[derive(Debug, Clone)]
pub struct WorkerProfile {
    /// A hello with everything but the numbers, which the link fills in.
    pub hello: Hello,
    /// Masters that were configured.
    pub masters: Vec<String>,
    /// The masters that are trusted; connections are in the clear without.
    pub trust: Option<Trust>,
    /// The certificate that masters are shown, where they are trusted.
    pub certificate: Option<ShownCertificate>,
    /// The token that they are shown in the clear.
    pub token: Option<BearerToken>,
    /// What is on disk of the link.
    pub remembered: Option<RememberedCluster>,
    /// Masters that an earlier agent knew.
    pub known_masters: Vec<String>,
    /// The state directory.
    pub state_dir: PathBuf,
}

/// The task's state.
#[derive(Debug)]
pub struct LinkActor {
    link: Link,
    profile: WorkerProfile,
    orders: RunnerOrders,
    status: AgentStatus,
    events: mpsc::Receiver<LinkEvent>,
    handle: LinkHandle,
    writes: mpsc::Sender<RememberedCluster>,
    streams: BTreeMap<Session, AbortHandle>,
    up: Option<(Session, UplinkSender)>,
    stuck: Option<Session>,
    /// The number of the newest watch, and the handle that ends it.
    watch: (u64, Option<AbortHandle>),
    masters: watch::Sender<Vec<String>>,
    cluster_name: String,
    last_failure: String,
    sent_at: SentAt,
}

impl LinkActor {
    /// An actor, and the handle to send it events.
    pub fn new(profile: WorkerProfile, orders: RunnerOrders, status: AgentStatus) -> (LinkActor, LinkHandle) {
        let (handle, events) = mpsc::channel(EVENTS);
        let (writes, written) = mpsc::channel(WRITES);
        tokio::spawn(write_epochs(profile.state_dir.clone(), written, handle.clone()));
        let mut link = Link::new(profile.masters.clone(), profile.remembered);
        link.recall_masters(&profile.known_masters);
        let (masters, known) = watch::channel(link.masters().to_vec());
        tokio::spawn(write_masters(profile.state_dir.clone(), known));
        let actor = LinkActor {
            link,
            profile,
            orders,
            status,
            events,
            handle: handle.clone(),
            writes,
            streams: BTreeMap::new(),
            up: None,
            stuck: None,
            watch: (0, None),
            masters,
            cluster_name: String::new(),
            last_failure: String::new(),
            sent_at: SentAt::default(),
        };
        (actor, handle)
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        self.publish();
        loop {
            let wait = self.link.next_deadline().map(|deadline| deadline.since(clock::now()));
            let event = tokio::select! {
                // Waiting events are read before anything expires.
                biased;
                event = self.events.recv() => event,
                () = sleep(wait) => {
                    self.feed(LinkInput::Tick);
                    continue;
                }
            };
            let Some(event) = event else { return };
            self.take(event);
            for _ in 0..INPUTS_PER_TURN {
                let Ok(event) = self.events.try_recv() else { break };
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: LinkEvent) {
        let input = match event {
            LinkEvent::RunnerReady(connection, incarnation, capabilities) => {
                self.orders.turn_to(connection);
                self.profile.hello.capabilities = (*capabilities).clone();
                self.status.change(|status| {
                    status.incarnation = Some(incarnation);
                    status.capabilities = *capabilities;
                });
                LinkInput::RunnerReady(incarnation)
            }
            LinkEvent::RunnerSilent => LinkInput::RunnerSilent,
            LinkEvent::RunnerAnswers => LinkInput::RunnerAnswers,
            LinkEvent::RunnerGone => LinkInput::RunnerGone,
            LinkEvent::Inventory(session, reports) => LinkInput::Inventory(session, reports),
            LinkEvent::Reports(reports) => LinkInput::Reports(reports),
            LinkEvent::Connected(session, up) => {
                self.up = Some((session, up));
                LinkInput::Connected(session)
            }
            LinkEvent::Broken(session, master, reason) => {
                self.tell_failure(session, &master, reason);
                LinkInput::Broken(session)
            }
            LinkEvent::Down(session, read) => {
                if let Some(name) = read.cluster_name.filter(|_| self.streams.contains_key(&session)) {
                    self.cluster_name = name;
                    self.publish_cluster();
                }
                LinkInput::Down(session, read.down)
            }
            LinkEvent::Persisted(remembered) => LinkInput::Persisted(remembered),
            LinkEvent::LeaderSeen(number, _) | LinkEvent::WatchBroken(number, _) if number != self.watch.0 => return,
            LinkEvent::LeaderSeen(_, seen) => LinkInput::LeaderSeen(seen),
            LinkEvent::WatchBroken(_, master) => LinkInput::WatchBroken(master),
        };
        self.feed(input);
    }

    /// Feeds the machine and carries out its effects. If a stream is found stuck meanwhile, the
    /// machine is told that it is broken.
    fn feed(&mut self, input: LinkInput) {
        let mut next = Some(input);
        while let Some(input) = next {
            let now = clock::now();
            self.link.handle(now, clock::entropy(), input);
            let effects: Vec<LinkEffect> = self.link.drain().collect();
            for effect in effects {
                self.carry_out(now, effect);
            }
            next = self.stuck.take().map(LinkInput::Broken);
        }
        self.publish();
    }

    fn login(&self) -> dial::Login {
        dial::Login {
            trust: self.profile.trust.clone(),
            certificate: self.profile.certificate.clone(),
            token: self.profile.token.clone(),
        }
    }

    fn carry_out(&mut self, now: Time, effect: LinkEffect) {
        match effect {
            LinkEffect::Dial(session, address) => {
                tracing::debug!(session = session.0, master = address, "dialling");
                let task = tokio::spawn(dial::run(session, address, self.login(), self.handle.clone()));
                self.streams.insert(session, task.abort_handle());
            }
            LinkEffect::Close(session) => self.close(session),
            LinkEffect::SendHello { session, incarnation, cluster, epoch } => {
                self.sent_at.note(now);
                let hello = Hello { incarnation, session, cluster, epoch, ..self.profile.hello.clone() };
                self.send(session, Message::Hello(Box::new((&hello).into())));
            }
            LinkEffect::Persist(remembered) => {
                if self.writes.try_send(remembered).is_err() {
                    self.stuck = self.up.as_ref().map(|(session, _)| *session);
                }
            }
            LinkEffect::AskInventory(session) => self.order(session, RunnerOrder::AskInventory(session)),
            LinkEffect::SendInventory(session, reports, complete) => {
                self.send(session, Message::Inventory(v1::Inventory::part(&reports, complete)));
            }
            LinkEffect::Registered(session, epoch) => {
                self.last_failure.clear();
                let master = self.link.registered_with().map(|(master, _)| master.to_owned()).unwrap_or_default();
                tracing::info!(master, %epoch, session = session.0, "registered");
            }
            LinkEffect::SendHeartbeat(session, number) => {
                self.sent_at.note(now);
                self.beat(session, number);
            }
            LinkEffect::SendReports(session, reports) => {
                self.send(session, Message::Reports(reports.as_slice().into()));
            }
            LinkEffect::RenewLease { sent, lease } => {
                self.status.metrics().heartbeat_round_trip.observe(now.since(sent));
                // A renewal that finds no room is made up for by the next.
                let sent_wall = self.sent_at.wall(sent);
                let _ = self.orders.give(RunnerOrder::Renew(Renewal { sent, sent_wall, lease }));
            }
            LinkEffect::Obey(commands) => {
                let session = self.up.as_ref().map_or(Session(0), |(session, _)| *session);
                self.order(session, RunnerOrder::Obey(commands));
            }
            LinkEffect::Forget(acknowledgement) => {
                // One that finds no room is acknowledged again after the next inventory.
                let _ = self.orders.give(RunnerOrder::Forget(acknowledgement));
            }
            LinkEffect::FenceWithoutRunner => self.orders.fence_without_runner(),
            LinkEffect::Watch(address) => {
                self.unwatch();
                let task =
                    tokio::spawn(dial::watch(self.watch.0, address, self.profile.trust.clone(), self.handle.clone()));
                self.watch.1 = Some(task.abort_handle());
            }
            LinkEffect::Unwatch => self.unwatch(),
            LinkEffect::Masters(masters) => {
                self.masters.send_replace(masters);
                self.publish_cluster();
            }
            LinkEffect::Say(notice) => say(&notice),
        }
    }

    fn close(&mut self, session: Session) {
        if let Some(task) = self.streams.remove(&session) {
            task.abort();
        }
        if self.up.as_ref().is_some_and(|(current, _)| *current == session) {
            self.up = None;
        }
    }

    /// Ends the watch. Nothing that it still says counts from here on.
    fn unwatch(&mut self) {
        self.watch.0 += 1;
        if let Some(task) = self.watch.1.take() {
            task.abort();
        }
    }

    fn send(&mut self, session: Session, message: Message) {
        self.on_stream(session, |up| up.message(message));
    }

    fn beat(&mut self, session: Session, number: u64) {
        self.on_stream(session, |up| up.heartbeat(number));
    }

    fn on_stream(&mut self, session: Session, send: impl FnOnce(&UplinkSender) -> Result<(), UplinkStuck>) {
        let Some((current, up)) = &self.up else { return };
        if *current == session && send(up) == Err(UplinkStuck) {
            tracing::warn!(session = session.0, "the stream to the master is stuck or has ended");
            self.stuck = Some(session);
        }
    }

    /// Gives an order to the runner. If there is no room, the stream is left: the next inventory
    /// shows that the order was not carried out.
    fn order(&mut self, session: Session, order: RunnerOrder) {
        if self.orders.give(order).is_err() {
            tracing::warn!(session = session.0, "too many orders wait for the runner, leaving the stream");
            self.stuck = Some(session);
        }
    }

    fn publish(&self) {
        let registered = self.link.registered_with().map(|(master, epoch)| (master.to_owned(), epoch));
        let epoch = self.link.epoch();
        self.status.change_if(|status| {
            let changed = status.registered != registered || status.epoch != epoch;
            if changed {
                status.registered = registered;
                status.epoch = epoch;
            }
            changed
        });
    }

    fn publish_cluster(&self) {
        let facts = ClusterVariables { masters: self.masters.borrow().join(","), cluster: self.cluster_name.clone() };
        self.status.change_if(|status| {
            let changed = *status.cluster != facts;
            if changed {
                status.cluster = Arc::new(facts);
            }
            changed
        });
    }

    /// A repeated failure is logged once: an absent master must not fill the log.
    fn tell_failure(&mut self, session: Session, master: &str, reason: String) {
        let Some(_) = self.streams.remove(&session) else { return };
        if reason == self.last_failure {
            tracing::debug!(master, session = session.0, reason, "stream ended");
        } else {
            tracing::warn!(master, session = session.0, reason, "stream ended");
            self.last_failure = reason;
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Writes epochs in the order in which they were seen, and reports when each is on disk.
async fn write_epochs(directory: PathBuf, mut writes: mpsc::Receiver<RememberedCluster>, handle: LinkHandle) {
    while let Some(remembered) = writes.recv().await {
        loop {
            let directory = directory.clone();
            let written = tokio::task::spawn_blocking(move || state::store(&directory, &remembered)).await;
            match written {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "cannot write the epoch"),
                Err(error) => tracing::error!(%error, "cannot write the epoch"),
            }
            tokio::time::sleep(WRITE_RETRY).await;
        }
        if handle.send(LinkEvent::Persisted(remembered)).await.is_err() {
            return;
        }
    }
}

/// Writes the known masters whenever they change. Nothing waits for it.
async fn write_masters(directory: PathBuf, mut masters: watch::Receiver<Vec<String>>) {
    while masters.changed().await.is_ok() {
        let (directory, known) = (directory.clone(), masters.borrow_and_update().clone());
        let written = tokio::task::spawn_blocking(move || state::store_masters(&directory, &known)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write the masters that are known");
        }
    }
}

fn say(notice: &Notice) {
    match notice {
        Notice::Refused { refusal, message } if refusal == "CLONED_STATE" => tracing::error!(
            message,
            "refused: another machine or boot runs under this worker's identity; the state directory was copied. \
             Give this machine a state directory of its own. Nothing is killed; trying again slowly"
        ),
        Notice::Refused { refusal, message } => {
            tracing::error!(refusal, message, "refused by the master; nothing is killed; trying again slowly");
        }
        Notice::WrongCluster { joined, offered } => tracing::error!(
            %joined, %offered,
            "the master belongs to another cluster than the one joined before; start with --rejoin if that is meant"
        ),
        Notice::StaleLeader { seen, offered } => {
            tracing::warn!(%seen, %offered, "left a master whose epoch is not above the highest seen");
        }
        Notice::Nonsense(what) => tracing::warn!(what, "left a master that broke the protocol"),
        Notice::Goodbye(message) => tracing::info!(message, "the master said goodbye"),
        Notice::Unanswered => tracing::warn!("heartbeats were not answered, dialling elsewhere"),
        Notice::LeaseEnded => tracing::warn!("the lease has ended: leased attempts are stopped"),
        Notice::OtherIncarnation(incarnation) => {
            tracing::warn!(%incarnation, "dropped commands for another incarnation");
        }
    }
}
