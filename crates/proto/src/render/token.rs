//! Tokens, without what their secrets are known by.

use muster_types::{TokenGrant, TokenRecord};

use crate::time::timestamp;
use crate::v1;

/// A token.
pub fn token(record: &TokenRecord) -> v1::Token {
    use v1::token::Grant;
    let TokenRecord { id, name, digest: _, grant, created, expires, created_by, revoked, parent } = record;
    let grant = match grant {
        TokenGrant::User(role) => Grant::Role(v1::Role::from(*role).into()),
        TokenGrant::Worker => Grant::Worker(v1::WorkerGrant {}),
    };
    v1::Token {
        token_id: id.to_string(),
        holder: name.clone(),
        grant: Some(grant),
        create_time: Some(timestamp(*created)),
        expire_time: expires.map(timestamp),
        created_by: created_by.clone(),
        revoke_time: revoked.map(timestamp),
        parent_id: parent.map(|parent| parent.to_string()).unwrap_or_default(),
    }
}
