//! The keeper: a thread that holds the database, so that no async caller ever waits for a disk. It
//! also encodes the records.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use fjall::Error as DatabaseError;
use muster_os::OwnFiles;
use muster_types::{ClusterRecord, ClusterUid, Commit, Snapshot};
use tokio::sync::{mpsc, oneshot};

use super::acknowledged::{Acknowledged, AcknowledgedFile};
use super::archive::SnapshotAt;
use super::checksums::RecordChecksums;
use super::contents::{self, Contents, ContentsError, EPOCH_KEY};
use super::current;
use super::database::{Database, is_damage, is_full, is_poisoned};
use super::migrate::migrate;
use super::space::{has_no_space, has_room, no_space};
use crate::backup::Pour;
use crate::codec::Stored as _;
use crate::codec::proto::EpochRecord;
use crate::directory::{Directory, LOCK, close_to_others};
use crate::error::Cause;
use crate::random::random_u128;
use crate::schema::{CURRENT, SCHEMA};
use crate::{CampaignError, CommitError, LoadError, NewCluster, OpenError, Transaction};

/// A request to the thread.
pub(super) enum StoreRequest {
    /// Begin a term.
    Campaign(oneshot::Sender<Result<(EpochRecord, ClusterRecord), CampaignError>>),
    /// Read everything, for the term of this revision.
    Load(u64, oneshot::Sender<Result<Snapshot, LoadError>>),
    /// Read the number of the newest transaction.
    Newest(u64, oneshot::Sender<Result<Commit, LoadError>>),
    /// Make a transaction durable.
    Commit(u64, Transaction, oneshot::Sender<Result<(), CommitError>>),
    /// Write a backup, for as long as the store is open.
    Archive(Pour, Weak<mpsc::Sender<StoreRequest>>),
}

/// The state of the thread.
pub(super) struct StoreThread {
    /// `None` while the disk is so full that it cannot be opened again.
    pub(super) database: Option<Database>,
    mark: AcknowledgedFile,
    cluster: ClusterRecord,
    pub(super) epoch: EpochRecord,
    /// Whether the database holds the epoch. It does not after a term that began on a full disk:
    /// then the mark alone does, and the next transaction brings it.
    pub(super) has_epoch: bool,
    pub(super) commit: Commit,
    pub(super) checksums: RecordChecksums,
    /// The records that the start has read, until a load takes them or a commit makes them stale.
    loaded: Option<Snapshot>,
    /// The last field, so that the lock is released after all else is closed.
    pub(super) directory: Arc<Directory>,
}

/// The name of the database in the directory.
pub(super) const RECORDS: &str = "records";
/// The name of a database during its making; under this name it was never used.
const UNFINISHED: &str = "records.new";
pub(super) const MARK: &str = "mark";

/// What a store keeps in its directory. The mark is written before the database has its name.
pub(super) const OWN: OwnFiles = OwnFiles { marks: &[MARK], others: &[LOCK, RECORDS] };

impl StoreThread {
    /// Takes the directory, makes the store if there is none, and reads and verifies everything.
    pub(super) fn open(path: &Path, new_cluster: Option<NewCluster>) -> Result<StoreThread, OpenError> {
        let directory = Directory::take(path, OWN)?;
        let (mark, acknowledged) = AcknowledgedFile::open(&directory.join(MARK)).map_err(|source| {
            let path = directory.join(MARK);
            match source.kind() {
                std::io::ErrorKind::InvalidData => OpenError::Damaged { path, source: source.into() },
                _ => OpenError::Directory { path, source },
            }
        })?;
        let exists = directory.join(RECORDS).try_exists();
        if !exists.map_err(|source| OpenError::Directory { path: directory.join(RECORDS), source })? {
            if acknowledged != Acknowledged::default() {
                return Err(OpenError::Damaged { path: directory.join(RECORDS), source: "it is missing".into() });
            }
            match new_cluster {
                Some(new_cluster) => found(&directory, new_cluster)?,
                None => return Err(OpenError::Nothing { store: path.display().to_string() }),
            }
        }
        let (database, contents) = read(&directory, acknowledged)?;
        let Contents { cluster, mut epoch, commit, records, checksums } = contents;
        let has_epoch = epoch.revision >= acknowledged.revision;
        epoch.revision = epoch.revision.max(acknowledged.revision);
        let loaded = Some(records.snapshot(commit));
        let (database, directory) = (Some(database), Arc::new(directory));
        Ok(StoreThread { database, mark, cluster, epoch, has_epoch, commit, checksums, loaded, directory })
    }

