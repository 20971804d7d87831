//! New tokens: `mst_ID_SECRET`. The prefix lets scanners find leaked ones, the id names a token
//! without its secret, and a digest of the secret is all that is kept. Whoever makes a token is the
//! only one who ever has its secret.

use muster_types::{Secret, TokenDigest, TokenId};
use sha2::{Digest as _, Sha256};

/// What every token of a user or a worker begins with.
pub const TOKEN_PREFIX: &str = "mst_";
/// The length of a secret in hexadecimal digits: 256 bits.
pub const SECRET_DIGITS: usize = 64;

/// A token that nobody has seen yet.
#[derive(Debug, Clone)]
pub struct FreshToken {
    /// Its id.
    pub id: TokenId,
    /// Its text, for whom it is made.
    pub bearer: Secret,
    /// What its secret is known by.
    pub digest: TokenDigest,
}

impl FreshToken {
    /// Makes one of random numbers.
    ///
    /// # Errors
    /// The system has none.
    pub fn random() -> Result<FreshToken, getrandom::Error> {
        let (mut id, mut secret) = ([0; TokenId::DIGITS / 2], [0; SECRET_DIGITS / 2]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        let (id, secret) = (TokenId::from_bytes(id), secret.map(|byte| format!("{byte:02x}")).concat());
        let bearer = Secret::new(format!("{TOKEN_PREFIX}{id}_{secret}"));
        Ok(FreshToken { id, bearer, digest: digest_of_secret(&secret) })
    }
}

/// The digest of a secret. A secret has 256 random bits, so a slow hash would add nothing.
pub fn digest_of_secret(secret: &str) -> TokenDigest {
    TokenDigest::new(Sha256::digest(secret.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_holds_its_id_and_is_known_by_its_digest() {
        let new = FreshToken::random().unwrap();
        let text = new.bearer.expose();
        let (id, secret) = text.strip_prefix("mst_").unwrap().split_once('_').unwrap();
        assert_eq!((id.parse(), secret.len()), (Ok(new.id), SECRET_DIGITS));
        assert_eq!(digest_of_secret(secret), new.digest);
        assert!(!format!("{new:?}").contains(secret));
        assert_ne!(FreshToken::random().unwrap().id, new.id);
    }
}
