//! The keys of an issuer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// The most bytes of a set of keys, and the most keys of one: each verifies nothing unless a token
/// names it.
const MAX_BYTES: u64 = 1 << 20;
const MAX_KEYS: usize = 64;
/// How long an issuer may take to answer.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// How often it may send us elsewhere.
const MAX_REDIRECTS: u32 = 3;

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// In a file.
    File(PathBuf),
    /// At an address that begins with `https://`.
    Https(String),
}

/// Why an issuer's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// A file cannot be read.
    #[error("cannot read {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The CA of the issuer is none.
    #[error("{0} holds no certificate of a CA")]
    Ca(PathBuf),
    /// This machine has no CAs.
    #[error("this machine has no CAs: name that of the issuer")]
    NoCas,
    /// The issuer does not answer as it should.
    #[error("cannot fetch the keys from {0}")]
    Fetch(String, #[source] Box<ureq::Error>),
    /// The answer is no set of keys.
    #[error("there is no set of keys in it")]
    Malformed,
    /// No key of the set is for signatures by an algorithm that is taken.
    #[error("no key in it is one that is taken (RS256, PS256, ES256, ES384, EdDSA)")]
    NoKey,
    /// There are too many.
    #[error("it holds more than {MAX_KEYS} keys")]
    TooMany,
}

/// A key, and what it may have signed with: that is the key's to say, never a token's.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    pub(super) id: Option<String>,
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

/// Reads the text of a set. Keys that are not taken are left out, as an issuer may have others for
/// other uses.
pub(super) fn parse(text: &[u8]) -> Result<Vec<VerifyingKey>, JwksError> {
    let mut set: Value = serde_json::from_slice(text).map_err(|_| JwksError::Malformed)?;
    let Some(Value::Array(keys)) = set.get_mut("keys").map(Value::take) else { return Err(JwksError::Malformed) };
    if keys.len() > MAX_KEYS {
        return Err(JwksError::TooMany);
    }
    let keys: Vec<VerifyingKey> =
        keys.into_iter().filter_map(|key| taken(&serde_json::from_value(key).ok()?)).collect();
    if keys.is_empty() { Err(JwksError::NoKey) } else { Ok(keys) }
}

fn taken(jwk: &Jwk) -> Option<VerifyingKey> {
    if jwk.common.public_key_use.as_ref().is_some_and(|public_use| *public_use != PublicKeyUse::Signature) {
        return None;
    }
    let possible: &[(KeyAlgorithm, Algorithm)] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            &[(KeyAlgorithm::RS256, Algorithm::RS256), (KeyAlgorithm::PS256, Algorithm::PS256)]
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[(KeyAlgorithm::ES256, Algorithm::ES256)],
            EllipticCurve::P384 => &[(KeyAlgorithm::ES384, Algorithm::ES384)],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[(KeyAlgorithm::EdDSA, Algorithm::EdDSA)]
        }
        // A shared secret proves nothing of who has signed.
        _ => &[],
    };
    let named = jwk.common.key_algorithm;
    let algorithms: Vec<Algorithm> =
        possible.iter().filter(|(name, _)| named.is_none_or(|named| named == *name)).map(|(_, taken)| *taken).collect();
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| !algorithms.is_empty())?;
    Some(VerifyingKey { id: jwk.common.key_id.clone(), key, algorithms })
}

/// Reads the text of a set where it is. It blocks.
pub(super) fn read(source: &JwksSource, ca: Option<&Path>) -> Result<Vec<u8>, JwksError> {
    match source {
        JwksSource::File(path) => read_file(path),
        JwksSource::Https(address) => fetch(address, ca),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, JwksError> {
    let failed = |error| JwksError::File(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_BYTES), &mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn fetch(address: &str, ca: Option<&Path>) -> Result<Vec<u8>, JwksError> {
    use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
    let roots: Vec<Certificate<'static>> = match ca {
        Some(path) => {
            let pem = read_file(path)?;
            let items = ureq::tls::parse_pem(&pem).map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            let roots = items.collect::<Option<Vec<_>>>().filter(|roots| !roots.is_empty());
            roots.ok_or_else(|| JwksError::Ca(path.to_owned()))?
        }
        None => {
            let certificates = rustls_native_certs::load_native_certs().certs;
            certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    if roots.is_empty() {
        return Err(JwksError::NoCas);
    }
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .max_redirects(MAX_REDIRECTS)
        .timeout_global(Some(FETCH_WITHIN))
        .build();
    let failed = |error| JwksError::Fetch(address.to_owned(), Box::new(error));
    let mut answer = config.new_agent().get(address).call().map_err(failed)?;
    answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(failed)
}
