//! Who may do what on this master.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use muster_proto::errors::Failure;
use muster_proto::methods::Method;
use muster_tls::{ClientTrust, PeerCertificate, RefusedCertificates};
use muster_types::{Caller, KeyDigest, WallTime, WorkerUid};
use tokio::sync::watch;

use super::audit::{Audit, CallOrigin};
use super::caller::{CallerProof, KnownCaller, Refusal};
use super::examine::{CredentialCheck, unknown};
use super::file::{AccessFileError, AccessTable};
use super::jwt::JwtIssuer;
use super::limits::{CallLimiter, CallerLimits};
use super::presented::PresentedCredential;
use super::table;
use crate::clock;
use crate::leader::LeaderSlot;

/// Who may do what on this master.
#[derive(Debug)]
pub(crate) struct AccessControl {
    pub(super) credentials: Option<Credentials>,
    /// Whether connections are over TLS, so that workers show certificates.
    pub(super) has_tls: bool,
    pub(super) slot: Arc<LeaderSlot>,
    pub(super) limiter: CallLimiter,
    audit: Audit,
    /// Who vouches for users beside the access file and the store.
    pub(super) outer: OuterSources,
    /// The newest certificate that this master issued to each worker. A stream that began under an
    /// older one of the same key stands until this one ends.
    issued: Mutex<BTreeMap<WorkerUid, (KeyDigest, WallTime)>>,
}

/// Who vouches for users that have no token of the cluster's.
#[derive(Debug, Default)]
pub(crate) struct OuterSources {
    /// The CAs of clients.
    pub(crate) clients: Option<Arc<ClientTrust>>,
    /// The issuer of JWTs.
    pub(crate) jwt: Option<Arc<JwtIssuer>>,
}

/// The most workers whose newest certificates are remembered, beside those that have ended.
const MAX_ISSUED: usize = 65_536;

/// The tokens that are known, and the file that they are in.
#[derive(Debug)]
pub(super) struct Credentials {
    path: PathBuf,
    pub(super) table: ArcSwap<AccessTable>,
    /// Raised with each change of the table.
    changes: watch::Sender<u64>,
}

impl AccessControl {
    /// Without a file, whoever reaches this master may do everything.
    pub(crate) fn new(
        file: Option<&Path>,
        has_tls: bool,
        slot: Arc<LeaderSlot>,
        limits: CallerLimits,
        audit: Audit,
    ) -> Result<AccessControl, AccessFileError> {
        let credentials = file.map(|path| {
            let table = ArcSwap::from_pointee(AccessTable::load(path)?);
            Ok(Credentials { path: path.to_owned(), table, changes: watch::Sender::new(0) })
        });
        Ok(AccessControl {
            credentials: credentials.transpose()?,
            has_tls,
            slot,
            outer: OuterSources::default(),
            limiter: CallLimiter::new(limits),
            audit,
            issued: Mutex::default(),
        })
    }

    /// The same, which takes the users of further sources.
    pub(crate) fn with_sources(self, outer: OuterSources) -> AccessControl {
        AccessControl { outer, ..self }
    }

