//! The key of a worker, which never leaves its machine.

use std::path::Path;

use muster_types::{KeyDigest, WallTime, WorkerUid};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::authority::{exists, read_key, write};
use crate::digest::digest_of_key;
use crate::peer::{CertificateHolder, PeerCertificate};
use crate::{HeldCertificate, TlsError};

/// The name of the key in a worker's state directory.
pub const WORKER_KEY_FILE: &str = "worker.key";
/// The name of the newest certificate of that key, with the CA's behind it.
pub const WORKER_CHAIN_FILE: &str = "worker.crt";
/// The name of the CAs that a worker trusts there.
pub const WORKER_CA_FILE: &str = "ca.crt";

/// A worker's key.
#[derive(Debug)]
pub struct WorkerKey(KeyPair);

/// What a worker keeps in its state directory, for another program of its user to show in its name,
/// with the uid that the certificate names. `None` where it has no certificate yet.
///
/// # Errors
/// As [`WorkerKey::load_or_make`] and [`WorkerKey::show`].
pub fn certificate_of_worker(state_dir: &Path) -> Result<Option<(WorkerUid, HeldCertificate)>, TlsError> {
    let [key, chain] = [WORKER_KEY_FILE, WORKER_CHAIN_FILE].map(|name| state_dir.join(name));
    if !exists(&key)? || !exists(&chain)? {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&chain).map_err(|error| TlsError::File(chain, error))?;
    let held = HeldCertificate::default();
    match read_key(&key).map(WorkerKey)?.show(&text, &held)?.holder {
        CertificateHolder::Worker(uid) => Ok(Some((uid, held))),
        CertificateHolder::Master | CertificateHolder::Client(_) => Ok(None),
    }
}

impl WorkerKey {
    /// Reads the key in a file, which is made with mode 0600 if it is missing.
    ///
    /// # Errors
    /// [`TlsError::Exposed`] and [`TlsError::Planted`], as for the key of a CA.
    pub fn load_or_make(path: &Path) -> Result<WorkerKey, TlsError> {
        if exists(path)? {
            return read_key(path).map(WorkerKey);
        }
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        write(path, &pair.serialize_pem())?;
        Ok(WorkerKey(pair))
    }

    /// What the public key is known by.
    pub fn digest(&self) -> KeyDigest {
        digest_of_key(&rcgen::PublicKeyData::subject_public_key_info(&self.0))
    }

    /// A request for a certificate (PKCS #10, in DER). Its signature proves the key; it holds
    /// nothing else, because who signs decides on the names.
    pub fn request(&self) -> Result<Vec<u8>, TlsError> {
        let request = CertificateParams::default().serialize_request(&self.0)?;
        Ok(request.der().to_vec())
    }

    /// Shows a certificate of this key, the first of a chain in PEM, from now on. Returns what it
    /// says.
    ///
    /// # Errors
    /// [`TlsError::NoCertificate`] where there is none, [`TlsError::OtherKey`] for one of another
    /// key.
    pub fn show(&self, chain: &str, held: &HeldCertificate) -> Result<PeerCertificate, TlsError> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap_or_default();
        let said = chain.first().and_then(PeerCertificate::of).ok_or(TlsError::NoCertificate)?;
        if said.key != self.digest() {
            return Err(TlsError::OtherKey);
        }
        let key = PrivateKeyDer::Pkcs8(self.0.serialize_der().into());
        held.show(CertifiedKey::new(chain, rustls::crypto::ring::sign::any_supported_type(&key)?));
        Ok(said)
    }
}

/// When a certificate that holds from one time to another is made anew: at two thirds of its life,
/// less up to a tenth by chance (`of_tenth` of 0 to 1), so that not all ask at once.
pub fn renewal_time(from: WallTime, until: WallTime, of_tenth: f64) -> WallTime {
    let life = until.0.saturating_sub(from.0) as f64;
    let after = life * (2.0 / 3.0 - of_tenth.clamp(0.0, 1.0) / 10.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    WallTime(from.0.saturating_add(after as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_shows_what_a_worker_keeps() {
        let directory = tempfile::tempdir().unwrap();
        let (pki, state) = (directory.path().join("pki"), directory.path());
        let [key_file, chain_file] = [WORKER_KEY_FILE, WORKER_CHAIN_FILE].map(|name| state.join(name));
        let authority = crate::Authority::create(&pki).unwrap();
        assert!(certificate_of_worker(state).unwrap().is_none());
        let key = WorkerKey::load_or_make(&key_file).unwrap();
        assert!(certificate_of_worker(state).unwrap().is_none(), "there is no certificate yet");
        let life = std::time::Duration::from_secs(60);
        let issued = authority.issue_worker(&key.request().unwrap(), WorkerUid(7), life).unwrap();
        write(&chain_file, &issued.chain).unwrap();
        assert_eq!(certificate_of_worker(state).unwrap().unwrap().0, WorkerUid(7));
        let other = WorkerKey::load_or_make(&state.join("other.key")).unwrap();
        let issued = authority.issue_worker(&other.request().unwrap(), WorkerUid(7), life).unwrap();
        write(&chain_file, &issued.chain).unwrap();
        assert!(matches!(certificate_of_worker(state), Err(TlsError::OtherKey)));
    }

    #[test]
    fn a_certificate_is_made_anew_after_more_than_half_of_its_life_and_by_two_thirds() {
        let (from, until) = (WallTime(1_000), WallTime(31_000));
        assert_eq!(renewal_time(from, until, 0.0), WallTime(21_000));
        assert_eq!(renewal_time(from, until, 1.0), WallTime(18_000));
        assert_eq!(renewal_time(until, from, 0.5), until, "one that makes no sense is asked for at once");
    }
}
