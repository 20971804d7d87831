//! A master that leads or waits to.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse};
use muster_types::{ClusterRecord, ClusterUid, Epoch, LeaderUid};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::archive::EtcdSource;
use super::check::{self, CALL_WITHIN, Found, Subject, seconds, whole_seconds};
use super::copy::{Replica, Shelf};
use super::failure::{Failure, Kind};
use super::follow::{Follower, Seen, Sight};
use super::keys::{Keys, Place};
use super::line::{Access, Handle, Line};
use super::location::EtcdLocation;
use super::pulse::{self, Rhythm};
use super::roll::{MemberRecord, Roll, revision};
use super::seat::{Own, Seat};
use super::store::{EtcdStore, Upkeeping};
use super::trace::{Mark, Trace};
use super::transaction::Guard;
use super::{inquiry, upkeep};
use crate::clock::{boottime, wall};
use crate::codec::Stored as _;
use crate::random::random_u128;
use crate::{Archive, CampaignError, Candidacy, Candidate, Election, Founding, Leader, OpenError, Standing};

/// A candidate for the leadership of a cluster in etcd. Dropped, it no longer stands for it.
pub struct EtcdCandidate {
    line: Line,
    keys: Keys,
    candidacy: Candidacy,
    rhythm: Rhythm,
    cluster: ClusterRecord,
    cluster_bytes: Vec<u8>,
    trace: Option<Arc<Trace>>,
    own: Own,
    shelf: Shelf,
    wanted: Arc<watch::Sender<bool>>,
    sight: watch::Receiver<Sight>,
    election: Election,
    tasks: Vec<JoinHandle<()>>,
    /// The key of the term that was won last.
    held: Option<Held>,
}

impl std::fmt::Debug for EtcdCandidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdCandidate").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A key in the line, and what keeps it there. Dropped, it is given up: by a task of its own, if there is still a runtime.
struct Held {
    seat: Arc<Seat>,
    own: Own,
    pulse: JoinHandle<()>,
    line: Option<Line>,
}

/// Between attempts to stand for election.
const PAUSE: Duration = Duration::from_millis(200);

impl EtcdCandidate {
    /// Checks the servers and what the prefix holds, makes the cluster if it holds nothing, and begins to follow it.
    pub async fn open(
        location: &EtcdLocation,
        founding: Founding,
        candidacy: Candidacy,
    ) -> Result<EtcdCandidate, OpenError> {
        let trace = candidacy.state_dir.as_deref().map(Trace::take).transpose()?;
        let access = Arc::new(Access::new(location)?);
        let subject = Subject::of(location);
        let keys = Keys::new(&location.prefix);
        check::versions(&access, location).await?;
        let mut line = access.line(0);
        // What is there, before anything is made: the cluster is founded last.
        check::find(&mut line, &keys, &subject).await?;
        check::lease(&mut line, &subject, candidacy.lease).await?;
        let found = check::find_or_found(&mut line, &keys, &subject, founding).await?;
        if let Some(trace) = &trace {
            clear(&mut line, trace).await?;
        }
        Ok(EtcdCandidate::begin(line, keys, candidacy, found, trace))
    }

