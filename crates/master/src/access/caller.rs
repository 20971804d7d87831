//! A caller that is known, and by what.

use std::fmt;

use muster_proto::errors::Failure;
use muster_types::{Caller, KeyDigest, TokenId, WallTime};

/// The token that a call shows, for calls about tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShownToken {
    pub(crate) id: TokenId,
    /// When it expires.
    pub(crate) expires: Option<WallTime>,
}

/// A caller, and by what it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownCaller {
    pub(super) caller: Caller,
    pub(super) proof: CallerProof,
    /// When the proof is good no longer.
    pub(super) expires: Option<WallTime>,
}

/// By what a caller is known. It is displayed without anything of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallerProof {
    /// Nothing is asked for here.
    Local,
    /// Nothing was shown.
    Nothing,
    /// A token of the access file or of the store.
    Token(TokenId),
    /// A certificate for this key.
    Certificate(KeyDigest),
    /// The token of an attempt.
    Attempt,
    /// A JWT of the configured issuer.
    Jwt,
    /// Nothing yet: the connection is in the clear, and the first message tells.
    Plaintext,
}

impl KnownCaller {
    /// The token that it shows.
    pub(super) fn token(&self) -> Option<ShownToken> {
        match self.proof {
            CallerProof::Token(id) => Some(ShownToken { id, expires: self.expires }),
            _ => None,
        }
    }

    /// Whether its role is bound to it, not part of what it has shown.
    pub(super) fn has_bound_role(&self) -> bool {
        match self.proof {
            CallerProof::Jwt | CallerProof::Certificate(_) => {
                matches!(self.caller, Caller::User { .. } | Caller::Unbound { .. })
            }
            CallerProof::Local
            | CallerProof::Nothing
            | CallerProof::Plaintext
            | CallerProof::Token(_)
            | CallerProof::Attempt => false,
        }
    }
}

impl fmt::Display for CallerProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallerProof::Local => f.write_str("local"),
            CallerProof::Nothing => f.write_str("nothing"),
            CallerProof::Token(id) => write!(f, "token:{id}"),
            CallerProof::Certificate(key) => write!(f, "certificate:{key}"),
            CallerProof::Attempt => f.write_str("attempt"),
            CallerProof::Jwt => f.write_str("jwt"),
            CallerProof::Plaintext => f.write_str("plaintext"),
        }
    }
}

/// Why a call is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// Who makes it, if that is known.
    pub(super) known: Option<Box<KnownCaller>>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        // Nothing was shown, which is another thing than something that is not good.
        let nobody = KnownCaller { caller: Caller::Anonymous, proof: CallerProof::Nothing, expires: None };
        let known = matches!(failure, Failure::NoCredential).then(|| Box::new(nobody));
        Refusal { failure, known }
    }
}
