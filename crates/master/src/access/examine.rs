//! Who shows a credential, as far as this master can tell.

use muster_proto::errors::Failure;
use muster_proto::methods::Method;
use muster_tls::{CertificateHolder, ClientChain, PeerCertificate, TlsError};
use muster_types::{
    AttemptNumber, Caller, DriverUid, KeyDigest, Principal, TokenDigest, TokenGrant, TokenId, TokenRecord, WallTime,
    WorkerRecord, WorkerUid,
};
use subtle::ConstantTimeEq as _;

use super::caller::{CallerProof, KnownCaller};
use super::control::{AccessControl, Credentials};
use super::file::TokenEntry;
use super::jwt::JwtError;
use super::presented::PresentedCredential;
use super::table::{self, PlaintextRule};
use super::token::{Bearer, is_of};
use crate::clock;
use crate::view::{Tables, View};

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

/// What a caller has shown, judged as far as this master can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CredentialCheck {
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

    pub(super) fn examine(&self, method: Method, shown: &PresentedCredential) -> Result<CredentialCheck, Failure> {
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
    pub(super) fn key_to_come(&self, shown: &PresentedCredential) -> Option<impl Future<Output = ()> + Send + use<>> {
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
}

/// Refuses a worker's key that is not, or no longer, the one of its record. A record without a key
/// is of a worker that has shown none yet.
pub(crate) fn check_key(record: &WorkerRecord, key: KeyDigest) -> Result<(), Failure> {
    let worker = || record.uid.to_string();
    if record.revoked || record.forgotten {
        return Err(Failure::Revoked { worker: worker() });
    }
    match record.key {
        Some(known) if known != key => Err(Failure::KeyMismatch { worker: worker() }),
        _ => Ok(()),
    }
}

/// The attempt that a token names, which need not be its own.
pub(crate) fn attempt_named(token: &str) -> Option<(DriverUid, AttemptNumber)> {
    match Bearer::parse(token)? {
        Bearer::Attempt { driver, number, .. } => Some((driver, number)),
        Bearer::Token { .. } | Bearer::Jwt(_) => None,
    }
}

/// Whether a token is one of an attempt on a worker that was revoked: who has broken into a machine
/// has the tokens of what runs there.
pub(crate) fn is_of_revoked_worker(view: &View, token: &str) -> bool {
    let Some((driver, number)) = attempt_named(token) else { return false };
    let view = view.read();
    let found = view.drivers.get(driver.0);
    let attempt = found.and_then(|driver| driver.record.attempts.iter().find(|attempt| attempt.number == number));
    attempt.is_some_and(|attempt| is_revoked(&view, attempt.worker))
}

fn is_revoked(view: &Tables, worker: WorkerUid) -> bool {
    view.workers.get(worker.0).is_some_and(|worker| worker.record.revoked)
}

pub(crate) fn unknown() -> Failure {
    let message = "this credential is not known here, or was revoked; see who gave it to you".to_owned();
    Failure::BadCredential { message }
}
