//! The key of a worker, which never leaves its machine.

use std::path::Path;

use muster_types::{KeyDigest, WallTime};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::authority::{exists, read_key, write};
use crate::digest::digest_of_key;
use crate::peer::PeerCertificate;
use crate::{HeldCertificate, TlsError};

/// A worker's key.
#[derive(Debug)]
pub struct WorkerKey(KeyPair);

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
    fn a_certificate_is_made_anew_after_more_than_half_of_its_life_and_by_two_thirds() {
        let (from, until) = (WallTime(1_000), WallTime(31_000));
        assert_eq!(renewal_time(from, until, 0.0), WallTime(21_000));
        assert_eq!(renewal_time(from, until, 1.0), WallTime(18_000));
        assert_eq!(renewal_time(until, from, 0.5), until, "one that makes no sense is asked for at once");
    }
}
