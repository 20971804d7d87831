//! Workers that speak the link protocol and run nothing: each launch runs for ever, or has ended at
//! once.
//!
//! They follow the leader as real ones do. If a stream breaks, a goodbye comes, or another master
//! names a leader of a higher epoch, they say hello there, with their running attempts and the ends
//! that are not acknowledged. A hundred of them share one connection to each master, and its news
//! of leaders, so that file descriptors suffice. Where they show certificates, each has a
//! connection of its own for its stream, because a certificate speaks for one worker.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use muster_proto::v1::worker_command::Command;
use muster_proto::v1::worker_link_service_client::WorkerLinkServiceClient;
use muster_proto::v1::{
    AllocatedResources, AttemptState, Capabilities, Epoch, Fault, Goodbye, Heartbeat, Hello, Incarnation, Inventory,
    Launch, LinkRequest, LinkResponse, Outcome, Report, Reports, Welcome, goodbye, link_request, link_response,
};
use muster_tls::{Authority, HeldCertificate, Trust, WorkerKey};
use muster_types::WorkerUid;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::master_connections::{KnownLeader, MasterConnections, lazy};

/// Workers that share connections.
const SHARING: usize = 100;
/// The longest pause before a worker dials again, as in `agent::link::masters`: the leader that it
/// had; the next one, or a master where it has had none; and while another master is watched, which
/// names the next leader.
const BACKOFF_INITIAL: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const BACKOFF_WATCHED: Duration = Duration::from_secs(5);
const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What a simulated worker does with a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Play {
    /// It runs for ever.
    Forever,
    /// It has run already.
    Ended,
}

/// What workers count.
#[derive(Debug)]
pub(crate) struct Counts {
    launches: AtomicUsize,
    /// Workers that hold a stream now.
    welcome: AtomicUsize,
    /// The newest launch: when, by the leader of which revision.
    pub(crate) newest: watch::Sender<Option<(Instant, u64)>>,
}

/// Workers that run nothing.
pub(crate) struct SimulatedWorkers {
    counts: Arc<Counts>,
    tasks: JoinSet<()>,
}

impl SimulatedWorkers {
    /// Ends them at once, with their connections.
    pub(crate) fn kill(&mut self) {
        self.tasks.abort_all();
    }

    /// Waits until they were told to launch this many.
    pub(crate) async fn wait_for_launches(&self, count: usize) {
        let done = async || (self.launched() >= count).then_some(());
        muster_testkit::eventually("the launches", Duration::from_secs(60), done).await;
    }

    /// How many launches they were told.
    pub(crate) fn launched(&self) -> usize {
        self.counts.launches.load(Ordering::Relaxed)
    }

    /// Waits until this many hold a stream.
    pub(crate) async fn wait_for_welcomes(&self, count: usize) {
        let done = async || (self.counts.welcome.load(Ordering::Relaxed) >= count).then_some(());
        muster_testkit::eventually("the welcomes", Duration::from_secs(60), done).await;
    }

    /// Waits until some of this many hold none.
    pub(crate) async fn wait_for_farewells(&self, count: usize) {
        let gone = async || (self.counts.welcome.load(Ordering::Relaxed) < count).then_some(());
        muster_testkit::eventually("the end of streams", Duration::from_secs(60), gone).await;
    }

    /// The newest launch, with its changes.
    pub(crate) fn launches(&self) -> watch::Receiver<Option<(Instant, u64)>> {
        self.counts.newest.subscribe()
    }
}

/// Starts `count` workers of `cores` cores each, numbered from `first`, and waits until all are
/// welcome.
pub(crate) async fn workers(
    masters: &[String],
    first: usize,
    count: usize,
    cores: u32,
    play: Play,
) -> SimulatedWorkers {
    start(masters, None, first..first + count, cores, play).await
}

/// The same from number 0, with a certificate for each that a CA signs now.
pub(crate) async fn workers_with_certificates(
    masters: &[String],
    pki: &Path,
    count: usize,
    cores: u32,
    play: Play,
) -> SimulatedWorkers {
    start(masters, Some(&Identities::new(pki)), 0..count, cores, play).await
}

async fn start(
    masters: &[String],
    identities: Option<&Identities>,
    numbers: Range<usize>,
    cores: u32,
    play: Play,
) -> SimulatedWorkers {
    let (newest, _) = watch::channel(None);
    let counts = Arc::new(Counts { launches: AtomicUsize::new(0), welcome: AtomicUsize::new(0), newest });
    let mut tasks = JoinSet::new();
    let mut connections = None;
    let count = numbers.len();
    for number in numbers {
        let uid = number as u128 + 1;
        let shown = identities.map(|known| known.of(uid));
        if number % SHARING == 0 || connections.is_none() {
            connections = Some(Arc::new(MasterConnections::new(masters, shown.as_ref())));
        }
        let connections = connections.clone().expect("it was made");
        let worker = SimulatedWorker {
            uid,
            cores,
            play,
            shown,
            counts: counts.clone(),
            // Above the sessions of an earlier life under this number.
            session: now_as_session(),
            epoch: None,
            cluster: Vec::new(),
            sequence: 0,
            was_welcome: false,
            unsettled: BTreeMap::new(),
        };
        tasks.spawn(worker.live(connections));
    }
    let workers = SimulatedWorkers { counts, tasks };
    workers.wait_for_welcomes(count).await;
    workers
}