    /// Serves requests until all senders are gone, or until an error after which nothing can be
    /// trusted.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<StoreRequest>) {
        while let Some(request) = requests.blocking_recv() {
            if !self.answer(request) {
                return;
            }
        }
    }

    /// Serves one request; returns whether the thread can continue. The request is carried out even
    /// if the caller no longer waits for the answer.
    fn answer(&mut self, request: StoreRequest) -> bool {
        match request {
            StoreRequest::Campaign(reply) => {
                let answer = self.campaign();
                let sound = answer.is_ok();
                let _ = reply.send(answer);
                sound
            }
            StoreRequest::Load(revision, reply) => {
                let answer = self.load(revision);
                let sound = answer.as_ref().err().is_none_or(|error| !error.is_fatal());
                let _ = reply.send(answer);
                sound
            }
            StoreRequest::Archive(into, asked) => {
                self.archive(into, asked);
                true
            }
            StoreRequest::Newest(revision, reply) => {
                let answer = if self.is_over(revision) { Err(LoadError::Superseded) } else { Ok(self.commit) };
                let _ = reply.send(answer);
                true
            }
            StoreRequest::Commit(revision, transaction, reply) => {
                let answer = self.commit(revision, &transaction);
                let sound = answer.as_ref().err().is_none_or(|error| !error.is_fatal());
                let _ = reply.send(answer);
                sound
            }
        }
    }

    fn archive(&self, into: Pour, asked: Weak<mpsc::Sender<StoreRequest>>) {
        let Some(database) = &self.database else {
            // Dropping `into` tells its reader that the store is closed.
            return tracing::warn!("no backup of a store whose disk is full");
        };
        let (snapshot, keyspace) = database.snapshot();
        let moment = SnapshotAt {
            snapshot,
            keyspace,
            cluster: self.cluster.clone(),
            generation: self.epoch.generation,
            commit: self.commit,
            sum: self.checksums.sum(),
            asked,
            _directory: self.directory.clone(),
        };
        let poured = std::thread::Builder::new().name("archive".to_owned()).spawn(move || moment.pour(into));
        if let Err(error) = poured {
            tracing::warn!(%error, "no thread for a backup");
        }
    }

    /// Raises the generation, durably.
    pub(super) fn raise_generation(self) -> Result<u64, OpenError> {
        let epoch = EpochRecord { generation: self.epoch.generation + 1, revision: self.epoch.revision };
        let write = self.write(vec![epoch_change(&epoch)]);
        let path = self.directory.path().to_owned();
        write.map_err(|error| OpenError::Database { path, source: error.into() })?;
        Ok(epoch.generation)
    }

    fn is_over(&self, revision: u64) -> bool {
        revision != self.epoch.revision
    }

    /// Begins a term. On a full disk its epoch goes into the mark alone, which takes no more space,
    /// so that a master can start there.
    fn campaign(&mut self) -> Result<(EpochRecord, ClusterRecord), CampaignError> {
        let fail = |name: &str, source| CampaignError::Database { path: self.directory.join(name), source };
        let epoch = EpochRecord { generation: self.epoch.generation, revision: self.epoch.revision + 1 };
        let has_epoch = match self.write(vec![epoch_change(&epoch)]) {
            Ok(()) => true,
            Err(error) if is_poisoned(&error) || is_full(&error) => {
                tracing::warn!(%error, "the epoch is kept beside the store, whose disk seems to be full");
                false
            }
            Err(error) => return Err(fail(RECORDS, error.into())),
        };
        let raised = self.mark.raise(Acknowledged { commit: self.commit.0, revision: epoch.revision });
        let raised = raised.and_then(|()| if has_epoch { Ok(()) } else { self.mark.sync() });
        raised.map_err(|error| fail(MARK, error.into()))?;
        (self.epoch, self.has_epoch) = (epoch, has_epoch);
        Ok((epoch, self.cluster.clone()))
    }

    fn load(&mut self, revision: u64) -> Result<Snapshot, LoadError> {
        if self.is_over(revision) {
            return Err(LoadError::Superseded);
        }
        if let Some(snapshot) = self.loaded.take() {
            return Ok(snapshot);
        }
        let path = self.directory.join(RECORDS);
        let Some(database) = &self.database else {
            return Err(LoadError::Database { path, source: no_space().into() });
        };
        match Contents::read(database) {
            Ok(contents) => Ok(contents.records.snapshot(contents.commit)),
            Err(ContentsError::Database(error)) if !is_damage(&error) => {
                Err(LoadError::Database { path, source: error.into() })
            }
            Err(error) => Err(LoadError::Damaged { path, source: error.into() }),
        }
    }

    /// Makes a transaction durable. After a failure for want of space, the database is opened anew,
    /// and its content tells whether the transaction was applied.
    pub(super) fn commit(&mut self, revision: u64, transaction: &Transaction) -> Result<(), CommitError> {
        if self.is_over(revision) {
            return Err(CommitError::Superseded);
        }
        if self.database.is_none() {
            self.reopen()?;
        }
        if transaction.commit != self.commit.next() {
            return Err(CommitError::Number { newest: self.commit, offered: transaction.commit });
        }
        let path = self.directory.path();
        if !has_room(path) {
            return Err(CommitError::NoSpace { source: no_space().into() });
        }
        self.loaded = None;
        // The next write reports a failure of the database's own threads, without its cause.
        // Therefore a write that is refused for it is tried once more on the reopened database.
        for _ in 0..2 {
            let mut changes = contents::changes(transaction.commit, &transaction.writes, &mut self.checksums);
            if !self.has_epoch {
                changes.push(epoch_change(&self.epoch));
            }
            let error = match self.write(changes) {
                Ok(()) => {
                    (self.commit, self.has_epoch) = (transaction.commit, true);
                    return self.acknowledge();
                }
                Err(error) => error,
            };
            let is_poisoned = is_poisoned(&error);
            if !is_poisoned && !is_full(&error) {
                return Err(self.failed(error.into()));
            }
            tracing::warn!(%error, commit = transaction.commit.0, "opening the store anew after a write that failed");
            self.reopen()?;
            if self.commit == transaction.commit {
                return Ok(());
            }
            if !is_poisoned {
                return Err(CommitError::NoSpace { source: error.into() });
            }
        }
        match has_no_space(self.directory.path()) {
            true => Err(CommitError::NoSpace { source: no_space().into() }),
            false => Err(self.failed(DatabaseError::Poisoned.into())),
        }
    }

    pub(super) fn failed(&self, source: Cause) -> CommitError {
        CommitError::Database { path: self.directory.join(RECORDS), source }
    }

    pub(super) fn write(&self, changes: Vec<contents::Change>) -> Result<(), DatabaseError> {
        match &self.database {
            Some(database) => database.write(changes),
            None => Err(DatabaseError::Io(no_space())),
        }
    }

    /// Whether a failure means that the disk is full. The next write reports a failure of the
    /// database's own threads without its cause, so the file system is asked.
    pub(super) fn is_full(&self, error: &DatabaseError) -> bool {
        is_full(error) || is_poisoned(error) && has_no_space(self.directory.path())
    }

    pub(super) fn raise_mark(&self) -> std::io::Result<()> {
        self.mark.raise(Acknowledged { commit: self.commit.0, revision: self.epoch.revision })
    }
}