    fn begin(line: Line, keys: Keys, candidacy: Candidacy, found: Found, trace: Option<Trace>) -> EtcdCandidate {
        let rhythm = Rhythm { lease: candidacy.lease, margin: candidacy.margin.min(candidacy.lease / 2) };
        let (own, shelf) = (Own::default(), Shelf::default());
        let (wanted, wants) = watch::channel(true);
        let (sender, sight) = watch::channel(Sight::default());
        let standing = Standing { generation: found.generation, ..Standing::default() };
        let (keeper, election) = Election::kept(standing);
        let (inquiries, inquired) = mpsc::channel(inquiry::WAITING);
        let follower = Follower {
            line: line.another(),
            keys: keys.clone(),
            own: own.clone(),
            shelf: shelf.clone(),
            wanted: wants,
            sight: sender,
            election: keeper,
            patience: candidacy.lease / 4,
            revision: 0,
            roll: Roll::default(),
            has_led: false,
            seen: trace.as_ref().map(|trace| trace.seen(found.cluster.uid)).unwrap_or_default(),
            went_back: None,
        };
        let trace = trace.map(Arc::new);
        let mut tasks = vec![
            tokio::spawn(follower.run()),
            tokio::spawn(inquiry::run(line.another(), keys.clone(), sight.clone(), inquired, candidacy.lease)),
        ];
        if let Some(trace) = &trace {
            tasks.push(tokio::spawn(remember(Arc::downgrade(trace), found.cluster.uid, sight.clone())));
        }
        EtcdCandidate {
            line,
            keys,
            candidacy,
            rhythm,
            cluster: found.cluster,
            cluster_bytes: found.cluster_bytes,
            trace,
            own,
            shelf,
            wanted: Arc::new(wanted),
            sight,
            election: election.answered_by(inquiries),
            tasks,
            held: None,
        }
    }

    /// Until every record is here: whoever wins without them would keep everyone waiting while it loads.
    async fn warm(&mut self) -> Result<(), CampaignError> {
        self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        loop {
            self.sight.mark_unchanged();
            // The shelf itself: what was seen last may be of before the copy was taken from it.
            if self.shelf.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return Ok(());
            }
            self.sight.changed().await.map_err(|_| CampaignError::Closed)?;
        }
    }

    /// Makes a lease and an election key on it.
    async fn stand(&mut self) -> Result<(Held, i64), Refusal> {
        let leader = LeaderUid(random_u128().map_err(|source| Refusal::Error(CampaignError::Random { source }))?);
        let (sent, asked) = (boottime(), whole_seconds(self.candidacy.lease));
        let grant = async |client: Handle| client.lease_client().grant(asked, None).await;
        let granted = self.line.once(CALL_WITHIN.min(self.candidacy.lease), grant).await?;
        let until = self.rhythm.until(sent, seconds(granted.ttl()));
        let key = self.keys.bytes(Place::Election(granted.id()));
        let seat = Arc::new(Seat::new(granted.id(), key, leader, until));
        let held = Held::new(seat, self.own.clone(), &self.line, self.rhythm);
        if let Some(trace) = &self.trace {
            let key = String::from_utf8_lossy(&held.seat.key).into_owned();
            // Without it the next start waits for a lease, no more.
            if let Err(error) = trace.write(&Mark { key, lease: held.seat.lease, leader }) {
                tracing::warn!(%error, "the election key was not noted in the state directory");
            }
        }
        let created = self.make_key(&held.seat).await?;
        held.seat.set_created(created);
        Ok((held, created))
    }

    /// Puts the key, or finds that an earlier attempt did. Its creation revision.
    async fn make_key(&mut self, seat: &Seat) -> Result<i64, Refusal> {
        let (address, version) = (self.candidacy.address.clone(), self.candidacy.version.clone());
        let record = MemberRecord { leader: seat.leader, address, version, since: wall() }.encode();
        let cluster = self.keys.bytes(Place::Cluster);
        let ask = async |mut client: Handle| {
            let options = PutOptions::new().with_lease(seat.lease);
            let txn = Txn::new()
                .when([
                    Compare::create_revision(seat.key.clone(), CompareOp::Equal, 0),
                    Compare::value(cluster.clone(), CompareOp::Equal, self.cluster_bytes.clone()),
                ])
                .and_then([TxnOp::put(seat.key.clone(), record.clone(), Some(options))])
                .or_else([TxnOp::get(seat.key.clone(), None)]);
            client.txn(txn).await
        };
        let answer = self.line.persist(CALL_WITHIN, self.candidacy.lease, ask).await?;
        if answer.succeeded() {
            return Ok(answer.header().map_or(0, etcd_client::ResponseHeader::revision));
        }
        match answer.op_responses().first() {
            Some(TxnOpResponse::Get(read)) if !read.kvs().is_empty() => Ok(read.kvs()[0].create_revision()),
            _ => Err(Refusal::Error(CampaignError::Replaced)),
        }
    }

    /// Until the store is not one that went back in time.
    async fn trust(&mut self) -> Result<(), CampaignError> {
        let trusted = self.sight.wait_for(|sight| !sight.went_back).await;
        trusted.map(drop).map_err(|_| CampaignError::Closed)
    }

    /// Until the key leads; `None` if it is lost before.
    async fn wait(&mut self, held: &Held, created: i64) -> Result<Option<u64>, CampaignError> {
        let mut deadline = held.seat.deadline.clone();
        let leads = self.sight.wait_for(|sight| sight.warm && !sight.went_back && sight.roll.first() == Some(created));
        tokio::select! {
            sight = leads => match sight {
                Ok(sight) => Ok(Some(sight.roll.generation)),
                Err(_) => Err(CampaignError::Closed),
            },
            () = deadline.ended() => Ok(None),
        }
    }

    fn leader(&self, held: &Held, created: i64, generation: u64) -> Leader<EtcdStore> {
        let seat = held.seat.clone();
        let upkeep = upkeep::keep(self.line.another(), self.keys.clone());
        Leader {
            epoch: Epoch { generation, revision: revision(created), leader: seat.leader },
            cluster: self.cluster.clone(),
            deadline: seat.deadline.clone(),
            store: EtcdStore {
                line: self.line.another(),
                keys: self.keys.clone(),
                guard: Guard { key: seat.key.clone(), created },
                seat,
                shelf: self.shelf.clone(),
                wanted: self.wanted.clone(),
                lease: self.candidacy.lease,
                doubtful: None,
                kept: None,
                _upkeep: Upkeeping(tokio::spawn(upkeep)),
            },
        }
    }
}