/// What makes certificates of workers. All have one key, which spares making 10,000 and changes
/// nothing for the masters.
struct Identities {
    authority: Authority,
    trust: Trust,
    key: WorkerKey,
}

impl Identities {
    fn new(pki: &Path) -> Identities {
        let authority = Authority::open(pki).expect("the cluster's CA can be read");
        let trust = Trust::in_ca(authority.pem()).expect("a CA can be trusted");
        let key = WorkerKey::load_or_make(&pki.join("simulated.key")).expect("a key can be made");
        Identities { authority, trust, key }
    }

    /// Trust in the masters, which shows them a worker's certificate.
    fn of(&self, uid: u128) -> Trust {
        let request = self.key.request().expect("a request can be made");
        let issued = self.authority.issue_worker(&request, WorkerUid(uid), CERTIFICATE_LIFE);
        let held = HeldCertificate::default();
        self.key.show(&issued.expect("the CA signs").chain, &held).expect("it is of this key");
        self.trust.showing(&held)
    }
}

fn now_as_session() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is later than 1970").as_millis() as u64
}

/// One of them.
struct SimulatedWorker {
    uid: u128,
    cores: u32,
    play: Play,
    /// Trust that shows its certificate, where it has one.
    shown: Option<Trust>,
    counts: Arc<Counts>,
    session: u64,
    epoch: Option<Epoch>,
    cluster: Vec<u8>,
    sequence: u64,
    /// By the master that it dialled last.
    was_welcome: bool,
    /// Newest reports of running attempts, and of ended ones that are not acknowledged.
    unsettled: BTreeMap<u64, Report>,
}

/// One stream.
struct SimulatedLink {
    up: mpsc::Sender<LinkRequest>,
    down: Streaming<LinkResponse>,
    heartbeat: Duration,
    heartbeats: u64,
}

impl SimulatedLink {
    async fn send(&self, message: link_request::Message) {
        // The reader of the stream notices if it has broken.
        let _ = self.up.send(LinkRequest { message: Some(message) }).await;
    }
}

impl SimulatedWorker {
    async fn live(mut self, connections: Arc<MasterConnections>) {
        let mut update = connections.update();
        let mut address = connections.any(self.uid as usize).to_owned();
        loop {
            let known = self.serve(&connections, &address, &mut update).await;
            address = match known {
                Some(leader) => leader,
                None => self.next_after_pause(&connections, address, &mut update).await,
            };
        }
    }

    /// The leader as soon as one is named, else the next master after the pause that a failure is
    /// followed by.
    async fn next_after_pause(
        &mut self,
        connections: &MasterConnections,
        last: String,
        update: &mut watch::Receiver<Option<KnownLeader>>,
    ) -> String {
        let is_first = std::mem::take(&mut self.was_welcome);
        let newest = update.borrow_and_update().clone();
        let known = newest.filter(|known| known.is_after(self.epoch.as_ref())).map(|known| known.address);
        let longest = match known {
            _ if is_first => BACKOFF_INITIAL,
            None if self.epoch.is_some() => BACKOFF_WATCHED,
            Some(_) | None => BACKOFF_MAX,
        };
        // Spread over the whole of it: Fibonacci hashing, which is enough of chance here.
        let mixed = (self.uid as u64 ^ self.session.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let pause = longest.mul_f64(mixed as f64 / f64::from(u32::MAX));
        match tokio::time::timeout(pause, self.later_leader(update)).await {
            Ok(later) => later,
            Err(_) if is_first => last,
            Err(_) => known.unwrap_or_else(|| connections.any(self.session as usize).to_owned()),
        }
    }

    /// Speaks to one master until the stream is over. Returns the leader's address, if one was
    /// named.
    async fn serve(
        &mut self,
        connections: &MasterConnections,
        address: &str,
        update: &mut watch::Receiver<Option<KnownLeader>>,
    ) -> Option<String> {
        self.session += 1;
        let (up, messages) = mpsc::channel(64);
        let hello = link_request::Message::Hello(self.hello().into());
        up.send(LinkRequest { message: Some(hello) }).await.expect("it is held here");
        let mut client = WorkerLinkServiceClient::new(self.channel(connections, address));
        let greeting = client.link(ReceiverStream::new(messages));
        let down = tokio::select! {
            down = greeting => down.ok()?.into_inner(),
            later = self.later_leader(update) => return Some(later),
        };
        let mut link = SimulatedLink { up, down, heartbeat: Duration::from_secs(5), heartbeats: 0 };
        let mut welcome = false;
        let next = self.follow(&mut link, &mut welcome, update).await;
        if welcome {
            self.counts.welcome.fetch_sub(1, Ordering::Relaxed);
        }
        next
    }

    /// The address of a leader that is later than the one that was obeyed last, once there is one.
    async fn later_leader(&self, update: &mut watch::Receiver<Option<KnownLeader>>) -> String {
        loop {
            // The watch lasts as long as this.
            let _ = update.changed().await;
            match update.borrow_and_update().as_ref() {
                Some(known) if known.is_after(self.epoch.as_ref()) => return known.address.clone(),
                Some(_) | None => {}
            }
        }
    }

    fn channel(&self, connections: &MasterConnections, address: &str) -> Channel {
        match &self.shown {
            Some(trust) => lazy(address, Some(trust.clone())),
            None => connections.channel(address),
        }
    }

    async fn follow(
        &mut self,
        link: &mut SimulatedLink,
        welcome: &mut bool,
        update: &mut watch::Receiver<Option<KnownLeader>>,
    ) -> Option<String> {
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + link.heartbeat, link.heartbeat);
        loop {
            let answer = tokio::select! {
                answer = link.down.next() => answer?.ok()?,
                _ = beat.tick(), if *welcome => {
                    link.heartbeats += 1;
                    link.send(link_request::Message::Heartbeat(Heartbeat { number: link.heartbeats })).await;
                    continue;
                }
                later = self.later_leader(update) => return Some(later),
            };
            match answer.message.expect("a message is something") {
                link_response::Message::Welcome(said) => {
                    self.welcomed(link, answer.epoch, said).await;
                    beat = tokio::time::interval_at(tokio::time::Instant::now() + link.heartbeat, link.heartbeat);
                    *welcome = true;
                    self.counts.welcome.fetch_add(1, Ordering::Relaxed);
                }
                link_response::Message::Commands(commands) => {
                    for command in commands.commands {
                        if let Some(Command::Launch(launch)) = command.command {
                            self.launch(link, *launch).await;
                        }
                    }
                }
                link_response::Message::Acknowledgements(said) => {
                    for settled in said.reports {
                        let ended = |report: &Report| report.state() == AttemptState::Ended;
                        if self.unsettled.get(&settled.sequence).is_some_and(ended) {
                            self.unsettled.remove(&settled.sequence);
                        }
                    }
                }
                link_response::Message::Goodbye(said) => return next_address(said),
                link_response::Message::HeartbeatAnswer(_) | link_response::Message::Masters(_) => {}
            }
        }
    }

