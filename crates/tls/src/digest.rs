//! What a CA is pinned by.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a CA's public key (its `SubjectPublicKeyInfo`), written `sha256:HEX`. A CA that
/// is signed anew with the same key keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaDigest([u8; 32]);

/// A text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not `sha256:` and 64 hexadecimal digits")]
pub struct NotADigest;

impl CaDigest {
    /// The digest of a certificate's public key; `None` if it is no certificate.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<CaDigest> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        Some(CaDigest::of_public_key(parsed.tbs_certificate.subject_pki.raw))
    }

    pub(crate) fn of_public_key(info: &[u8]) -> CaDigest {
        CaDigest(Sha256::digest(info).into())
    }
}

impl fmt::Display for CaDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for CaDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<CaDigest, NotADigest> {
        let digits = text.strip_prefix("sha256:").ok_or(NotADigest)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotADigest);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotADigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotADigest)?;
        }
        Ok(CaDigest(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = CaDigest([0xa7; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().replace("SHA", "sha").parse(), Ok(digest));
        let (long, sign) = (format!("{digest}0"), format!("sha256:+{}", "0".repeat(63)));
        for wrong in ["", "sha256:", &digest.to_string()[7..], &long, &sign, &long.replace("a7", "ä")] {
            assert_eq!(wrong.parse::<CaDigest>(), Err(NotADigest), "{wrong}");
        }
    }
}
