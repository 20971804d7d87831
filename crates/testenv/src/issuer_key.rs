//! A key of an issuer of JWTs.

#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as P256, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// The issuer, for `--jwt-issuer`.
pub const ISSUER: &str = "https://issuer.example";
/// One of the audiences of its tokens, for `--jwt-audience`.
pub const AUDIENCE: &str = "muster";

/// A key of the issuer.
#[derive(Debug)]
pub struct IssuerKey {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl IssuerKey {
    /// A new key, of an id that it need not have alone.
    ///
    /// # Panics
    /// If none can be made, as everything here.
    pub fn new(id: &'static str) -> IssuerKey {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&P256, &random).expect("a key");
        IssuerKey { id, pair: EcdsaKeyPair::from_pkcs8(&P256, der.as_ref(), &random).expect("the key is read again") }
    }

    /// The text of a set of keys, for `--jwt-jwks`.
    pub fn set(keys: &[&IssuerKey]) -> String {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        json!({"keys": keys}).to_string()
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": BASE64.encode(x), "y": BASE64.encode(y)})
    }

    /// A token for a user in groups, which ends after a time.
    pub fn token(&self, user: &str, groups: &[&str], life: Duration) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
        let header = json!({"alg": "ES256", "kid": self.id});
        let claims = json!({
            "iss": ISSUER, "aud": ["other", AUDIENCE], "sub": user, "groups": groups,
            "exp": (now + life).as_secs_f64(), "nbf": now.as_secs(),
        });
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).expect("it can sign");
        format!("{message}.{}", BASE64.encode(signature))
    }
}
