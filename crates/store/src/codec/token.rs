//! Tokens.

use muster_types::{Role, TokenDigest, TokenGrant, TokenId, TokenRecord, WallTime};

use super::enums::StoredEnum as _;
use super::proto::WorkerGrant;
use super::proto::token_record::Grant as StoredGrant;
use super::{DecodeError, Stored, proto, required};

impl Stored for TokenRecord {
    type Message = proto::TokenRecord;

    fn to_message(&self) -> proto::TokenRecord {
        let grant = match self.grant {
            TokenGrant::User(role) => StoredGrant::Role(role.to_number()),
            TokenGrant::Worker => StoredGrant::Worker(WorkerGrant {}),
        };
        proto::TokenRecord {
            id: self.id.to_bytes().to_vec(),
            name: self.name.clone(),
            digest: self.digest.to_bytes().to_vec(),
            grant: Some(grant),
            created: self.created.0,
            expires: self.expires.map(|time| time.0),
            created_by: self.created_by.clone(),
            revoked: self.revoked.map(|time| time.0),
            parent: self.parent.map(|parent| parent.to_bytes().to_vec()).unwrap_or_default(),
        }
    }

    fn from_message(message: proto::TokenRecord) -> Result<TokenRecord, DecodeError> {
        let grant = match required(message.grant, "grant")? {
            StoredGrant::Role(role) => TokenGrant::User(Role::from_number(role, "role")?),
            StoredGrant::Worker(WorkerGrant {}) => TokenGrant::Worker,
        };
        Ok(TokenRecord {
            id: required(TokenId::from_slice(&message.id), "id")?,
            name: message.name,
            digest: required(message.digest.try_into().ok().map(TokenDigest::new), "digest")?,
            grant,
            created: WallTime(message.created),
            expires: message.expires.map(WallTime),
            created_by: message.created_by,
            revoked: message.revoked.map(WallTime),
            parent: match message.parent.as_slice() {
                [] => None,
                parent => Some(required(TokenId::from_slice(parent), "parent")?),
            },
        })
    }
}
