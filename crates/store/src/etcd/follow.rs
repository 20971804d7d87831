//! Follows the store by one watch: who leads, and, while this process waits to lead, every record.
//!
//! One watch shows everything in the order in which it happened. So a copy that has seen the key of a predecessor deleted is not
//! older than that: every transaction of the predecessor came before, and its guard lets none through after. Only while all records are
//! being read, which takes a while, who leads is watched alone.

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

use super::copy::{Copy, Shelf};
use super::failure::{Failure, Kind};
use super::keys::{Keys, Place};
use super::line::{Handle, Line};
use super::page::{ANSWER_BYTES, Pages};
use super::roll::Roll;
use super::seat::Own;
use crate::codec::Stored as _;
use crate::codec::proto::{GenerationRecord, HeadRecord};
use crate::{ElectionKeeper, Standing};

/// What the watch has seen of the election.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) roll: Roll,
    /// Whether there was a copy that has seen the same.
    pub(super) warm: bool,
    /// Creation revision of our own key.
    pub(super) own: Option<i64>,
    /// The store is older than what was seen of it, and its generation was not raised since.
    pub(super) went_back: bool,
    /// What was seen last.
    pub(super) seen: Seen,
}

/// What a follower is made from.
pub(super) struct Follower {
    pub(super) line: Line,
    pub(super) keys: Keys,
    pub(super) own: Own,
    pub(super) shelf: Shelf,
    /// Whether a copy is wanted.
    pub(super) wanted: watch::Receiver<bool>,
    pub(super) sight: watch::Sender<Sight>,
    pub(super) election: ElectionKeeper,
    /// Within which a member must show that it lives.
    pub(super) patience: Duration,
    /// Of what the watch has shown.
    pub(super) revision: i64,
    pub(super) roll: Roll,
    /// Whether this process has just ceased to lead.
    pub(super) has_led: bool,
    /// The newest of all that was seen, by this process and by those before it on its state directory.
    pub(super) seen: Seen,
    /// The generation in which the store turned out to be older than that.
    pub(super) went_back: Option<u64>,
}

/// How far a store was seen to have come. In a healthy one neither number falls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) generation: u64,
    pub(super) revision: i64,
}

/// What is read while everything is well: the revision, the newest transaction's, the election keys.
struct Probe {
    revision: i64,
    head: i64,
    created: BTreeSet<i64>,
}

/// What is asked meanwhile.
type Asking<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Whoever has just led reads all records this much later, if another leads now: what that one begins with needs etcd more.
const AFTER_A_TERM: Duration = Duration::from_millis(500);