impl Drop for EtcdCandidate {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Why there is no key.
enum Refusal {
    Call(Failure),
    Error(CampaignError),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Call(failure)
    }
}

impl Candidate for EtcdCandidate {
    type Store = EtcdStore;

    async fn campaign(&mut self) -> Result<Leader<EtcdStore>, CampaignError> {
        // A key leads once: what an earlier term still has in flight must fail.
        if let Some(held) = self.held.take() {
            held.give_up(self.candidacy.lease).await;
        }
        loop {
            self.warm().await?;
            self.trust().await?;
            // Dropped halfway, `held` gives the key up.
            let (held, created) = match self.stand().await {
                Ok(stood) => stood,
                Err(Refusal::Error(error)) => return Err(error),
                Err(Refusal::Call(failure)) => {
                    tokio::time::sleep(PAUSE).await;
                    return Err(CampaignError::Unreachable { source: failure.source });
                }
            };
            if let Some(generation) = self.wait(&held, created).await? {
                let leader = self.leader(&held, created, generation);
                self.held = Some(held);
                return Ok(leader);
            }
        }
    }

    fn archive(&self) -> Archive {
        Archive::new(EtcdSource { access: self.line.access().clone(), keys: self.keys.clone() })
    }

    fn election(&self) -> Election {
        self.election.clone()
    }

    fn replica(&self) -> Replica {
        Replica::new(self.shelf.clone())
    }

    async fn resign(&mut self, leader: Leader<EtcdStore>) {
        let is_held = |held: &mut Held| held.seat.leader == leader.epoch.leader;
        if let Some(held) = self.held.take_if(is_held) {
            held.give_up(self.candidacy.lease).await;
        }
    }
}

impl Held {
    fn new(seat: Arc<Seat>, own: Own, line: &Line, rhythm: Rhythm) -> Held {
        own.set(Some(seat.clone()));
        let pulse = tokio::spawn(pulse::keep(seat.clone(), line.another(), rhythm));
        Held { seat, own, pulse, line: Some(line.another()) }
    }

