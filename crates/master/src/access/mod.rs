//! Who calls, and what each may do: credentials, the table of methods, and the layers around the
//! services.

mod audit;
mod file;
mod jwt;
mod layer;
mod limits;
mod table;
mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use muster_proto::errors::Failure;
use muster_proto::methods::Method;
use muster_tls::{CertificateHolder, ClientChain, ClientTrust, PeerCertificate, RefusedCertificates, TlsError};
use muster_types::{
    Caller, KeyDigest, Principal, TokenDigest, TokenGrant, TokenId, TokenRecord, WallTime, WorkerRecord, WorkerUid,
};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, HeaderValue};

pub(crate) use audit::{Audit, AuditNote, LateVerdict};
pub use audit::{AuditDestination, AuditError};
pub(crate) use file::{ACCESS_FILE, FIRST_TOKEN_FILE};
pub use file::{AccessFileError, add_first_token, add_token};
pub(crate) use jwt::JwtIssuer;
pub use jwt::{JwksError, JwksSource, JwtSettings};
pub(crate) use layer::{Authenticate, Authorize, from_masters_alone};
pub use limits::CallerLimits;

use crate::clock;
use crate::leader::LeaderSlot;
use crate::view::{Tables, View};
use file::{AccessTable, TokenEntry};
use jwt::JwtError;
use limits::CallLimiter;
use table::PlaintextRule;
use token::{Bearer, is_of};

/// Who may do what on this master.
#[derive(Debug)]
pub(crate) struct AccessControl {
    credentials: Option<Credentials>,
    /// Whether connections are over TLS, so that workers show certificates.
    has_tls: bool,
    slot: Arc<LeaderSlot>,
    limiter: CallLimiter,
    audit: Audit,
    /// Who vouches for users beside the access file and the store.
    outer: OuterSources,
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
struct Credentials {
    path: PathBuf,
    table: ArcSwap<AccessTable>,
    /// Raised with each change of the table.
    changes: watch::Sender<u64>,
}

/// A token as it is judged.
struct KnownToken {
    digest: TokenDigest,
    /// Of the user or the worker.
    name: String,
    grant: TokenGrant,
    expires: Option<WallTime>,
    revoked: bool,
    /// The token that its user made it with.
    parent: Option<TokenId>,
}

/// The token that a call shows, for calls about tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShownToken {
    pub(crate) id: TokenId,
    /// When it expires.
    pub(crate) expires: Option<WallTime>,
}

/// A caller, and by what it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownCaller {
    pub(super) caller: Caller,
    pub(super) proof: CallerProof,
    /// When the proof is good no longer.
    pub(super) expires: Option<WallTime>,
}

/// By what a caller is known. It is displayed without anything of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallerProof {
    /// Nothing is asked for here.
    Local,
    /// Nothing was shown.
    Nothing,
    /// A token of the access file or of the store.
    Token(TokenId),
    /// A certificate for this key.
    Certificate(KeyDigest),
    /// The token of an attempt.
    Attempt,
    /// A JWT of the configured issuer.
    Jwt,
    /// Nothing yet: the connection is in the clear, and the first message tells.
    Plaintext,
}

impl KnownCaller {
    /// The token that it shows.
    fn token(&self) -> Option<ShownToken> {
        match self.proof {
            CallerProof::Token(id) => Some(ShownToken { id, expires: self.expires }),
            _ => None,
        }
    }

    /// Whether its role is bound to it, not part of what it has shown.
    fn has_bound_role(&self) -> bool {
        match self.proof {
            CallerProof::Jwt | CallerProof::Certificate(_) => {
                matches!(self.caller, Caller::User { .. } | Caller::Unbound { .. })
            }
            CallerProof::Local
            | CallerProof::Nothing
            | CallerProof::Plaintext
            | CallerProof::Token(_)
            | CallerProof::Attempt => false,
        }
    }
}

impl fmt::Display for CallerProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallerProof::Local => f.write_str("local"),
            CallerProof::Nothing => f.write_str("nothing"),
            CallerProof::Token(id) => write!(f, "token:{id}"),
            CallerProof::Certificate(key) => write!(f, "certificate:{key}"),
            CallerProof::Attempt => f.write_str("attempt"),
            CallerProof::Jwt => f.write_str("jwt"),
            CallerProof::Plaintext => f.write_str("plaintext"),
        }
    }
}

/// What a caller has shown, judged as far as this master can.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CredentialCheck {
    /// This caller.
    Known(KnownCaller),
    /// A credential that this master does not know, and the leader may.
    ForLeader,
}

