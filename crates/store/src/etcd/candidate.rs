//! A master that leads or stands by, over etcd.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse};
use muster_types::{ClusterRecord, ClusterUid, Epoch, LeaderUid};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::archive::EtcdSource;
use super::check::{self, CALL_WITHIN, EtcdName, FoundCluster, seconds, whole_seconds};
use super::connection::{Access, ClientHandle, EtcdConnection};
use super::election_queue::{ElectionQueue, MemberRecord, revision};
use super::failure::{EtcdFailure, FailureKind};
use super::follow::{HighestSeen, ReplicaTask, WatchState};
use super::keepalive::{self, LeaseTiming};
use super::keys::{KeyKind, Keys};
use super::lease::{LeadershipLease, OwnLease};
use super::local_state::{LocalState, SavedKey};
use super::location::EtcdLocation;
use super::replica::{ReplicaHandle, SharedReplica};
use super::store::{CompactionTask, EtcdStore};
use super::transaction::KeyGuard;
use super::{compaction, key_request};
use crate::clock::{boottime, wall};
use crate::codec::Stored as _;
use crate::random::random_u128;
use crate::{Archive, CampaignError, Candidacy, Candidate, Leader, LeaderView, LeaderWatch, NewCluster, OpenError};

/// A candidate for the leadership of a cluster in etcd. Dropping it ends the candidacy.
pub struct EtcdCandidate {
    connection: EtcdConnection,
    keys: Keys,
    candidacy: Candidacy,
    timing: LeaseTiming,
    cluster: ClusterRecord,
    cluster_bytes: Vec<u8>,
    local_state: Option<Arc<LocalState>>,
    own: OwnLease,
    replica: SharedReplica,
    wanted: Arc<watch::Sender<bool>>,
    watch_state: watch::Receiver<WatchState>,
    election: LeaderWatch,
    tasks: Vec<JoinHandle<()>>,
    /// The key of the term that was won last.
    held: Option<ElectionKey>,
}

impl std::fmt::Debug for EtcdCandidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdCandidate").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// An election key, and the task that keeps its lease. When it is dropped, another task gives the
/// key up, if there is still a runtime.
struct ElectionKey {
    leadership: Arc<LeadershipLease>,
    own: OwnLease,
    keepalive: JoinHandle<()>,
    connection: Option<EtcdConnection>,
}

/// The pause after a failed attempt to make an election key.
const PAUSE: Duration = Duration::from_millis(200);

impl EtcdCandidate {
    /// Checks the servers and the content of the prefix, makes the cluster if the prefix is empty,
    /// and begins to follow it.
    pub async fn open(
        location: &EtcdLocation,
        new_cluster: NewCluster,
        candidacy: Candidacy,
    ) -> Result<EtcdCandidate, OpenError> {
        let local_state = candidacy.state_dir.as_deref().map(LocalState::take).transpose()?;
        let access = Arc::new(Access::new(location)?);
        let subject = EtcdName::of(location);
        let keys = Keys::new(&location.prefix);
        check::versions(&access, location).await?;
        let mut connection = access.connection(0);
        // The prefix is checked before anything is made; the cluster is made last.
        check::find(&mut connection, &keys, &subject).await?;
        check::lease(&mut connection, &subject, candidacy.lease).await?;
        let found = check::find_or_found(&mut connection, &keys, &subject, new_cluster).await?;
        if let Some(local_state) = &local_state {
            clear(&mut connection, local_state).await?;
        }
        Ok(EtcdCandidate::begin(connection, keys, candidacy, found, local_state))
    }

