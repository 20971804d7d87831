//! Tokens: `mst_ID_SECRET`. The prefix lets scanners find leaked ones, the id names a token without
//! its secret, and a digest of the secret is all that is kept.

use std::fmt;

use muster_types::{AttemptNumber, DriverUid, Secret};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every token of a user or a worker begins with.
const PREFIX: &str = "mst_";
/// The lengths of both parts in hexadecimal digits: 48 and 256 bits.
const ID_DIGITS: usize = 12;
const SECRET_DIGITS: usize = 64;

/// The SHA-256 of a token's secret. The secret has 256 random bits, so a slow hash would add
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    fn of(secret: &str) -> TokenDigest {
        TokenDigest(Sha256::digest(secret.as_bytes()).into())
    }

    /// From `sha256:` and 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<TokenDigest> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && is_hex(digits))?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(TokenDigest(bytes))
    }

    /// Compares in constant time: how much of a digest is right must not show.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        self.0.ct_eq(&TokenDigest::of(secret).0).into()
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

/// A new token.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) id: String,
    pub(crate) token: Secret,
    pub(crate) digest: TokenDigest,
}

impl NewToken {
    /// Fails if the system has no random numbers.
    pub(crate) fn random() -> Result<NewToken, getrandom::Error> {
        let mut bytes = [0; (ID_DIGITS + SECRET_DIGITS) / 2];
        getrandom::fill(&mut bytes)?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (id, secret) = digits.split_at(ID_DIGITS);
        let token = Secret::new(format!("{PREFIX}{id}_{secret}"));
        Ok(NewToken { id: id.to_owned(), token, digest: TokenDigest::of(secret) })
    }
}

/// What a bearer shows, by its form alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bearer<'a> {
    /// Of a user or a worker.
    Token { id: &'a str, secret: &'a str },
    /// Of an attempt: its driver, its number, and the whole token.
    Attempt { driver: DriverUid, number: AttemptNumber, token: &'a str },
}

impl<'a> Bearer<'a> {
    /// Reads one.
    pub(super) fn parse(text: &'a str) -> Option<Bearer<'a>> {
        if let Some((id, secret)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) {
            return (is_id(id) && secret.len() == SECRET_DIGITS && is_hex(secret))
                .then_some(Bearer::Token { id, secret });
        }
        let mut parts = text.splitn(3, '.');
        let (driver, number, secret) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        (secret.len() == 32 && is_hex(secret)).then_some(Bearer::Attempt {
            driver,
            number: AttemptNumber(number),
            token: text,
        })
    }
}

/// Whether this is the id of a token.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_found_by_its_id_and_known_by_its_digest() {
        let new = NewToken::random().unwrap();
        let Some(Bearer::Token { id, secret }) = Bearer::parse(new.token.expose()) else { panic!("{new:?}") };
        assert_eq!(id, new.id);
        assert!(new.digest.is_of(secret));
        let kept = TokenDigest::parse(&new.digest.to_string()).unwrap();
        assert!(kept.is_of(secret) && !kept.is_of(&secret.replace('0', "1").replace('2', "3")));
        assert!(!format!("{new:?}").contains(secret));
        for place in 0..32 {
            let mut other = kept;
            other.0[place] ^= 1;
            assert!(!other.is_of(secret), "every byte counts: {place}");
        }
        assert_ne!(NewToken::random().unwrap().id, new.id);
    }

    #[test]
    fn the_token_of_an_attempt_names_it() {
        let driver = DriverUid(7);
        let text = format!("{driver}.3.{:032x}", 5);
        let expected = Bearer::Attempt { driver, number: AttemptNumber(3), token: &text };
        assert_eq!(Bearer::parse(&text), Some(expected));
    }

    #[test]
    fn nothing_else_is_a_token() {
        let secret = "0".repeat(SECRET_DIGITS);
        for text in [
            String::new(),
            "mst_".to_owned(),
            format!("mst_0123456789a_{secret}"),
            format!("mst_0123456789ab_{secret}0"),
            format!("mst_0123456789ab_{}", "A".repeat(SECRET_DIGITS)),
            format!("mst_0123456789AB_{secret}"),
            format!("MST_0123456789ab_{secret}"),
            format!("{}.3.{:031x}", DriverUid(7), 5),
            format!("{}.-3.{:032x}", DriverUid(7), 5),
            "7.3".to_owned(),
        ] {
            assert_eq!(Bearer::parse(&text), None, "{text}");
        }
        assert_eq!(TokenDigest::parse(&format!("sha256:{}", "z".repeat(64))), None);
        assert_eq!(TokenDigest::parse(&format!("sha256:{}", "+0".repeat(32))), None);
        assert_eq!(TokenDigest::parse(&"0".repeat(64)), None);
    }
}