impl CredentialCheck {
    fn known(caller: Caller, proof: CallerProof, expires: Option<WallTime>) -> CredentialCheck {
        CredentialCheck::Known(KnownCaller { caller, proof, expires })
    }
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
    fn stands_until(&self, worker: WorkerUid, certificate: &PeerCertificate) -> WallTime {
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
    fn admit(&self, method: Method, shown: &PresentedCredential) -> Result<KnownCaller, Refusal> {
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
    fn screen(&self, method: Method, shown: &PresentedCredential) -> Result<Option<KnownCaller>, Refusal> {
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

    /// What is in the clear is judged by the method, and no credential but an attempt's token
    /// counts there: whoever listens has it.
    fn examine_plaintext(
        &self,
        method: Method,
        shown: &PresentedCredential,
        credentials: &Credentials,
    ) -> Result<CredentialCheck, Failure> {
        let known = |caller| Ok(CredentialCheck::known(caller, CallerProof::Plaintext, None));
        match (table::plaintext_rule(method), shown.bearer.parse()?) {
            (PlaintextRule::Anyone, _) => known(Caller::Anonymous),
            (PlaintextRule::Workers, _) => known(Caller::AnyWorker { name: "plaintext".to_owned() }),
            (PlaintextRule::Attempts, None) => known(Caller::AnyAttempt),
            (PlaintextRule::Attempts, Some(bearer @ Bearer::Attempt { .. })) => {
                self.examine_bearer(credentials, bearer)
            }
            (_, None) => Err(Failure::NoCredential),
            (_, Some(_)) => {
                let message = "this master speaks TLS and takes no credential in the clear: `muster login`, or name \
                               its CA by --ca; a token that was sent so should be revoked";
                Err(Failure::BadCredential { message: message.to_owned() })
            }
        }
    }

    fn examine(&self, method: Method, shown: &PresentedCredential) -> Result<CredentialCheck, Failure> {
        let Some(credentials) = &self.credentials else {
            return Ok(CredentialCheck::known(Caller::Local, CallerProof::Local, None));
        };
        if self.has_tls && !shown.is_encrypted {
            return self.examine_plaintext(method, shown, credentials);
        }
        match shown.bearer.parse()? {
            Some(bearer) => self.examine_bearer(credentials, bearer),
            None => self.examine_certificate(credentials, shown.certificate.as_ref()),
        }
    }

    fn examine_bearer(&self, credentials: &Credentials, bearer: Bearer<'_>) -> Result<CredentialCheck, Failure> {
        match bearer {
            Bearer::Token { id, secret } => {
                let Some(entry) = self.known_token(credentials, id).filter(|entry| is_of(entry.digest, secret)) else {
                    return if self.leads() { Err(unknown()) } else { Ok(CredentialCheck::ForLeader) };
                };
                if entry.revoked {
                    return Err(unknown());
                }
                if entry.expires.is_some_and(|expires| expires <= clock::wall()) {
                    return Err(Failure::CredentialExpired { credential: format!("token {id}") });
                }
                if let Some(parent) = entry.parent {
                    // Its end is no later than its parent's, which may be revoked or taken away.
                    match self.known_token(credentials, parent) {
                        Some(parent) if !parent.revoked => {}
                        None if !self.leads() => return Ok(CredentialCheck::ForLeader),
                        Some(_) | None => return Err(unknown()),
                    }
                }
                let name = entry.name;
                let caller = match entry.grant {
                    TokenGrant::User(role) => Caller::User { name, role },
                    TokenGrant::Worker if self.has_tls => Caller::Joining { name },
                    TokenGrant::Worker => Caller::AnyWorker { name },
                };
                Ok(CredentialCheck::known(caller, CallerProof::Token(id), entry.expires))
            }
            Bearer::Jwt(token) => self.examine_jwt(credentials, token),
            Bearer::Attempt { driver, number, token } => {
                let Ok(leading) = self.slot.leading() else { return Ok(CredentialCheck::ForLeader) };
                // By its uid alone: another's name may look like it.
                let view = leading.view.read();
                let found = view.drivers.get(driver.0).cloned();
                let open = found.as_ref().and_then(|driver| driver.record.attempts.last());
                let is_open = open.is_some_and(|attempt| {
                    attempt.number == number
                        && !is_revoked(&view, attempt.worker)
                        && attempt.outcome.is_none()
                        && bool::from(attempt.token.expose().as_bytes().ct_eq(token.as_bytes()))
                });
                if is_open {
                    Ok(CredentialCheck::known(Caller::Attempt { driver, number }, CallerProof::Attempt, None))
                } else {
                    Err(unknown())
                }
            }
        }
    }

    /// A worker is who its certificate names, unless the record says otherwise. A standby's records
    /// may be old, and the worker goes on to the leader anyway.
    fn examine_certificate(
        &self,
        credentials: &Credentials,
        certificate: Option<&PeerCertificate>,
    ) -> Result<CredentialCheck, Failure> {
        let anonymous = Ok(CredentialCheck::known(Caller::Anonymous, CallerProof::Nothing, None));
        let Some(certificate) = certificate else { return anonymous };
        let uid = match &certificate.holder {
            CertificateHolder::Worker(uid) => *uid,
            CertificateHolder::Client(chain) => return self.examine_client(credentials, chain, certificate.key),
            CertificateHolder::Master => return anonymous,
        };
        let expires = self.stands_until(uid, certificate);
        if expires <= clock::wall() {
            return Err(Failure::CredentialExpired { credential: format!("the certificate of worker {uid}") });
        }
        if let Ok(leading) = self.slot.leading() {
            let known = leading.view.read().workers.get(uid.0).cloned();
            if let Some(known) = &known {
                check_key(&known.record, certificate.key)?;
            }
        }
        Ok(CredentialCheck::known(Caller::Worker(uid), CallerProof::Certificate(certificate.key), Some(expires)))
    }

    /// A client is whom its certificate names, which is verified at each call: it may have been
    /// revoked since the handshake.
    fn examine_client(
        &self,
        credentials: &Credentials,
        chain: &ClientChain,
        key: KeyDigest,
    ) -> Result<CredentialCheck, Failure> {
        let refused = |message: &str| Failure::BadCredential { message: message.to_owned() };
        let Some(clients) = &self.outer.clients else {
            return Err(refused("this master takes no certificates of clients"));
        };
        let known = clients.identify(chain, clock::wall()).map_err(|error| match error {
            TlsError::Ended => Failure::CredentialExpired { credential: "the certificate".to_owned() },
            error => {
                tracing::debug!(error = crate::error_line(&error), "a client's certificate is refused");
                refused("the client's certificate is not good here, or was revoked")
            }
        })?;
        let proof = CallerProof::Certificate(key);
        self.user(credentials, Principal::OF_CERTIFICATE, (&known.name, &known.groups), proof, known.expires)
    }

    /// Each master verifies a JWT by itself: all have the keys of the issuer.
    fn examine_jwt(&self, credentials: &Credentials, token: &str) -> Result<CredentialCheck, Failure> {
        let refused = |message: String| Failure::BadCredential { message };
        let issuer = self.outer.jwt.as_ref();
        let issuer = issuer.ok_or_else(|| refused("this master takes no JWT".to_owned()))?;
        let known = issuer.verify(token, clock::wall()).map_err(|error| match error {
            JwtError::Expired => Failure::CredentialExpired { credential: "the JWT".to_owned() },
            error => refused(error.to_string()),
        })?;
        self.user(credentials, Principal::OF_JWT, (&known.user, &known.groups), CallerProof::Jwt, known.expires)
    }

    /// Ready once the keys of the issuer were fetched anew, if the bearer is a JWT whose key is not
    /// known and nobody else has had them fetched lately.
    fn key_to_come(&self, shown: &PresentedCredential) -> Option<impl Future<Output = ()> + Send + use<>> {
        let Ok(Some(Bearer::Jwt(token))) = shown.bearer.parse() else { return None };
        self.outer.jwt.as_ref()?.key_to_come(token)
    }

    /// The user that an outer source names, and its groups, with the highest role that is bound to
    /// one of them.
    fn user(
        &self,
        credentials: &Credentials,
        source: &str,
        (name, groups): (&str, &[String]),
        proof: CallerProof,
        expires: WallTime,
    ) -> Result<CredentialCheck, Failure> {
        let unfit = |message| Failure::BadCredential { message: format!("this user cannot be one here: {message}") };
        let name = format!("{source}{name}");
        Principal::User(name.clone()).check().map_err(unfit)?;
        let groups: Vec<String> = groups.iter().map(|group| format!("{source}{group}")).collect();
        let in_file = credentials.table.load().bindings.role_of(&name, &groups);
        let caller = match in_file.max(self.slot.access().roles().role_of(&name, &groups)) {
            Some(role) => Caller::User { name, role },
            None => Caller::Unbound { name },
        };
        Ok(CredentialCheck::known(caller, proof, Some(expires)))
    }

    /// A token of the access file, else of the store, as far as this master follows it.
    fn known_token(&self, credentials: &Credentials, id: TokenId) -> Option<KnownToken> {
        if let Some(TokenEntry { digest, name, grant, expires }) = credentials.table.load().tokens.get(&id).cloned() {
            return Some(KnownToken { digest, name, grant, expires, revoked: false, parent: None });
        }
        let record = self.slot.access().token(id)?;
        let TokenRecord { digest, grant, expires, parent, .. } = *record;
        let revoked = record.revoked.is_some();
        Some(KnownToken { digest, name: record.name.clone(), grant, expires, revoked, parent })
    }

    fn leads(&self) -> bool {
        self.slot.leading().is_ok()
    }

    /// Ready once a stream that was admitted must end, with the reason.
    async fn ended(self: Arc<AccessControl>, method: Method, shown: PresentedCredential) -> Failure {
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
        self.audit.refused(&audit::CallOrigin::of_handshake(peer), reason);
    }
}

/// Why a call is refused.
#[derive(Debug)]
struct Refusal {
    failure: Failure,
    /// Who makes it, if that is known.
    known: Option<Box<KnownCaller>>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        // Nothing was shown, which is another thing than something that is not good.
        let nobody = KnownCaller { caller: Caller::Anonymous, proof: CallerProof::Nothing, expires: None };
        let known = matches!(failure, Failure::NoCredential).then(|| Box::new(nobody));
        Refusal { failure, known }
    }
}

/// What a call shows of its caller.
#[derive(Debug, Clone)]
struct PresentedCredential {
    bearer: BearerHeader,
    /// Of the connection.
    certificate: Option<PeerCertificate>,
    /// Whether the connection is over TLS.
    is_encrypted: bool,
}

/// Refuses a worker's key that is not, or no longer, the one of its record. A record without a key
/// is of a worker that has shown none yet.
pub(crate) fn check_key(record: &WorkerRecord, key: KeyDigest) -> Result<(), Failure> {
    let worker = record.uid.to_string();
    if record.revoked || record.forgotten {
        return Err(Failure::Revoked { worker });
    }
    match record.key {
        Some(known) if known != key => Err(Failure::KeyMismatch { worker }),
        _ => Ok(()),
    }
}

/// Whether a token is one of an attempt on a worker that was revoked: who has broken into a machine
/// has the tokens of what runs there.
pub(crate) fn is_of_revoked_worker(view: &View, token: &str) -> bool {
    let Some(Bearer::Attempt { driver, number, .. }) = Bearer::parse(token) else { return false };
    let view = view.read();
    let found = view.drivers.get(driver.0);
    let attempt = found.and_then(|driver| driver.record.attempts.iter().find(|attempt| attempt.number == number));
    attempt.is_some_and(|attempt| is_revoked(&view, attempt.worker))
}

fn is_revoked(view: &Tables, worker: WorkerUid) -> bool {
    view.workers.get(worker.0).is_some_and(|worker| worker.record.revoked)
}

/// The longest pause between two looks at the wall clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);

fn until(at: WallTime) -> Duration {
    let left = Duration::from_millis(at.0.saturating_sub(clock::wall().0));
    left.clamp(Duration::from_millis(10), LOOK_AT_CLOCK)
}

pub(crate) fn unknown() -> Failure {
    let message = "this credential is not known here, or was revoked; see who gave it to you".to_owned();
    Failure::BadCredential { message }
}

/// The authorization header of a call, which is not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum BearerHeader {
    None,
    One(HeaderValue),
    Several,
}

impl BearerHeader {
    fn of(headers: &HeaderMap) -> BearerHeader {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => BearerHeader::None,
            (Some(value), None) => BearerHeader::One(value.clone()),
            (Some(_), Some(_)) => BearerHeader::Several,
        }
    }

