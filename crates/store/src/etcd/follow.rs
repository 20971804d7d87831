//! Follows the store through one watch: the election, and, while this process stands by, every
//! record.
//!
//! One watch shows all changes in their order. Therefore a replica that has seen the deletion of a
//! predecessor's key has every transaction of that predecessor, because its guard lets none through
//! afterwards. Only during the read of all records, which takes a while, the election is watched
//! alone.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{
    Event, EventType, GetOptions, KeyValue, ResponseHeader, Txn, TxnOp, TxnOpResponse, WatchOptions, WatchStream,
};
use muster_types::Commit;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::connection::{ClientHandle, EtcdConnection};
use super::election_queue::ElectionQueue;
use super::failure::{EtcdFailure, FailureKind};
use super::keys::{KeyKind, Keys};
use super::lease::OwnLease;
use super::page::{ANSWER_BYTES, Pages};
use super::replica::{Replica, SharedReplica};
use crate::codec::Stored as _;
use crate::codec::proto::{GenerationRecord, HeadRecord};
use crate::{LeaderView, LeaderWatchKeeper};

/// What the watch has seen of the election.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WatchState {
    pub(super) queue: ElectionQueue,
    /// Whether there was a replica as new as this state.
    pub(super) warm: bool,
    /// Creation revision of our own key.
    pub(super) own: Option<i64>,
    /// The store is older than a state seen before, and its generation was not raised since.
    pub(super) rolled_back: bool,
    /// How far the store has come.
    pub(super) seen: HighestSeen,
}

/// The task that follows the store.
pub(super) struct ReplicaTask {
    pub(super) connection: EtcdConnection,
    pub(super) keys: Keys,
    pub(super) own: OwnLease,
    pub(super) replica: SharedReplica,
    /// Whether a replica is wanted.
    pub(super) wanted: watch::Receiver<bool>,
    pub(super) watch_state: watch::Sender<WatchState>,
    pub(super) election: LeaderWatchKeeper,
    /// The time within which a member must show that it is alive.
    pub(super) patience: Duration,
    /// The newest revision that the watch has shown.
    pub(super) revision: i64,
    pub(super) queue: ElectionQueue,
    /// Whether this process has just ceased to lead.
    pub(super) has_led: bool,
    /// The newest state seen by this process, or by earlier ones on its state directory.
    pub(super) seen: HighestSeen,
    /// The generation at which the store was found to be older than `seen`.
    pub(super) rolled_back: Option<u64>,
}

/// How far a store was seen to have come. In a healthy store neither number decreases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HighestSeen {
    pub(super) generation: u64,
    pub(super) revision: i64,
}

/// The answer of a member to a health check: its revision, the revision of the newest transaction,
/// and the creation revisions of the election keys.
struct Probe {
    revision: i64,
    head: i64,
    created: BTreeSet<i64>,
}

/// A call that runs beside the watch.
type Asking<T> = Pin<Box<dyn Future<Output = Result<T, EtcdFailure>> + Send>>;

/// The pause between attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// A master that has just led waits this long before it reads all records, if another leads now,
/// because the start of the new term needs etcd more.
const AFTER_A_TERM: Duration = Duration::from_millis(500);

