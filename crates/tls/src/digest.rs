//! What keys are known by, and a CA is pinned by: its key's digest. A CA that is signed anew with
//! the same key keeps it.

use muster_types::KeyDigest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

/// The digest of a certificate's public key; `None` if it is no certificate.
pub(crate) fn digest_of(certificate: &CertificateDer<'_>) -> Option<KeyDigest> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(digest_of_key(parsed.tbs_certificate.subject_pki.raw))
}

/// The digest of the first certificate in a text of PEM.
pub fn digest_of_ca(pem: &str) -> Option<KeyDigest> {
    digest_of(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
}

/// The digest of a public key in DER.
pub(crate) fn digest_of_key(info: &[u8]) -> KeyDigest {
    KeyDigest(Sha256::digest(info).into())
}