impl Follower {
    /// Follows for ever.
    pub(super) async fn run(mut self) {
        loop {
            match self.follow().await {
                Ok(()) => {}
                Err(failure) => {
                    tracing::debug!(member = self.line.name(), error = %failure, "following the store was cut");
                    if failure.kind == Kind::Compacted {
                        self.revision = 0;
                    }
                    self.line.rotate();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Until another kind of following is wanted or possible, or it is cut.
    async fn follow(&mut self) -> Result<(), Failure> {
        let wanted = *self.wanted.borrow_and_update();
        if !wanted {
            *self.copy() = None;
            self.has_led = true;
        }
        let is_before = self.is_before().await?;
        if self.revision == 0 || is_before || (wanted && self.copy().is_none()) {
            *self.copy() = None;
            self.read_offices().await?;
        }
        let warm = self.copy().is_some();
        let reading = (wanted && !warm).then(|| self.records());
        let stream = self.watch(warm).await?;
        self.see(stream, reading).await
    }

    fn copy(&self) -> MutexGuard<'_, Option<Copy>> {
        // Nobody panics while it holds the lock.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store was taken back to before what was seen of it. Then nobody may act on it, until its generation is raised.
    async fn is_before(&mut self) -> Result<bool, Failure> {
        if self.seen.revision == 0 {
            return Ok(false);
        }
        let key = self.keys.bytes(Place::Generation);
        let ask = async |client: Handle| client.kv_client().get(key, None).await;
        let answer = self.line.once(self.patience, ask).await?;
        let found = answer.header().map_or(0, ResponseHeader::revision);
        let is_before = found < self.seen.revision;
        if is_before {
            tracing::error!(
                found,
                seen = self.seen.revision,
                "the store went back in time; nothing is done until `muster-master recover` raises its generation"
            );
            self.went_back = Some(self.seen.generation);
            self.seen.revision = found;
        }
        Ok(is_before)
    }

    /// Reads who leads and who waits. Calls are waiting for that.
    async fn read_offices(&mut self) -> Result<(), Failure> {
        let own = self.own.get().and_then(|seat| Some((seat.created()?, seat)));
        let (mut pages, mut roll) = (Pages::now(self.keys.offices()), Roll::default());
        while let Some(page) = pages.next(&mut self.line).await? {
            for record in &page {
                learn(&mut roll, self.keys.place(record.key()), record);
            }
        }
        self.revision = pages.revision();
        self.roll = roll;
        // It was made before this was read: it must be there.
        if let Some((created, seat)) = own
            && !self.roll.has(created)
        {
            seat.keeper.end();
        }
        self.publish(true);
        Ok(())
    }

    /// Reads every record.
    fn records(&self) -> Asking<Copy> {
        let (mut line, keys, mut sight) = (self.line.another(), self.keys.clone(), self.sight.subscribe());
        let rest = if self.has_led { AFTER_A_TERM } else { Duration::ZERO };
        Box::pin(async move {
            let vacant = sight.wait_for(|sight| sight.roll.first().is_none());
            // Neither that it is over nor that nobody will say so any more matters here.
            let _ = tokio::time::timeout(rest, vacant).await;
            let (mut pages, mut copy) = (Pages::now(keys.everything()), Copy::default());
            while let Some(page) = pages.next(&mut line).await? {
                for record in &page {
                    keep(&mut copy, &keys, record);
                }
                // Decoding a page takes as long as a timer's tick; others run on this thread too.
                tokio::task::yield_now().await;
            }
            copy.revision = pages.revision();
            Ok(copy)
        })
    }

    async fn watch(&mut self, warm: bool) -> Result<WatchStream, Failure> {
        let (start, end) = if warm { self.keys.everything() } else { self.keys.offices() };
        let seen = self.copy().as_ref().map_or(self.revision, |copy| copy.revision.min(self.revision));
        // From the newest revision seen, again: its events may have come in pieces. Taking them in twice changes nothing.
        let options = WatchOptions::new().with_range(end).with_start_revision(seen).with_fragment();
        let ask = async |client: Handle| {
            client.watch_client().max_decoding_message_size(ANSWER_BYTES).watch(start, Some(options)).await
        };
        self.line.once(self.patience, ask).await
    }

    /// Takes in what the watch shows; until every record is read, if they are being read. The member is asked now and then: it may be dead,
    /// cut off, or have forgotten this watch.
    async fn see(&mut self, mut stream: WatchStream, mut reading: Option<Asking<Copy>>) -> Result<(), Failure> {
        let mut ticks = tokio::time::interval(self.patience / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probing: Option<Asking<Probe>> = None;
        // Since when something is known to be there that the watch has not shown.
        let mut owed: Option<(Instant, i64)> = None;
        loop {
            tokio::select! {
                biased;
                changed = self.wanted.changed() => {
                    return changed.map_err(|_| Failure::new(Kind::Refused, "nobody wants it any more"));
                }
                message = stream.message() => {
                    let message = message?.ok_or_else(|| Failure::unanswered("the watch was closed"))?;
                    if message.canceled() {
                        return Err(canceled(&message));
                    }
                    self.take(message.events());
                }
                probe = answered(&mut probing) => {
                    probing = None;
                    self.compare(&probe?, &mut owed)?;
                }
                _ = ticks.tick(), if probing.is_none() => {
                    probing = Some(Box::pin(probe(self.line.current(), self.keys.clone(), self.patience)));
                }
                copy = answered(&mut reading) => {
                    *self.copy() = Some(copy?);
                    self.has_led = false;
                    self.publish(true);
                    return Ok(());
                }
            }
        }
    }

    /// Compares what a member says with what the watch has shown. A watch that stays behind is given up.
    fn compare(&self, probe: &Probe, owed: &mut Option<(Instant, i64)>) -> Result<(), Failure> {
        let warm = self.copy().is_some();
        let is_behind = probe.revision > self.revision
            && (probe.created != self.roll.created() || (warm && probe.head > self.revision));
        match owed {
            Some((since, revision)) if is_behind && self.revision < *revision => {
                if since.elapsed() > self.patience {
                    return Err(Failure::unanswered("the watch shows nothing any more"));
                }
            }
            _ => *owed = is_behind.then(|| (Instant::now(), probe.revision)),
        }
        Ok(())
    }

    /// The election and the copy may have seen different revisions: neither is taken back.
    fn take(&mut self, events: &[Event]) {
        let Some(newest) = events.last().and_then(Event::kv).map(KeyValue::mod_revision) else { return };
        let shelf = self.shelf.clone();
        let mut copy = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let Some(record) = event.kv() else { continue };
            let is_put = event.event_type() == EventType::Put;
            if record.mod_revision() >= self.revision {
                self.take_office(record, is_put);
            }
            if let Some(copy) = copy.as_mut().filter(|copy| record.mod_revision() >= copy.revision) {
                if is_put { keep(copy, &self.keys, record) } else { discard(copy, &self.keys, record) }
            }
        }
        self.revision = self.revision.max(newest);
        if let Some(copy) = copy.as_mut() {
            copy.revision = copy.revision.max(newest);
        }
        drop(copy);
        self.publish(false);
    }

    fn take_office(&mut self, record: &KeyValue, is_put: bool) {
        let place = self.keys.place(record.key());
        let own = self.own.get().filter(|seat| seat.key == record.key());
        if is_put {
            learn(&mut self.roll, place, record);
            // Our own key may be seen here before the answer to its making is.
            if let Some(seat) = own {
                seat.set_created(record.create_revision());
            }
        } else if let Some(Place::Election(lease)) = place {
            self.roll.delete(lease);
            if let Some(seat) = own {
                tracing::warn!("the election key of this master was deleted");
                seat.keeper.end();
            }
        }
    }

    /// Shows what is seen. Whoever waits is woken by a change of the election, and by `anew`: there is another copy.
    fn publish(&mut self, anew: bool) {
        let warm = self.copy().as_ref().is_some_and(|copy| copy.revision >= self.revision);
        let own = self.own.get().and_then(|seat| seat.created());
        let went_back = self.note_seen();
        let (roll, seen) = (&self.roll, self.seen);
        self.sight.send_if_modified(|sight| {
            let differs = sight.roll != *roll || sight.warm != warm || sight.own != own || sight.went_back != went_back;
            if differs {
                self.election.set(Standing { went_back, ..roll.standing(own) });
                sight.roll = roll.clone();
            }
            (sight.warm, sight.own, sight.went_back, sight.seen) = (warm, own, went_back, seen);
            differs || anew
        });
    }

    /// Notes how far the store has come. Whether it went back, and its generation was not raised since.
    fn note_seen(&mut self) -> bool {
        let generation = self.roll.generation;
        self.seen = Seen { generation, revision: self.seen.revision.max(self.revision) };
        if self.went_back.is_some_and(|before| generation > before) {
            tracing::info!(generation, "the generation of the store was raised");
            self.went_back = None;
        }
        let went_back = self.went_back.is_some();
        if let Some(seat) = self.own.get().filter(|_| went_back) {
            seat.keeper.end();
        }
        went_back
    }
}

async fn answered<T>(asking: &mut Option<Asking<T>>) -> Result<T, Failure> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Asks the member of the watch, by something that a member without a majority cannot answer.
async fn probe(client: Option<Handle>, keys: Keys, within: Duration) -> Result<Probe, Failure> {
    let mut client = client.ok_or_else(|| Failure::unanswered("not connected"))?;
    let (start, end) = keys.elections();
    let options = || GetOptions::new().with_keys_only();
    let reads =
        [TxnOp::get(start, Some(options().with_range(end))), TxnOp::get(keys.bytes(Place::Head), Some(options()))];
    let answer = tokio::time::timeout(within, client.txn(Txn::new().and_then(reads))).await;
    let answer = answer.map_err(|_| Failure::unanswered("the member does not answer"))??;
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

fn canceled(message: &etcd_client::WatchResponse) -> Failure {
    if message.compact_revision() != 0 {
        return Failure::new(Kind::Compacted, "what was to be followed is compacted");
    }
    Failure::unanswered(format!("the watch was canceled: {}", message.cancel_reason()))
}

/// Takes in what a key now holds, if it is of the election.
fn learn(roll: &mut Roll, place: Option<Place>, record: &KeyValue) {
    match place {
        Some(Place::Election(lease)) => roll.put(record.create_revision(), lease, record.value()),
        Some(Place::Generation) => match GenerationRecord::decode(record.value()) {
            Ok(generation) => roll.generation = generation.generation,
            Err(error) => tracing::error!(%error, "the generation of the store cannot be read"),
        },
        Some(Place::Schema | Place::Cluster | Place::Head | Place::Migration | Place::Record(_)) | None => {}
    }
}

/// Takes in what a key now holds, if it is of the records.
fn keep(copy: &mut Copy, keys: &Keys, record: &KeyValue) {
    match keys.place(record.key()) {
        Some(Place::Head) => match HeadRecord::decode(record.value()) {
            Ok(head) => copy.commit = Commit(head.commit),
            Err(error) => tracing::error!(%error, "the head of the store cannot be read"),
        },
        Some(Place::Record(key)) => copy.put(key, record.value()),
        Some(Place::Schema | Place::Cluster | Place::Generation | Place::Migration | Place::Election(_)) => {}
        None => copy.records.put_unknown(unknown(keys, record.key())),
    }
}

/// What a key held is gone.
fn discard(copy: &mut Copy, keys: &Keys, record: &KeyValue) {
    match keys.place(record.key()) {
        Some(Place::Record(key)) => copy.delete(key),
        None => copy.records.delete_unknown(&unknown(keys, record.key())),
        Some(_) => {}
    }
}

fn unknown(keys: &Keys, key: &[u8]) -> String {
    keys.name(key).map_or_else(|| key.escape_ascii().to_string(), str::to_owned)
}
