//! What a public key is known by.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a public key (its `SubjectPublicKeyInfo`), written `sha256:HEX`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub [u8; 32]);

/// A text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseKeyDigestError;

impl fmt::Display for ParseKeyDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not `sha256:` and 64 hexadecimal digits")
    }
}

impl std::error::Error for ParseKeyDigestError {}

impl KeyDigest {
    /// From bytes; `None` unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<KeyDigest> {
        bytes.try_into().ok().map(KeyDigest)
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyDigest {
    type Err = ParseKeyDigestError;

    fn from_str(text: &str) -> Result<KeyDigest, ParseKeyDigestError> {
        let digits = text.strip_prefix("sha256:").ok_or(ParseKeyDigestError)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseKeyDigestError);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ParseKeyDigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseKeyDigestError)?;
        }
        Ok(KeyDigest(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = KeyDigest([0xa7; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().replace("SHA", "sha").parse(), Ok(digest));
        let (long, sign) = (format!("{digest}0"), format!("sha256:+{}", "0".repeat(63)));
        for wrong in ["", "sha256:", &digest.to_string()[7..], &long, &sign, &long.replace("a7", "ä")] {
            assert_eq!(wrong.parse::<KeyDigest>(), Err(ParseKeyDigestError), "{wrong}");
        }
    }
}