    /// The bearer, if there is one. The scheme is compared as HTTP does.
    fn parse(&self) -> Result<Option<Bearer<'_>>, Failure> {
        let malformed = |message: &str| Failure::BadCredential { message: message.to_owned() };
        let value = match self {
            BearerHeader::None => return Ok(None),
            BearerHeader::One(value) => value,
            BearerHeader::Several => return Err(malformed("there is more than one authorization header")),
        };
        let text = value.to_str().map_err(|_| malformed("the authorization header is not text"))?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(malformed("the authorization header does not begin with `Bearer`"));
        }
        let bearer = Bearer::parse(token.trim()).ok_or_else(|| malformed("the token has not the form of one"))?;
        Ok(Some(bearer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_not_read_is_not_left_out() {
        let mut headers = HeaderMap::new();
        assert_eq!(BearerHeader::of(&headers).parse(), Ok(None));
        for wrong in [b"Bearer \xff".as_slice(), b"Bearer", b"", b"Basic YTpi"] {
            headers.insert(AUTHORIZATION, HeaderValue::from_bytes(wrong).unwrap());
            let read = BearerHeader::of(&headers);
            assert!(matches!(read.parse(), Err(Failure::BadCredential { .. })), "{wrong:?}");
        }
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer eyJ9.eyJ9.c2ln"));
        assert_eq!(BearerHeader::of(&headers), BearerHeader::Several);
        assert!(BearerHeader::Several.parse().is_err());
    }
}
