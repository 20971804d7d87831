//! Tokens of users and workers, as far as they are kept: never their secrets.

use std::fmt;
use std::str::FromStr;

use crate::binding::Principal;
use crate::caller::{ParseRoleError, Role};

/// What names a token, without its secret: 48 bits, written as 12 hexadecimal digits. Whoever makes
/// the token chooses them at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl TokenId {
    /// The digits of its text.
    pub const DIGITS: usize = 12;
    const BYTES: usize = TokenId::DIGITS / 2;

    /// Big-endian bytes, as in keys.
    pub fn to_bytes(self) -> [u8; TokenId::BYTES] {
        let [_, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// From big-endian bytes.
    pub const fn from_bytes(bytes: [u8; TokenId::BYTES]) -> TokenId {
        let [a, b, c, d, e, f] = bytes;
        TokenId(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// From big-endian bytes; `None` unless there are exactly 6.
    pub fn from_slice(bytes: &[u8]) -> Option<TokenId> {
        bytes.try_into().ok().map(TokenId::from_bytes)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// The text is not the id of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseTokenIdError;

impl fmt::Display for ParseTokenIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a token is 12 digits in hexadecimal, the letters small")
    }
}

impl std::error::Error for ParseTokenIdError {}

impl FromStr for TokenId {
    type Err = ParseTokenIdError;

    fn from_str(text: &str) -> Result<TokenId, ParseTokenIdError> {
        if text.len() != TokenId::DIGITS || !is_hex(text) {
            return Err(ParseTokenIdError);
        }
        u64::from_str_radix(text, 16).map(TokenId).map_err(|_| ParseTokenIdError)
    }
}

/// The SHA-256 of a token's secret, written `sha256:` and 64 hexadecimal digits. It is kept in
/// place of the secret, and is in no log, event or answer either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// From its bytes.
    pub fn new(bytes: [u8; 32]) -> TokenDigest {
        TokenDigest(bytes)
    }

    /// Its bytes. Whoever compares them does it in constant time.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Its text, for the file or the message that keeps it.
    pub fn expose(self) -> String {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digits}")
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

/// The text is not the digest of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseTokenDigestError;

impl fmt::Display for ParseTokenDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not `sha256:` and 64 digits in hexadecimal")
    }
}

impl std::error::Error for ParseTokenDigestError {}

impl FromStr for TokenDigest {
    type Err = ParseTokenDigestError;

    fn from_str(text: &str) -> Result<TokenDigest, ParseTokenDigestError> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && is_hex(digits));
        let digits = digits.ok_or(ParseTokenDigestError)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ParseTokenDigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseTokenDigestError)?;
        }
        Ok(TokenDigest(bytes))
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenGrant {
    /// A user with a role.
    User(Role),
    /// A worker.
    Worker,
}

impl TokenGrant {
    /// The word of a worker in place of a role.
    const WORKER: &str = "worker";

    /// The word of the role, or `worker`.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenGrant::User(role) => role.as_str(),
            TokenGrant::Worker => TokenGrant::WORKER,
        }
    }
}

impl FromStr for TokenGrant {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<TokenGrant, ParseGrantError> {
        if text == TokenGrant::WORKER {
            return Ok(TokenGrant::Worker);
        }
        text.parse().map(TokenGrant::User).map_err(ParseGrantError)
    }
}

/// The text is neither the word of a role nor `worker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseGrantError(ParseRoleError);

impl fmt::Display for ParseGrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, nor {}", self.0, TokenGrant::WORKER)
    }
}

impl std::error::Error for ParseGrantError {}

/// Checks the name of a token's user or worker: names are shown in logs and lists. Those of the
/// system itself begin with `system:`. The error says what would be right.
pub fn check_token_name(name: &str) -> Result<(), String> {
    /// The most bytes of a name.
    const MOST: usize = 128;
    let is_shown = !name.is_empty() && name.len() <= MOST && !name.chars().any(|c| c.is_control() || c == ' ');
    if !is_shown {
        return Err(format!("a name has 1 to {MOST} bytes, without spaces and control characters"));
    }
    if name.starts_with("system:") {
        return Err("names that begin with `system:` are the cluster's own".to_owned());
    }
    // Whoever vouches for these users vouches for no token.
    if Principal::PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err("names that begin with `cert:` or `jwt:` are of users that certificates and JWTs name".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for text in ["000000000000", "0123456789ab", "ffffffffffff"] {
            let id: TokenId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(TokenId::from_slice(&id.to_bytes()), Some(id));
        }
        for text in ["", "0123456789a", "0123456789abc", "0123456789AB", "+123456789ab", "0123456789ä"] {
            assert_eq!(text.parse::<TokenId>(), Err(ParseTokenIdError), "{text}");
        }
        assert_eq!(TokenId::from_slice(&[0; 5]), None);
        assert_eq!(TokenId::from_slice(&[0; 7]), None);
    }

    #[test]
    fn a_digest_is_read_back_and_never_shown() {
        let digest = TokenDigest::new([0xa7; 32]);
        assert_eq!(digest.expose().parse(), Ok(digest));
        assert_eq!(TokenDigest::new(digest.to_bytes()), digest);
        assert!(!format!("{digest:?}").contains("a7"));
        for text in [
            "",
            "sha256:",
            &digest.expose()[7..],
            &digest.expose().to_uppercase(),
            &format!("sha256:{}", "+0".repeat(32)),
        ] {
            assert_eq!(text.parse::<TokenDigest>(), Err(ParseTokenDigestError), "{text}");
        }
    }

    #[test]
    fn a_grant_is_a_role_or_a_worker() {
        for grant in Role::ALL.map(TokenGrant::User).into_iter().chain([TokenGrant::Worker]) {
            assert_eq!(grant.as_str().parse(), Ok(grant));
        }
        let error = "root".parse::<TokenGrant>().unwrap_err();
        assert_eq!(error.to_string(), "not one of viewer, submitter, operator and admin, nor worker");
    }
}