    /// Ends the term, and tells the store, so that the next in line need not wait.
    async fn give_up(mut self, within: Duration) {
        self.end();
        if let Some(line) = self.line.take() {
            withdraw(line, self.seat.clone(), within).await;
        }
    }

    fn end(&self) {
        self.seat.keeper.end();
        self.pulse.abort();
        if self.own.get().is_some_and(|own| own.leader == self.seat.leader) {
            self.own.set(None);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end();
        if let (Some(line), Ok(runtime)) = (self.line.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(withdraw(line, self.seat.clone(), CALL_WITHIN));
        }
    }
}

/// With the lease goes the key. If the store does not hear of it, both end by themselves.
async fn withdraw(mut line: Line, seat: Arc<Seat>, within: Duration) {
    let lease = seat.lease;
    let revoke = async |client: Handle| client.lease_client().revoke(lease).await;
    match line.persist(within / 3, within, revoke).await {
        Ok(_) | Err(Failure { kind: Kind::LeaseGone, .. }) => {}
        Err(error) => {
            tracing::warn!(%error, "the store was not told that this master no longer stands; its lease will end")
        }
    }
}

/// How often it is noted how far the store has come.
const REMEMBER_EVERY: Duration = Duration::from_secs(2);

/// Notes how far the store has come, for the next process on the same state directory. The directory is the candidate's: its lock goes with it.
async fn remember(trace: Weak<Trace>, cluster: ClusterUid, sight: watch::Receiver<Sight>) {
    let mut noted = Seen::default();
    loop {
        tokio::time::sleep(REMEMBER_EVERY).await;
        let seen = sight.borrow().seen;
        if seen == noted {
            continue;
        }
        let Some(trace) = trace.upgrade() else { return };
        match trace.note_seen(cluster, seen) {
            Ok(()) => noted = seen,
            Err(error) => tracing::warn!(%error, "how far the store has come was not noted in the state directory"),
        }
    }
}

/// Deletes the key that the predecessor on the same state directory left.
async fn clear(line: &mut Line, trace: &Trace) -> Result<(), OpenError> {
    let Some(mark) = trace.read()? else { return Ok(()) };
    let key = mark.key.clone().into_bytes();
    let read = async |client: Handle| client.kv_client().get(key.clone(), None).await;
    let Ok(found) = line.once(CALL_WITHIN, read).await else { return Ok(()) };
    let Some(found) = found.kvs().first() else { return Ok(()) };
    // Keys are named by leases, which etcd chooses: that of another etcd may have the same name.
    if MemberRecord::decode(found.value()).map(|record| record.leader).ok() != Some(mark.leader) {
        return Ok(());
    }
    let guard = Guard { key: key.clone(), created: found.create_revision() };
    let delete = async |mut client: Handle| {
        let txn = Txn::new().when([guard.compare()]).and_then([TxnOp::delete(key.clone(), None)]);
        client.txn(txn).await
    };
    match line.once(CALL_WITHIN, delete).await {
        Ok(_) => {
            tracing::info!(
                key = mark.key,
                "deleted the election key that the predecessor on this state directory left"
            );
            let revoke = async |client: Handle| client.lease_client().revoke(mark.lease).await;
            // It holds nothing any more, and ends by itself.
            let _ = line.once(CALL_WITHIN, revoke).await;
        }
        Err(error) => tracing::warn!(%error, "the election key of the predecessor was not deleted; its lease will end"),
    }
    Ok(())
}

#[cfg(test)]
impl EtcdCandidate {
    /// As if the process were killed: nothing is told to anyone.
    pub(crate) fn vanish(mut self) {
        if let Some(held) = self.held.take() {
            held.pulse.abort();
            std::mem::forget(held);
        }
    }

    /// The lease of the term that was won last.
    pub(crate) fn lease(&self) -> Option<i64> {
        self.held.as_ref().map(|held| held.seat.lease)
    }
}
