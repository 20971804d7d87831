//! JWTs of a company's sign-in, or of Kubernetes: who they name, and the keys that prove it.

mod keys;
mod ring;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use muster_types::WallTime;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use self::keys::VerifyingKey;
pub use self::keys::{JwksError, JwksSource};
use crate::metrics::{MasterMetrics, Reloaded};
use crate::reload::{LOOK_EVERY, ReloadReports};

/// The most verified tokens that are remembered.
const MAX_VERIFIED: usize = 4096;
/// How often the keys are fetched from an issuer. In a file they are looked at as any file is.
const FETCH_EVERY: Duration = Duration::from_secs(600);
/// How often more a token may have them fetched that names a key which is not known.
const UNKNOWN_WITHIN: Duration = Duration::from_secs(60);
const UNKNOWN_TIMES: usize = 2;
/// How long a call waits for that, and how many calls may.
const WAIT_WITHIN: Duration = Duration::from_secs(5);
const MAX_WAITING: usize = 256;
/// How much earlier than it says a token is taken: the issuer's clock may be ahead of ours.
const SKEW: u64 = 60;
/// A token is ours to read for this many groups; Kubernetes has three, large companies hundreds.
const MAX_GROUPS: usize = 1024;

/// Whose tokens are taken, and for whom they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// The `iss` of a token.
    pub issuer: String,
    /// One of them is in the `aud` of a token.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are.
    pub jwks: JwksSource,
    /// File with the CAs of the server that has them; by default those of this machine.
    pub ca: Option<PathBuf>,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim that lists the user's groups.
    pub groups_claim: String,
}

/// Who a token names, as its issuer does: without a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JwtIdentity {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
    pub(super) expires: WallTime,
}

/// Why a token is not taken. It says nothing of what is in the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwtError {
    #[error("the JWT cannot be read")]
    Malformed,
    #[error("the JWT is signed by a key that its issuer does not have")]
    UnknownKey,
    #[error("the JWT is signed in a way that its key is not for")]
    Algorithm,
    #[error("the signature of the JWT is wrong")]
    Signature,
    #[error("the JWT is of another issuer")]
    Issuer,
    #[error("the JWT is for another audience")]
    Audience,
    #[error("the JWT lacks one of exp, iss, aud and sub, or it makes no sense")]
    Claim,
    #[error("the JWT holds no name of a user that can be used")]
    User,
    #[error("the groups of the JWT make no sense")]
    Groups,
    #[error("the JWT is not yet valid: check the clock of this master, and that of its issuer")]
    NotYet,
    #[error("the JWT has expired")]
    Expired,
}

/// An issuer of tokens, and its keys.
#[derive(Debug)]
pub(crate) struct JwtIssuer {
    settings: JwtSettings,
    validation: Validation,
    keys: ArcSwap<KeySet>,
    /// Asks for the keys before it is time.
    wanted: Notify,
    /// Raised with each look at the keys.
    looks: watch::Sender<u64>,
    /// When tokens with unknown keys last had them fetched.
    unknown: Mutex<Vec<Instant>>,
    waiting: Arc<Semaphore>,
}

/// Keys, and what they have verified: with other keys, everything is verified anew.
#[derive(Debug, Default)]
struct KeySet {
    keys: Vec<VerifyingKey>,
    /// Of the text that they are from.
    digest: [u8; 32],
    verified: Mutex<HashMap<[u8; 32], Arc<JwtIdentity>>>,
}

