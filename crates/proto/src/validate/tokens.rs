//! Requests about tokens.

use std::time::Duration;

use muster_types::{Role, TokenDigest, TokenGrant, TokenId, check_token_name};

use super::checks::bounded_length;
use crate::v1::create_token_request::Grant;
use crate::{FieldViolations, Path, v1};

/// A token that ends sooner could not be used before it ends.
const MIN_TTL: Duration = Duration::from_secs(1);
/// Longer than any machine: whoever wants more leaves it out.
const MAX_TTL: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateToken {
    /// Its id.
    pub id: TokenId,
    /// The user, or the worker.
    pub name: String,
    /// What its secret is known by.
    pub digest: TokenDigest,
    /// What it is for.
    pub grant: TokenGrant,
    /// How long it is good for; `None`: until it is revoked.
    pub ttl: Option<Duration>,
}

/// Checks a new token. No message shows the digest.
pub fn create_token(wire: v1::CreateTokenRequest) -> Result<CreateToken, FieldViolations> {
    let mut violations = FieldViolations::new();
    let id = token_id(&wire.token_id, &mut violations);
    if let Err(message) = check_token_name(&wire.holder) {
        violations.add(&Path::root("holder"), message);
    }
    let digest = wire.secret_digest.parse::<TokenDigest>().ok();
    if digest.is_none() {
        violations.add(&Path::root("secret_digest"), "is not `sha256:` and 64 small digits in hexadecimal");
    }
    let grant = match wire.grant {
        Some(Grant::Worker(v1::WorkerGrant {})) => Some(TokenGrant::Worker),
        Some(Grant::Role(role)) => {
            let role = v1::Role::try_from(role).ok().and_then(|role| Role::try_from(role).ok());
            if role.is_none() {
                violations.add(&Path::root("role"), "is no role");
            }
            role.map(TokenGrant::User)
        }
        None => {
            violations.add(&Path::root("role"), "is required, unless the token is for a worker");
            None
        }
    };
    let path = Path::root("ttl");
    let ttl = wire.ttl.map(|ttl| bounded_length(Some(ttl), MIN_TTL, MIN_TTL..=MAX_TTL, &path, &mut violations));
    // Times are kept to the millisecond.
    let ttl = ttl.map(|ttl| Duration::from_millis(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)));
    violations.unless_any(())?;
    let (Some(id), Some(digest), Some(grant)) = (id, digest, grant) else {
        return Err(FieldViolations::of("token_id", "is required"));
    };
    Ok(CreateToken { id, name: wire.holder, digest, grant, ttl })
}

/// Checks a revocation.
pub fn revoke_token(wire: &v1::RevokeTokenRequest) -> Result<TokenId, FieldViolations> {
    let mut violations = FieldViolations::new();
    let id = token_id(&wire.token_id, &mut violations);
    violations.unless_any(())?;
    id.ok_or_else(|| FieldViolations::of("token_id", "is required"))
}

/// The whole token is a likely slip, so a message never shows what was sent.
fn token_id(text: &str, violations: &mut FieldViolations) -> Option<TokenId> {
    let id = text.parse().ok();
    if id.is_none() {
        violations.add(&Path::root("token_id"), "is not 12 small digits in hexadecimal: the part behind `mst_`");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> v1::CreateTokenRequest {
        v1::CreateTokenRequest {
            token_id: "0123456789ab".to_owned(),
            holder: "ann".to_owned(),
            secret_digest: TokenDigest::new([0xa7; 32]).expose(),
            grant: Some(Grant::Role(v1::Role::Operator.into())),
            ttl: Some(prost_types::Duration { seconds: 60, nanos: 1_999_999 }),
        }
    }

    #[test]
    fn a_token_is_taken_with_its_time_in_milliseconds() {
        let taken = create_token(wire()).unwrap();
        assert_eq!((taken.id.to_string(), taken.name.as_str()), ("0123456789ab".to_owned(), "ann"));
        assert_eq!(taken.grant, TokenGrant::User(Role::Operator));
        assert_eq!(taken.ttl, Some(Duration::from_millis(60_001)));
        let worker = create_token(v1::CreateTokenRequest {
            grant: Some(Grant::Worker(v1::WorkerGrant {})),
            ttl: None,
            ..wire()
        });
        assert_eq!(worker.unwrap().grant, TokenGrant::Worker);
    }

    #[test]
    fn each_field_is_checked_and_no_message_shows_a_secret() {
        let secret = "mst_0123456789ab_5ec2e7";
        let ttl = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        for (field, wrong) in [
            ("token_id", v1::CreateTokenRequest { token_id: secret.to_owned(), ..wire() }),
            ("token_id", v1::CreateTokenRequest { token_id: String::new(), ..wire() }),
            ("holder", v1::CreateTokenRequest { holder: "system:local".to_owned(), ..wire() }),
            ("holder", v1::CreateTokenRequest { holder: String::new(), ..wire() }),
            ("secret_digest", v1::CreateTokenRequest { secret_digest: secret.to_owned(), ..wire() }),
            ("role", v1::CreateTokenRequest { grant: None, ..wire() }),
            ("role", v1::CreateTokenRequest { grant: Some(Grant::Role(0)), ..wire() }),
            ("role", v1::CreateTokenRequest { grant: Some(Grant::Role(99)), ..wire() }),
            ("ttl", v1::CreateTokenRequest { ttl: ttl(0), ..wire() }),
            ("ttl", v1::CreateTokenRequest { ttl: ttl(-1), ..wire() }),
            ("ttl", v1::CreateTokenRequest { ttl: ttl(1 << 40), ..wire() }),
        ] {
            let refused = format!("{:?}", create_token(wrong).unwrap_err());
            assert!(refused.contains(field) && !refused.contains("5ec2e7"), "{field}: {refused}");
        }
        let refused = revoke_token(&v1::RevokeTokenRequest { token_id: secret.to_owned() }).unwrap_err();
        assert!(!format!("{refused:?}").contains("5ec2e7"), "{refused:?}");
    }

    #[test]
    fn a_life_that_is_refused_is_told_in_the_units_that_people_type() {
        let said = |seconds| {
            let wire = v1::CreateTokenRequest { ttl: Some(prost_types::Duration { seconds, nanos: 0 }), ..wire() };
            let violations = create_token(wire).unwrap_err();
            violations.list().iter().map(|violation| violation.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(said(5000 * 86_400), ["must be at most 3650d, and is 5000d"]);
        assert_eq!(said(0), ["must be at least 1s, and is 0"]);
    }
}
