//! What callers show: tokens `mst_ID_SECRET`, and those of attempts.

use muster_proto::fresh_token::{SECRET_DIGITS, TOKEN_PREFIX, digest_of_secret};
use muster_types::{AttemptNumber, DriverUid, TokenDigest, TokenId};
use subtle::ConstantTimeEq as _;

/// Compares in constant time: how much of a digest is right must not show.
pub(super) fn is_of(digest: TokenDigest, secret: &str) -> bool {
    digest.to_bytes().ct_eq(&digest_of_secret(secret).to_bytes()).into()
}

/// What a bearer shows, by its form alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bearer<'a> {
    /// Of a user or a worker.
    Token { id: TokenId, secret: &'a str },
    /// Of an attempt: its driver, its number, and the whole token.
    Attempt { driver: DriverUid, number: AttemptNumber, token: &'a str },
    /// What may be a JWT.
    Jwt(&'a str),
}

impl<'a> Bearer<'a> {
    /// Reads one.
    pub(super) fn parse(text: &'a str) -> Option<Bearer<'a>> {
        if let Some((id, secret)) = text.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_')) {
            let id = id.parse().ok()?;
            return (secret.len() == SECRET_DIGITS && is_hex(secret)).then_some(Bearer::Token { id, secret });
        }
        if is_like_a_jwt(text) {
            return Some(Bearer::Jwt(text));
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

/// A JWT is three parts in base64, of which the first is JSON and so begins with a brace.
fn is_like_a_jwt(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.starts_with("ey") && text.split('.').count() == 3 && text.bytes().all(|byte| byte == b'.' || is_base64(byte))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use muster_proto::fresh_token::FreshToken;

    use super::*;

    #[test]
    fn a_new_token_is_found_by_its_id_and_known_by_its_digest() {
        let new = FreshToken::random().unwrap();
        let Some(Bearer::Token { id, secret }) = Bearer::parse(new.bearer.expose()) else { panic!("{new:?}") };
        assert_eq!(id, new.id);
        assert!(is_of(new.digest, secret) && !is_of(new.digest, &secret.replace('0', "1").replace('2', "3")));
        for place in 0..32 {
            let mut other = new.digest.to_bytes();
            other[place] ^= 1;
            assert!(!is_of(TokenDigest::new(other), secret), "every byte counts: {place}");
        }
    }

    #[test]
    fn the_token_of_an_attempt_names_it() {
        let driver = DriverUid(7);
        let text = format!("{driver}.3.{:032x}", 5);
        let expected = Bearer::Attempt { driver, number: AttemptNumber(3), token: &text };
        assert_eq!(Bearer::parse(&text), Some(expected));
    }

    #[test]
    fn a_jwt_is_told_by_its_form() {
        assert_eq!(Bearer::parse("eyJhbGciOiJ9.eyJ9.c2ln"), Some(Bearer::Jwt("eyJhbGciOiJ9.eyJ9.c2ln")));
        for other in ["eyJ9.eyJ9", "eyJ9.eyJ9.c2ln.x", "eyJ9.ey J9.c2ln", "abc.eyJ9.c2ln", "eyJ9.eyJ9.c2l="] {
            assert_eq!(Bearer::parse(other), None, "{other}");
        }
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
    }
}