    fn begin(
        connection: EtcdConnection,
        keys: Keys,
        candidacy: Candidacy,
        found: FoundCluster,
        local_state: Option<LocalState>,
    ) -> EtcdCandidate {
        let timing = LeaseTiming { lease: candidacy.lease, margin: candidacy.margin.min(candidacy.lease / 2) };
        let (own, replica) = (OwnLease::default(), SharedReplica::default());
        let (wanted, wants) = watch::channel(true);
        let (sender, watch_state) = watch::channel(WatchState::default());
        let view = LeaderView { generation: found.generation, ..LeaderView::default() };
        let (keeper, election) = LeaderWatch::kept(view);
        let (key_requests, inquired) = mpsc::channel(key_request::WAITING);
        let follower = ReplicaTask {
            connection: connection.another(),
            keys: keys.clone(),
            own: own.clone(),
            replica: replica.clone(),
            wanted: wants,
            watch_state: sender,
            election: keeper,
            patience: candidacy.lease / 4,
            revision: 0,
            queue: ElectionQueue::default(),
            has_led: false,
            seen: local_state.as_ref().map(|local_state| local_state.seen(found.cluster.uid)).unwrap_or_default(),
            rolled_back: None,
        };
        let local_state = local_state.map(Arc::new);
        let mut tasks = vec![
            tokio::spawn(follower.run()),
            tokio::spawn(key_request::run(
                connection.another(),
                keys.clone(),
                watch_state.clone(),
                inquired,
                candidacy.lease,
            )),
        ];
        if let Some(local_state) = &local_state {
            tasks.push(tokio::spawn(remember(Arc::downgrade(local_state), found.cluster.uid, watch_state.clone())));
        }
        EtcdCandidate {
            connection,
            keys,
            candidacy,
            timing,
            cluster: found.cluster,
            cluster_bytes: found.cluster_bytes,
            local_state,
            own,
            replica,
            wanted: Arc::new(wanted),
            watch_state,
            election: election.answered_by(key_requests),
            tasks,
            held: None,
        }
    }

    /// Waits until the replica has every record: a leader that wins without them would make all
    /// callers wait while it loads.
    async fn warm(&mut self) -> Result<(), CampaignError> {
        self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        loop {
            self.watch_state.mark_unchanged();
            // The shared replica itself is looked at, because the last watch state may be from
            // before the replica was taken.
            if self.replica.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return Ok(());
            }
            self.watch_state.changed().await.map_err(|_| CampaignError::Closed)?;
        }
    }

    /// Makes a lease and an election key on it.
    async fn stand(&mut self) -> Result<(ElectionKey, i64), NoKey> {
        let leader = LeaderUid(random_u128().map_err(|source| NoKey::Error(CampaignError::Random { source }))?);
        let (sent, asked) = (boottime(), whole_seconds(self.candidacy.lease));
        let grant = async |client: ClientHandle| client.lease_client().grant(asked, None).await;
        let granted = self.connection.once(CALL_WITHIN.min(self.candidacy.lease), grant).await?;
        let until = self.timing.until(sent, seconds(granted.ttl()));
        let key = self.keys.bytes(KeyKind::Election(granted.id()));
        let leadership = Arc::new(LeadershipLease::new(granted.id(), key, leader, until));
        let held = ElectionKey::new(leadership, self.own.clone(), &self.connection, self.timing);
        if let Some(local_state) = &self.local_state {
            let key = String::from_utf8_lossy(&held.leadership.key).into_owned();
            // Without the note, the next start waits for the lease to end, and nothing worse.
            if let Err(error) = local_state.write(&SavedKey { key, lease: held.leadership.lease, leader }) {
                tracing::warn!(%error, "the election key was not noted in the state directory");
            }
        }
        let created = self.make_key(&held.leadership).await?;
        held.leadership.set_created(created);
        Ok((held, created))
    }

    /// Makes the key, or finds that an earlier attempt has made it. Returns its creation revision.
    async fn make_key(&mut self, leadership: &LeadershipLease) -> Result<i64, NoKey> {
        let (address, version) = (self.candidacy.address.clone(), self.candidacy.version.clone());
        let record = MemberRecord { leader: leadership.leader, address, version, since: wall() }.encode();
        let cluster = self.keys.bytes(KeyKind::Cluster);
        let ask = async |mut client: ClientHandle| {
            let options = PutOptions::new().with_lease(leadership.lease);
            let txn = Txn::new()
                .when([
                    Compare::create_revision(leadership.key.clone(), CompareOp::Equal, 0),
                    Compare::value(cluster.clone(), CompareOp::Equal, self.cluster_bytes.clone()),
                ])
                .and_then([TxnOp::put(leadership.key.clone(), record.clone(), Some(options))])
                .or_else([TxnOp::get(leadership.key.clone(), None)]);
            client.txn(txn).await
        };
        let answer = self.connection.persist(CALL_WITHIN, self.candidacy.lease, ask).await?;
        if answer.succeeded() {
            return Ok(answer.header().map_or(0, etcd_client::ResponseHeader::revision));
        }
        match answer.op_responses().first() {
            Some(TxnOpResponse::Get(read)) if !read.kvs().is_empty() => Ok(read.kvs()[0].create_revision()),
            _ => Err(NoKey::Error(CampaignError::Replaced)),
        }
    }

    /// Waits until the store is not one that went back in time.
    async fn trust(&mut self) -> Result<(), CampaignError> {
        let trusted = self.watch_state.wait_for(|watch_state| !watch_state.rolled_back).await;
        trusted.map(drop).map_err(|_| CampaignError::Closed)
    }

    /// Waits until the key leads; `None` if it is lost before.
    async fn wait(&mut self, held: &ElectionKey, created: i64) -> Result<Option<u64>, CampaignError> {
        let mut deadline = held.leadership.deadline.clone();
        let leads = self.watch_state.wait_for(|watch_state| {
            watch_state.warm && !watch_state.rolled_back && watch_state.queue.first() == Some(created)
        });
        tokio::select! {
            watch_state = leads => match watch_state {
                Ok(watch_state) => Ok(Some(watch_state.queue.generation)),
                Err(_) => Err(CampaignError::Closed),
            },
            () = deadline.ended() => Ok(None),
        }
    }

    fn leader(&self, held: &ElectionKey, created: i64, generation: u64) -> Leader<EtcdStore> {
        let leadership = held.leadership.clone();
        let compaction = compaction::keep(self.connection.another(), self.keys.clone());
        Leader {
            epoch: Epoch { generation, revision: revision(created), leader: leadership.leader },
            cluster: self.cluster.clone(),
            deadline: leadership.deadline.clone(),
            store: EtcdStore {
                connection: self.connection.another(),
                keys: self.keys.clone(),
                guard: KeyGuard { key: leadership.key.clone(), created },
                leadership,
                replica: self.replica.clone(),
                wanted: self.wanted.clone(),
                lease: self.candidacy.lease,
                doubtful: None,
                kept: None,
                _compaction: CompactionTask(tokio::spawn(compaction)),
            },
        }
    }
}