fn epoch_change(epoch: &EpochRecord) -> contents::Change {
    (EPOCH_KEY.to_vec(), Some(epoch.encode()))
}

/// Makes a store under another name first, so that an unfinished one is never taken for a store
/// that has lost everything.
fn found(directory: &Directory, new_cluster: NewCluster) -> Result<(), OpenError> {
    let unfinished = begin_unfinished(directory)?;
    let uid = ClusterUid(random_u128().map_err(|source| OpenError::Random { source })?);
    let cluster = ClusterRecord { uid, name: new_cluster.name, created: new_cluster.now };
    let make = || Database::open(&unfinished)?.write(contents::new_cluster(&cluster));
    make().map_err(|error| OpenError::Database { path: unfinished.clone(), source: error.into() })?;
    finish(directory)
}

/// The path at which a database is made. Remains of an earlier attempt are removed.
pub(super) fn begin_unfinished(directory: &Directory) -> Result<PathBuf, OpenError> {
    let unfinished = directory.join(UNFINISHED);
    match std::fs::remove_dir_all(&unfinished) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::Directory { path: unfinished, source })
        }
        Ok(()) | Err(_) => Ok(unfinished),
    }
}

/// Renames a finished database to its final name.
pub(super) fn finish(directory: &Directory) -> Result<(), OpenError> {
    let name = || {
        std::fs::rename(directory.join(UNFINISHED), directory.join(RECORDS))?;
        std::fs::File::open(directory.path())?.sync_all()
    };
    name().map_err(|source| OpenError::Directory { path: directory.join(UNFINISHED), source })
}

fn read(directory: &Directory, acknowledged: Acknowledged) -> Result<(Database, Contents), OpenError> {
    let path = directory.join(RECORDS);
    let damaged = |source: crate::error::Cause| OpenError::Damaged { path: path.clone(), source };
    let failed = |error: DatabaseError| match is_damage(&error) {
        true => damaged(error.into()),
        false => OpenError::Database { path: path.clone(), source: error.into() },
    };
    // Without this file fjall would take the directory for a new one.
    if !path.join("version").is_file() {
        return Err(damaged("the file \"version\" is missing".into()));
    }
    close_to_others(&path).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
    match current::fault(&path) {
        Ok(None) => {}
        Ok(Some(fault)) => return Err(damaged(fault.into())),
        Err(source) => return Err(OpenError::Directory { path, source }),
    }
    let database = Database::open(&path).map_err(failed)?;
    let migrated = migrate(&database, CURRENT);
    let contents = match migrated.and_then(|()| Contents::read(&database)) {
        Ok(contents) => contents,
        Err(ContentsError::Database(error)) => return Err(failed(error)),
        Err(ContentsError::NewerSchema(found)) => {
            return Err(OpenError::NewerSchema { store: directory.path().display().to_string(), found, known: SCHEMA });
        }
        Err(error) => return Err(damaged(error.into())),
    };
    // An epoch that the mark alone has is no damage: a term may have begun on a full disk.
    let (found, newest) = (contents.commit.0, acknowledged.commit);
    if found < newest {
        let text = format!("transaction {newest} was acknowledged, the newest found is {found}");
        return Err(damaged(text.into()));
    }
    Ok((database, contents))
}