impl JwtIssuer {
    /// Reads the keys, if they are in a file. An issuer that does not answer when a master starts
    /// is asked again later: its users wait, and nobody else does.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn open(settings: JwtSettings) -> Result<JwtIssuer, JwksError> {
        ring::install();
        // Which algorithms are taken is set for each key.
        let mut validation = Validation::default();
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&settings.audiences);
        validation.required_spec_claims = ["exp", "iss", "aud", "sub"].map(str::to_owned).into();
        // Both times are judged here, by the time of the caller and each with its own grace.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let issuer = JwtIssuer {
            settings,
            validation,
            keys: ArcSwap::default(),
            wanted: Notify::new(),
            looks: watch::Sender::new(0),
            unknown: Mutex::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        };
        if matches!(issuer.settings.jwks, JwksSource::File(_)) {
            issuer.look()?;
        }
        Ok(issuer)
    }

    /// Who a token names, if it is good at a time.
    pub(super) fn verify(&self, token: &str, now: WallTime) -> Result<Arc<JwtIdentity>, JwtError> {
        let keys = self.keys.load();
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = keys.lock().get(&digest) {
            return if known.expires > now { Ok(known.clone()) } else { Err(JwtError::Expired) };
        }
        let header = decode_header(token).map_err(|_| JwtError::Malformed)?;
        let key = keys.find(header.kid.as_deref()).ok_or(JwtError::UnknownKey)?;
        let mut validation = self.validation.clone();
        validation.algorithms.clone_from(&key.algorithms);
        let claims = decode::<Map<String, Value>>(token, &key.key, &validation).map_err(|error| reason_of(&error))?;
        let found = Arc::new(self.identity(&claims.claims, now)?);
        keys.remember(digest, found.clone(), now);
        Ok(found)
    }

    fn identity(&self, claims: &Map<String, Value>, now: WallTime) -> Result<JwtIdentity, JwtError> {
        // The library takes one of several issuers, too.
        if claims.get("iss").and_then(Value::as_str) != Some(&self.settings.issuer) {
            return Err(JwtError::Issuer);
        }
        let expires = time_of(claims.get("exp")).ok_or(JwtError::Claim)?;
        if expires <= now {
            return Err(JwtError::Expired);
        }
        if let Some(from) = claims.get("nbf").filter(|from| !from.is_null()) {
            let from = time_of(Some(from)).ok_or(JwtError::Claim)?;
            if from.0 > now.0.saturating_add(SKEW * 1000) {
                return Err(JwtError::NotYet);
            }
        }
        let user = claims.get(&self.settings.user_claim).and_then(Value::as_str).ok_or(JwtError::User)?;
        // Anybody may claim to have an address that nobody has verified.
        let is_unverified = self.settings.user_claim == "email"
            && claims.get("email_verified").is_some_and(|verified| *verified != Value::Bool(true));
        if is_unverified {
            return Err(JwtError::User);
        }
        let groups = match claims.get(&self.settings.groups_claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(group)) => vec![group.clone()],
            Some(Value::Array(groups)) if groups.len() <= MAX_GROUPS => {
                let groups = groups.iter().map(|group| group.as_str().map(str::to_owned));
                groups.collect::<Option<_>>().ok_or(JwtError::Groups)?
            }
            Some(_) => return Err(JwtError::Groups),
        };
        Ok(JwtIdentity { user: user.to_owned(), groups, expires })
    }

    /// Fetches the keys again and again, for ever; `changed` is told of new ones.
    pub(crate) async fn keep_fetched(
        self: Arc<JwtIssuer>,
        metrics: Arc<MasterMetrics>,
        changed: impl Fn() + Send,
    ) -> Infallible {
        let is_far = matches!(self.settings.jwks, JwksSource::Https(_));
        let mut pause = if is_far { Duration::ZERO } else { LOOK_EVERY };
        let mut reports = ReloadReports::new(Reloaded::Jwks, metrics);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
            let looking = self.clone();
            let Ok(looked) = tokio::task::spawn_blocking(move || looking.look()).await else { continue };
            self.looks.send_modify(|looks| *looks += 1);
            pause = if is_far && looked.is_ok() { FETCH_EVERY } else { LOOK_EVERY };
            reports.note(&looked);
            if looked.is_ok_and(|is_new| is_new) {
                changed();
            }
        }
    }

    /// Takes the keys as they are now. Returns whether they are others. It blocks.
    fn look(&self) -> Result<bool, JwksError> {
        let text = keys::read(&self.settings.jwks, self.settings.ca.as_deref())?;
        let digest: [u8; 32] = Sha256::digest(&text).into();
        if self.keys.load().digest == digest {
            return Ok(false);
        }
        let keys = keys::parse(&text)?;
        self.keys.store(Arc::new(KeySet { keys, digest, verified: Mutex::default() }));
        Ok(true)
    }

    /// Ready once the keys were fetched because of a token whose key is not known, or cannot be
    /// soon. `None` where nothing is fetched for it: another call did so lately.
    pub(super) fn key_to_come(self: &Arc<JwtIssuer>, token: &str) -> Option<impl Future<Output = ()> + Send + use<>> {
        let header = decode_header(token).ok()?;
        if self.keys.load().find(header.kid.as_deref()).is_some() {
            return None;
        }
        let place = self.waiting.clone().try_acquire_owned().ok()?;
        let mut looks = self.looks.subscribe();
        {
            let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            unknown.retain(|at| at.elapsed() < UNKNOWN_WITHIN);
            if unknown.len() >= UNKNOWN_TIMES {
                return None;
            }
            unknown.push(Instant::now());
        }
        self.wanted.notify_one();
        Some(async move {
            // Past that time, the call is judged by the keys that there are.
            let _ = tokio::time::timeout(WAIT_WITHIN, looks.changed()).await;
            drop(place);
        })
    }
}

impl KeySet {
    /// The key with an id. A token that names none can be of the only one.
    fn find(&self, id: Option<&str>) -> Option<&VerifyingKey> {
        match (id, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<JwtIdentity>>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, digest: [u8; 32], identity: Arc<JwtIdentity>, now: WallTime) {
        let mut verified = self.lock();
        if verified.len() >= MAX_VERIFIED {
            verified.retain(|_, known| known.expires > now);
        }
        // The one that ends first makes room: who shows it again only costs a signature.
        if verified.len() >= MAX_VERIFIED
            && let Some(first) = verified.iter().min_by_key(|(_, known)| known.expires).map(|(digest, _)| *digest)
        {
            verified.remove(&first);
        }
        verified.insert(digest, identity);
    }
}

/// A time of a token, in seconds, which may have a fraction.
fn time_of(value: Option<&Value>) -> Option<WallTime> {
    let seconds = value?.as_f64().filter(|seconds| *seconds >= 0.0 && *seconds < 1e15)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
    Some(WallTime((seconds * 1000.0) as u64))
}

fn reason_of(error: &jsonwebtoken::errors::Error) -> JwtError {
    match error.kind() {
        ErrorKind::InvalidSignature => JwtError::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidKeyFormat => {
            JwtError::Algorithm
        }
        ErrorKind::InvalidIssuer => JwtError::Issuer,
        ErrorKind::InvalidAudience => JwtError::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => JwtError::Claim,
        _ => JwtError::Malformed,
    }
}