impl Drop for EtcdCandidate {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Why no key was made.
enum NoKey {
    Call(EtcdFailure),
    Error(CampaignError),
}

impl From<EtcdFailure> for NoKey {
    fn from(failure: EtcdFailure) -> NoKey {
        NoKey::Call(failure)
    }
}

impl Candidate for EtcdCandidate {
    type Store = EtcdStore;

    async fn campaign(&mut self) -> Result<Leader<EtcdStore>, CampaignError> {
        // A key leads only once: requests of an earlier term that are still in flight must fail.
        if let Some(held) = self.held.take() {
            held.give_up(self.candidacy.lease).await;
        }
        loop {
            self.warm().await?;
            self.trust().await?;
            // If this future is dropped while it waits, dropping `held` gives the key up.
            let (held, created) = match self.stand().await {
                Ok(stood) => stood,
                Err(NoKey::Error(error)) => return Err(error),
                Err(NoKey::Call(failure)) => {
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
        Archive::new(EtcdSource { access: self.connection.access().clone(), keys: self.keys.clone() })
    }

    fn election(&self) -> LeaderWatch {
        self.election.clone()
    }

    fn replica(&self) -> ReplicaHandle {
        ReplicaHandle::new(self.replica.clone())
    }

    async fn resign(&mut self, leader: Leader<EtcdStore>) {
        let is_held = |held: &mut ElectionKey| held.leadership.leader == leader.epoch.leader;
        if let Some(held) = self.held.take_if(is_held) {
            held.give_up(self.candidacy.lease).await;
        }
    }
}

impl ElectionKey {
    fn new(
        leadership: Arc<LeadershipLease>,
        own: OwnLease,
        connection: &EtcdConnection,
        timing: LeaseTiming,
    ) -> ElectionKey {
        own.set(Some(leadership.clone()));
        let keepalive = tokio::spawn(keepalive::keep(leadership.clone(), connection.another(), timing));
        ElectionKey { leadership, own, keepalive, connection: Some(connection.another()) }
    }

    /// Ends the term and deletes the key, so that the next in standby order need not wait.
    async fn give_up(mut self, within: Duration) {
        self.end();
        if let Some(connection) = self.connection.take() {
            withdraw(connection, self.leadership.clone(), within).await;
        }
    }

    fn end(&self) {
        self.leadership.keeper.end();
        self.keepalive.abort();
        if self.own.get().is_some_and(|own| own.leader == self.leadership.leader) {
            self.own.set(None);
        }
    }
}

impl Drop for ElectionKey {
    fn drop(&mut self) {
        self.end();
        if let (Some(connection), Ok(runtime)) = (self.connection.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(withdraw(connection, self.leadership.clone(), CALL_WITHIN));
        }
    }
}

/// Revokes the lease, which deletes the key. If the call fails, both end when the lease expires.
async fn withdraw(mut connection: EtcdConnection, leadership: Arc<LeadershipLease>, within: Duration) {
    let lease = leadership.lease;
    let revoke = async |client: ClientHandle| client.lease_client().revoke(lease).await;
    match connection.persist(within / 3, within, revoke).await {
        Ok(_) | Err(EtcdFailure { kind: FailureKind::LeaseGone, .. }) => {}
        Err(error) => {
            tracing::warn!(%error, "the store was not told that this master no longer stands; its lease will end")
        }
    }
}

/// How often the progress of the store is saved.
const REMEMBER_EVERY: Duration = Duration::from_secs(2);

/// Saves how far the store has come, for the next process on the same state directory. The
/// candidate owns the directory, and its lock ends with the candidate.
async fn remember(local_state: Weak<LocalState>, cluster: ClusterUid, watch_state: watch::Receiver<WatchState>) {
    let mut noted = HighestSeen::default();
    loop {
        tokio::time::sleep(REMEMBER_EVERY).await;
        let seen = watch_state.borrow().seen;
        if seen == noted {
            continue;
        }
        let Some(local_state) = local_state.upgrade() else { return };
        match local_state.note_seen(cluster, seen) {
            Ok(()) => noted = seen,
            Err(error) => tracing::warn!(%error, "how far the store has come was not noted in the state directory"),
        }
    }
}

/// Deletes the election key that the last process on the same state directory left.
async fn clear(connection: &mut EtcdConnection, local_state: &LocalState) -> Result<(), OpenError> {
    let Some(saved_key) = local_state.read()? else { return Ok(()) };
    let key = saved_key.key.clone().into_bytes();
    let read = async |client: ClientHandle| client.kv_client().get(key.clone(), None).await;
    let Ok(found) = connection.once(CALL_WITHIN, read).await else { return Ok(()) };
    let Some(found) = found.kvs().first() else { return Ok(()) };
    // Keys are named after leases, whose ids etcd chooses, so a key of another etcd may have the
    // same name.
    if MemberRecord::decode(found.value()).map(|record| record.leader).ok() != Some(saved_key.leader) {
        return Ok(());
    }
    let guard = KeyGuard { key: key.clone(), created: found.create_revision() };
    let delete = async |mut client: ClientHandle| {
        let txn = Txn::new().when([guard.compare()]).and_then([TxnOp::delete(key.clone(), None)]);
        client.txn(txn).await
    };
    match connection.once(CALL_WITHIN, delete).await {
        Ok(_) => {
            tracing::info!(
                key = saved_key.key,
                "deleted the election key that the predecessor on this state directory left"
            );
            let revoke = async |client: ClientHandle| client.lease_client().revoke(saved_key.lease).await;
            // On failure the lease expires by itself, and no key depends on it any more.
            let _ = connection.once(CALL_WITHIN, revoke).await;
        }
        Err(error) => tracing::warn!(%error, "the election key of the predecessor was not deleted; its lease will end"),
    }
    Ok(())
}

#[cfg(test)]
impl EtcdCandidate {
    /// Ends like a killed process, without a call to the store.
    pub(crate) fn vanish(mut self) {
        if let Some(held) = self.held.take() {
            held.keepalive.abort();
            std::mem::forget(held);
        }
    }

    /// The lease of the last won term.
    pub(crate) fn lease(&self) -> Option<i64> {
        self.held.as_ref().map(|held| held.leadership.lease)
    }
}