    /// Whether callers must prove who they are.
    pub(crate) fn asks_for_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Has the streams judged anew: a source of users has changed.
    pub(crate) fn sources_changed(&self) {
        if let Some(credentials) = &self.credentials {
            credentials.changes.send_modify(|changes| *changes += 1);
        }
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Remembers the certificate that a worker was given, so that its streams stand until it ends.
    pub(crate) fn note_issued(&self, worker: WorkerUid, key: KeyDigest, expires: WallTime) {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() >= MAX_ISSUED {
            let now = clock::wall();
            issued.retain(|_, (_, expires)| *expires > now);
        }
        if issued.len() < MAX_ISSUED {
            issued.insert(worker, (key, expires));
        }
    }

    /// Until when a worker's streams stand that showed this certificate.
    pub(super) fn stands_until(&self, worker: WorkerUid, certificate: &PeerCertificate) -> WallTime {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        match issued.get(&worker) {
            Some((key, expires)) if *key == certificate.key => certificate.expires.max(*expires),
            _ => certificate.expires,
        }
    }

    /// Reads the access file again; returns whether it has changed. A file that makes no sense
    /// leaves the table as it was.
    pub(crate) fn look(&self) -> Result<bool, AccessFileError> {
        let Some(credentials) = &self.credentials else { return Ok(false) };
        let table = AccessTable::load(&credentials.path)?;
        let has_changed = table != **credentials.table.load();
        if has_changed {
            credentials.table.store(Arc::new(table));
            self.sources_changed();
        }
        Ok(has_changed)
    }

    /// Who makes a call that this master answers itself, if that caller may make it.
    pub(super) fn admit(&self, method: Method, shown: &PresentedCredential) -> Result<KnownCaller, Refusal> {
        match self.examine(method, shown)? {
            CredentialCheck::Known(known) => match table::permit(method, &known.caller) {
                Ok(()) => Ok(known),
                Err(failure) => Err(Refusal { failure, known: Some(Box::new(known)) }),
            },
            // What only a leader can tell is nobody here.
            CredentialCheck::ForLeader if table::permit(method, &Caller::Anonymous).is_ok() => {
                Ok(KnownCaller { caller: Caller::Anonymous, proof: CallerProof::Nothing, expires: None })
            }
            CredentialCheck::ForLeader => Err(unknown().into()),
        }
    }

    /// Refuses what no leader could make good. A leader's tables may be newer than a standby's, so
    /// a token that is not known there goes on to it, and so does a user whose role is bound in
    /// them.
    ///
    /// Returns the caller where this master leads, which has judged it for good.
    pub(super) fn screen(&self, method: Method, shown: &PresentedCredential) -> Result<Option<KnownCaller>, Refusal> {
        let leads = self.leads();
        match self.examine(method, shown)? {
            CredentialCheck::Known(known) if known.has_bound_role() && !leads => Ok(None),
            CredentialCheck::Known(known) => match table::permit(method, &known.caller) {
                Ok(()) => Ok(leads.then_some(known)),
                Err(failure) => Err(Refusal { failure, known: Some(Box::new(known)) }),
            },
            CredentialCheck::ForLeader => Ok(None),
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.slot.leading().is_ok()
    }

    /// Ready once a stream that was admitted must end, with the reason.
    pub(super) async fn ended(self: Arc<AccessControl>, method: Method, shown: PresentedCredential) -> Failure {
        let Some(credentials) = &self.credentials else { return std::future::pending().await };
        let mut changes = credentials.changes.subscribe();
        let mut tables = self.slot.watch_access();
        loop {
            // The tables of a standby and of the leader that it becomes are the same; a new term of
            // a standby begins with others.
            let table = tables.borrow_and_update().clone();
            let mut stored = table.changes();
            // What changed before is not in it.
            let expires = match self.admit(method, &shown) {
                Ok(known) => known.expires,
                Err(refusal) => return refusal.failure,
            };
            let expired = async {
                match expires {
                    // The wall clock decides, and may be set: it is looked at again and again.
                    Some(at) => tokio::time::sleep(until(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expired => {}
                // The sender lives as long as this.
                _ = changes.changed() => {}
                _ = tables.changed() => {}
                _ = stored.changed() => {}
            }
        }
    }
}

impl RefusedCertificates for AccessControl {
    fn refused(&self, peer: Option<SocketAddr>, reason: &'static str) {
        self.audit.refused(&CallOrigin::of_handshake(peer), reason);
    }
}

/// The longest pause between two looks at the wall clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);

fn until(at: WallTime) -> Duration {
    let left = Duration::from_millis(at.0.saturating_sub(clock::wall().0));
    left.clamp(Duration::from_millis(10), LOOK_AT_CLOCK)
}
