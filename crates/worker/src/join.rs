//! `muster-worker join`: the certificate alone, before the worker starts.
//!
//! Where programs run as the worker's own user, as in most containers, they can read what it can.
//! Who joins apart has the token in no place that they reach.

use muster_proto::BearerToken;
use muster_tls::{JoinToken, TlsError, Trust};

use crate::certificate::{WorkerCertificate, find_ca};
use crate::config::JoinConfig;
use crate::state::{self, Identity, StateError};

/// Why a worker has not joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The key or the CA cannot be used.
    #[error("cannot use TLS")]
    Tls(#[from] TlsError),
    /// Nothing says whom to trust.
    #[error("whom to trust? give --ca, or a token that begins with mstj_")]
    NoTrust,
    /// A master refused, in these words.
    #[error("{0}")]
    Refused(String),
}

/// Gets the certificate, which waits until a master answers.
pub async fn join(config: JoinConfig) -> Result<(), JoinError> {
    let state_dir = &config.state_dir;
    let _lock = state::lock(state_dir)?;
    let identity = Identity::load_or_make(state_dir)?;
    let pin = config.token.as_ref().and_then(JoinToken::pin);
    let is_given = config.trust.is_some();
    let trust = match config.trust {
        Some(given) => given.trust,
        None => Trust::in_ca(&find_ca(pin, &config.masters, state_dir).await?.ok_or(JoinError::NoTrust)?)?,
    };
    let token = config.token.as_ref().and_then(|token| BearerToken::new(token.bearer()).ok());
    let certificate = WorkerCertificate::open(state_dir, identity.uid, trust, token)?;
    let certificate = if is_given { certificate } else { certificate.keeping_cas(state_dir, None) };
    certificate.obtain(config.masters).await.map_err(JoinError::Refused)
}