impl ReplicaTask {
    /// Follows for ever.
    pub(super) async fn run(mut self) {
        loop {
            match self.follow().await {
                Ok(()) => {}
                Err(failure) => {
                    tracing::debug!(member = self.connection.name(), error = %failure, "following the store was cut");
                    if failure.kind == FailureKind::Compacted {
                        self.revision = 0;
                    }
                    self.connection.rotate();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Follows until another kind of watch is needed, or the connection fails.
    async fn follow(&mut self) -> Result<(), EtcdFailure> {
        let wanted = *self.wanted.borrow_and_update();
        if !wanted {
            *self.replica() = None;
            self.has_led = true;
        }
        let is_before = self.is_before().await?;
        if self.revision == 0 || is_before || (wanted && self.replica().is_none()) {
            *self.replica() = None;
            self.read_offices().await?;
        }
        let warm = self.replica().is_some();
        let reading = (wanted && !warm).then(|| self.records());
        let stream = self.watch(warm).await?;
        self.see(stream, reading).await
    }

    fn replica(&self) -> MutexGuard<'_, Option<Replica>> {
        // No code panics while it holds the lock.
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store is older than the state seen before. Then no master may act on it until
    /// its generation is raised.
    async fn is_before(&mut self) -> Result<bool, EtcdFailure> {
        if self.seen.revision == 0 {
            return Ok(false);
        }
        let key = self.keys.bytes(KeyKind::Generation);
        let ask = async |client: ClientHandle| client.kv_client().get(key, None).await;
        let answer = self.connection.once(self.patience, ask).await?;
        let found = answer.header().map_or(0, ResponseHeader::revision);
        let is_before = found < self.seen.revision;
        if is_before {
            tracing::error!(
                found,
                seen = self.seen.revision,
                "the store went back in time; nothing is done until `muster-master recover` raises its generation"
            );
            self.rolled_back = Some(self.seen.generation);
            self.seen.revision = found;
        }
        Ok(is_before)
    }

    /// Reads the election, for which calls wait.
    async fn read_offices(&mut self) -> Result<(), EtcdFailure> {
        let own = self.own.get().and_then(|leadership| Some((leadership.created()?, leadership)));
        let (mut pages, mut queue) = (Pages::now(self.keys.offices()), ElectionQueue::default());
        while let Some(page) = pages.next(&mut self.connection).await? {
            for record in &page {
                learn(&mut queue, self.keys.place(record.key()), record);
            }
        }
        self.revision = pages.revision();
        self.queue = queue;
        // Our key was made before this read, so it must be in it.
        if let Some((created, leadership)) = own
            && !self.queue.has(created)
        {
            leadership.keeper.end();
        }
        self.publish(true);
        Ok(())
    }

    /// Reads every record.
    fn records(&self) -> Asking<Replica> {
        let (mut connection, keys, mut watch_state) =
            (self.connection.another(), self.keys.clone(), self.watch_state.subscribe());
        let rest = if self.has_led { AFTER_A_TERM } else { Duration::ZERO };
        Box::pin(async move {
            let vacant = watch_state.wait_for(|watch_state| watch_state.queue.first().is_none());
            // Neither a timeout nor a closed channel matters here.
            let _ = tokio::time::timeout(rest, vacant).await;
            let (mut pages, mut replica) = (Pages::now(keys.everything()), Replica::default());
            while let Some(page) = pages.next(&mut connection).await? {
                for record in &page {
                    keep(&mut replica, &keys, record);
                }
                // Decoding a page takes as long as a timer tick, so other tasks on this thread get
                // a turn.
                tokio::task::yield_now().await;
            }
            replica.revision = pages.revision();
            Ok(replica)
        })
    }

    async fn watch(&mut self, warm: bool) -> Result<WatchStream, EtcdFailure> {
        let (start, end) = if warm { self.keys.everything() } else { self.keys.offices() };
        let seen = self.replica().as_ref().map_or(self.revision, |replica| replica.revision.min(self.revision));
        // The watch starts at the newest revision seen, once more, because its events may have come
        // in fragments. Applying them twice changes nothing.
        let options = WatchOptions::new().with_range(end).with_start_revision(seen).with_fragment();
        let ask = async |client: ClientHandle| {
            client.watch_client().max_decoding_message_size(ANSWER_BYTES).watch(start, Some(options)).await
        };
        self.connection.once(self.patience, ask).await
    }

    /// Applies the events of the watch. It ends when every record is read, if they are being read.
    /// The member is probed now and then, because it may be dead, cut off, or have lost this watch.
    async fn see(&mut self, mut stream: WatchStream, mut reading: Option<Asking<Replica>>) -> Result<(), EtcdFailure> {
        let mut ticks = tokio::time::interval(self.patience / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probing: Option<Asking<Probe>> = None;
        // Since when a change is known that the watch has not shown, and its revision.
        let mut unseen: Option<(Instant, i64)> = None;
        loop {
            tokio::select! {
                biased;
                changed = self.wanted.changed() => {
                    return changed.map_err(|_| EtcdFailure::new(FailureKind::Refused, "nobody wants it any more"));
                }
                message = stream.message() => {
                    let message = message?.ok_or_else(|| EtcdFailure::unanswered("the watch was closed"))?;
                    if message.canceled() {
                        return Err(canceled(&message));
                    }
                    self.take(message.events());
                }
                probe = answered(&mut probing) => {
                    probing = None;
                    self.compare(&probe?, &mut unseen)?;
                }
                _ = ticks.tick(), if probing.is_none() => {
                    probing = Some(Box::pin(probe(self.connection.current(), self.keys.clone(), self.patience)));
                }
                replica = answered(&mut reading) => {
                    *self.replica() = Some(replica?);
                    self.has_led = false;
                    self.publish(true);
                    return Ok(());
                }
            }
        }
    }

    /// Compares the answer of a member with the state of the watch. A watch that stays behind is
    /// given up.
    fn compare(&self, probe: &Probe, unseen: &mut Option<(Instant, i64)>) -> Result<(), EtcdFailure> {
        let warm = self.replica().is_some();
        let is_behind = probe.revision > self.revision
            && (probe.created != self.queue.created() || (warm && probe.head > self.revision));
        match unseen {
            Some((since, revision)) if is_behind && self.revision < *revision => {
                if since.elapsed() > self.patience {
                    return Err(EtcdFailure::unanswered("the watch shows nothing any more"));
                }
            }
            _ => *unseen = is_behind.then(|| (Instant::now(), probe.revision)),
        }
        Ok(())
    }

    /// Applies events. The election and the replica may be at different revisions, and neither goes
    /// back.
    fn take(&mut self, events: &[Event]) {
        let Some(newest) = events.last().and_then(Event::kv).map(KeyValue::mod_revision) else { return };
        let replica = self.replica.clone();
        let mut replica = replica.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let Some(record) = event.kv() else { continue };
            let is_put = event.event_type() == EventType::Put;
            if record.mod_revision() >= self.revision {
                self.take_office(record, is_put);
            }
            if let Some(replica) = replica.as_mut().filter(|replica| record.mod_revision() >= replica.revision) {
                if is_put { keep(replica, &self.keys, record) } else { discard(replica, &self.keys, record) }
            }
        }
        self.revision = self.revision.max(newest);
        if let Some(replica) = replica.as_mut() {
            replica.revision = replica.revision.max(newest);
        }
        drop(replica);
        self.publish(false);
    }

    fn take_office(&mut self, record: &KeyValue, is_put: bool) {
        let place = self.keys.place(record.key());
        let own = self.own.get().filter(|leadership| leadership.key == record.key());
        if is_put {
            learn(&mut self.queue, place, record);
            // Our own key may be seen here before the answer to the call that made it.
            if let Some(leadership) = own {
                leadership.set_created(record.create_revision());
            }
        } else if let Some(KeyKind::Election(lease)) = place {
            self.queue.delete(lease);
            if let Some(leadership) = own {
                tracing::warn!("the election key of this master was deleted");
                leadership.keeper.end();
            }
        }
    }

    /// Publishes the state. Waiting tasks are woken by a change of the election, and by `anew`
    /// after a new read.
    fn publish(&mut self, anew: bool) {
        let warm = self.replica().as_ref().is_some_and(|replica| replica.revision >= self.revision);
        let own = self.own.get().and_then(|leadership| leadership.created());
        let rolled_back = self.note_seen();
        let (queue, seen) = (&self.queue, self.seen);
        self.watch_state.send_if_modified(|watch_state| {
            let differs = watch_state.queue != *queue
                || watch_state.warm != warm
                || watch_state.own != own
                || watch_state.rolled_back != rolled_back;
            if differs {
                self.election.set(LeaderView { rolled_back, ..queue.view(own) });
                watch_state.queue = queue.clone();
            }
            (watch_state.warm, watch_state.own, watch_state.rolled_back, watch_state.seen) =
                (warm, own, rolled_back, seen);
            differs || anew
        });
    }

    /// Records how far the store has come. Returns whether it went back in time and its generation
    /// was not raised since.
    fn note_seen(&mut self) -> bool {
        let generation = self.queue.generation;
        self.seen = HighestSeen { generation, revision: self.seen.revision.max(self.revision) };
        if self.rolled_back.is_some_and(|before| generation > before) {
            tracing::info!(generation, "the generation of the store was raised");
            self.rolled_back = None;
        }
        let rolled_back = self.rolled_back.is_some();
        if let Some(leadership) = self.own.get().filter(|_| rolled_back) {
            leadership.keeper.end();
        }
        rolled_back
    }
}

async fn answered<T>(asking: &mut Option<Asking<T>>) -> Result<T, EtcdFailure> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Probes the member of the watch with a read that a member without a majority cannot answer.
async fn probe(client: Option<ClientHandle>, keys: Keys, within: Duration) -> Result<Probe, EtcdFailure> {
    let mut client = client.ok_or_else(|| EtcdFailure::unanswered("not connected"))?;
    let (start, end) = keys.elections();
    let options = || GetOptions::new().with_keys_only();
    let reads =
        [TxnOp::get(start, Some(options().with_range(end))), TxnOp::get(keys.bytes(KeyKind::Head), Some(options()))];
    let answer = tokio::time::timeout(within, client.txn(Txn::new().and_then(reads))).await;
    let answer = answer.map_err(|_| EtcdFailure::unanswered("the member does not answer"))??;
    let (mut created, mut head) = (BTreeSet::new(), 0);
    for (number, read) in answer.op_responses().iter().enumerate() {
        let TxnOpResponse::Get(read) = read else { continue };
        match number {
            0 => created = read.kvs().iter().map(KeyValue::create_revision).collect(),
            _ => head = read.kvs().first().map_or(0, KeyValue::mod_revision),
        }
    }
    Ok(Probe { revision: answer.header().map_or(0, ResponseHeader::revision), head, created })
}

fn canceled(message: &etcd_client::WatchResponse) -> EtcdFailure {
    if message.compact_revision() != 0 {
        return EtcdFailure::new(FailureKind::Compacted, "what was to be followed is compacted");
    }
    EtcdFailure::unanswered(format!("the watch was canceled: {}", message.cancel_reason()))
}

/// Applies the new value of a key, if it belongs to the election.
fn learn(queue: &mut ElectionQueue, place: Option<KeyKind>, record: &KeyValue) {
    match place {
        Some(KeyKind::Election(lease)) => queue.put(record.create_revision(), lease, record.value()),
        Some(KeyKind::Generation) => match GenerationRecord::decode(record.value()) {
            Ok(generation) => queue.generation = generation.generation,
            Err(error) => tracing::error!(%error, "the generation of the store cannot be read"),
        },
        Some(KeyKind::Schema | KeyKind::Cluster | KeyKind::Head | KeyKind::Migration | KeyKind::Record(_)) | None => {}
    }
}

/// Applies the new value of a key, if it belongs to the records.
fn keep(replica: &mut Replica, keys: &Keys, record: &KeyValue) {
    match keys.place(record.key()) {
        Some(KeyKind::Head) => match HeadRecord::decode(record.value()) {
            Ok(head) => replica.commit = Commit(head.commit),
            Err(error) => tracing::error!(%error, "the head of the store cannot be read"),
        },
        Some(KeyKind::Record(key)) => replica.put(key, record.value()),
        Some(KeyKind::Schema | KeyKind::Cluster | KeyKind::Generation | KeyKind::Migration | KeyKind::Election(_)) => {}
        None => replica.records.put_unknown(unknown(keys, record.key())),
    }
}

/// Applies the deletion of a key.
fn discard(replica: &mut Replica, keys: &Keys, record: &KeyValue) {
    match keys.place(record.key()) {
        Some(KeyKind::Record(key)) => replica.delete(key),
        None => replica.records.delete_unknown(&unknown(keys, record.key())),
        Some(_) => {}
    }
}

fn unknown(keys: &Keys, key: &[u8]) -> String {
    keys.name(key).map_or_else(|| key.escape_ascii().to_string(), str::to_owned)
}
