//! What a worker is given to join with: its token, and what to know the cluster's CA by.

use std::fmt;
use std::str::FromStr;

use muster_types::KeyDigest;

/// What the text of a token with a pin begins with. The prefix lets scanners find leaked ones.
const PREFIX: &str = "mstj_";
/// What every token begins with.
const BEARER_PREFIX: &str = "mst_";
/// What a digest begins with where it stands alone.
const DIGEST_PREFIX: &str = "sha256:";

/// A token, and the digest of the CA that its cluster is known by.
///
/// In one text, `mstj_ID_SECRET_PIN`, the token `mst_ID_SECRET` and the 64 hexadecimal digits of
/// the digest travel together, so a worker knows whom to trust before its first byte. A token
/// without a pin is its own text. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    bearer: String,
    pin: Option<KeyDigest>,
}

/// A text begins as a token with a pin does, and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token to join with is `mstj_`, an id, a secret and 64 hexadecimal digits, with `_` between them")]
pub struct NotAJoinToken;

impl JoinToken {
    /// A token with a pin. Fails unless the token is `mst_ID_SECRET`, because no other can be
    /// written together with one.
    pub fn pinned(bearer: &str, pin: KeyDigest) -> Result<JoinToken, NotAJoinToken> {
        let parts = bearer.strip_prefix(BEARER_PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, secret) = parts.ok_or(NotAJoinToken)?;
        if !is_word(id) || !is_word(secret) {
            return Err(NotAJoinToken);
        }
        Ok(JoinToken { bearer: bearer.to_owned(), pin: Some(pin) })
    }

    /// The token itself, which a call carries.
    pub fn bearer(&self) -> &str {
        &self.bearer
    }

    /// What the CA is known by, if the text says it.
    pub fn pin(&self) -> Option<KeyDigest> {
        self.pin
    }

    /// Its text, for whom it was made.
    pub fn expose(&self) -> String {
        match (self.pin, self.bearer.strip_prefix(BEARER_PREFIX)) {
            (Some(pin), Some(rest)) => format!("{PREFIX}{rest}_{}", digits(pin)),
            _ => self.bearer.clone(),
        }
    }
}

/// Reads either form; spaces and line ends around it are left out. What does not begin as a token
/// with a pin is taken as a token alone, whatever it is: its masters judge it.
impl FromStr for JoinToken {
    type Err = NotAJoinToken;

    fn from_str(text: &str) -> Result<JoinToken, NotAJoinToken> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix(PREFIX) else {
            return Ok(JoinToken { bearer: text.to_owned(), pin: None });
        };
        let (bearer, digits) = rest.rsplit_once('_').ok_or(NotAJoinToken)?;
        let pin = format!("{DIGEST_PREFIX}{digits}").parse().map_err(|_| NotAJoinToken)?;
        JoinToken::pinned(&format!("{BEARER_PREFIX}{bearer}"), pin)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("pin", &self.pin).finish_non_exhaustive()
    }
}

fn digits(pin: KeyDigest) -> String {
    pin.to_string().trim_start_matches(DIGEST_PREFIX).to_owned()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin() -> KeyDigest {
        KeyDigest([0xa7; 32])
    }

    #[test]
    fn a_token_and_its_pin_are_one_text() {
        let token = JoinToken::pinned("mst_0123456789ab_5ec2e7", pin()).unwrap();
        let text = token.expose();
        assert_eq!(text, format!("mstj_0123456789ab_5ec2e7_{}", "a7".repeat(32)));
        let read: JoinToken = format!(" {text}\n").parse().unwrap();
        assert_eq!((read.bearer(), read.pin()), ("mst_0123456789ab_5ec2e7", Some(pin())));
        assert_eq!(read, token);
        assert!(!format!("{token:?}").contains("5ec2e7"), "{token:?}");
    }

    #[test]
    fn a_token_alone_has_no_pin() {
        for text in ["mst_0123456789ab_5ec2e7", "another.form.of-token"] {
            let read: JoinToken = format!("{text}\n").parse().unwrap();
            assert_eq!((read.bearer(), read.pin(), read.expose().as_str()), (text, None, text));
        }
    }

    #[test]
    fn what_only_begins_as_one_is_refused() {
        let digits = digits(pin());
        for text in [
            "mstj_".to_owned(),
            format!("mstj_{digits}"),
            format!("mstj_id_{digits}"),
            format!("mstj__secret_{digits}"),
            format!("mstj_id__{digits}"),
            format!("mstj_id_secret_more_{digits}"),
            format!("mstj_id_se cret_{digits}"),
            format!("mstj_id_secret_{digits}0"),
            format!("mstj_id_secret_{}", &digits[1..]),
        ] {
            assert_eq!(text.parse::<JoinToken>(), Err(NotAJoinToken), "{text}");
        }
        assert_eq!(JoinToken::pinned("another.form.of-token", pin()), Err(NotAJoinToken));
    }
}