    async fn welcomed(&mut self, link: &mut SimulatedLink, epoch: Option<Epoch>, said: Welcome) {
        self.epoch = epoch;
        self.was_welcome = true;
        self.cluster = said.cluster_uid.to_vec();
        if let Some(length) = said.heartbeat.and_then(|length| Duration::try_from(length).ok()) {
            link.heartbeat = length;
        }
        let attempts = self.unsettled.values().cloned().collect();
        link.send(link_request::Message::Inventory(Inventory { attempts, complete: true })).await;
    }

    async fn launch(&mut self, link: &SimulatedLink, launch: Launch) {
        self.counts.launches.fetch_add(1, Ordering::Relaxed);
        let revision = self.epoch.as_ref().map_or(0, |epoch| epoch.revision);
        self.counts.newest.send_replace(Some((Instant::now(), revision)));
        self.sequence += 1;
        let now = std::time::SystemTime::now();
        let mut report = Report {
            attempt: launch.attempt,
            sequence: self.sequence,
            resources: launch.resources,
            id: launch.id,
            pid: 1,
            start_time: Some(now.into()),
            ..Report::default()
        };
        report.set_state(AttemptState::Running);
        if self.play == Play::Ended {
            let mut outcome = Outcome { exit_code: Some(0), reason: "EXITED".into(), ..Outcome::default() };
            outcome.set_fault(Fault::Program);
            report.set_state(AttemptState::Ended);
            report.pid = 0;
            report.end_time = Some(now.into());
            report.outcome = Some(outcome);
        }
        self.unsettled.insert(self.sequence, report.clone());
        link.send(link_request::Message::Reports(Reports { reports: vec![report] })).await;
    }

    fn hello(&self) -> Hello {
        let (uid, cores) = (self.uid, self.cores);
        Hello {
            version_min: 1,
            version_max: 1,
            cluster_uid: self.cluster.clone().into(),
            worker_uid: uid.to_be_bytes().to_vec().into(),
            name: format!("simulated-{uid}"),
            machine_id: "simulated".into(),
            boot_id: "simulated".into(),
            incarnation: Some(Incarnation { counter: 1, random: 1 }),
            session: self.session,
            epoch: self.epoch.clone(),
            capabilities: Some(Capabilities {
                tree: true,
                earlier_ended: true,
                tree_method: "simulated".into(),
                ..Capabilities::default()
            }),
            total: Some(AllocatedResources { cores, memory_bytes: u64::from(cores) << 30, custom: BTreeMap::new() }),
            host: "127.0.0.1".into(),
            address: "127.0.0.1:1".into(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            ..Hello::default()
        }
    }
}

/// The address to dial after a goodbye, if one was named.
fn next_address(said: Goodbye) -> Option<String> {
    let refused = said.reason() == goodbye::Reason::Refused;
    assert!(!refused, "a simulated worker is refused: {said:?}");
    (!said.leader.is_empty()).then_some(said.leader)
}
