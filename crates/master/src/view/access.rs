//! What the store holds of access, as far as this master knows it: tokens, and roles of users and
//! groups. They have a lock of their own, because every call looks one up.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use muster_types::{RoleBindings, TokenId, TokenRecord};
use tokio::sync::watch;

/// The tokens and roles of one view.
#[derive(Debug)]
pub(crate) struct StoredAccess(watch::Sender<AccessRecords>);

/// What is stored.
#[derive(Debug, Default)]
pub(crate) struct AccessRecords {
    tokens: BTreeMap<TokenId, Arc<TokenRecord>>,
    roles: Arc<RoleBindings>,
}

impl Default for StoredAccess {
    fn default() -> StoredAccess {
        StoredAccess(watch::Sender::new(AccessRecords::default()))
    }
}

impl StoredAccess {
    pub(crate) fn put_token(&self, record: Arc<TokenRecord>) {
        self.0.send_modify(|stored| drop(stored.tokens.insert(record.id, record)));
    }

    pub(crate) fn remove_token(&self, id: TokenId) {
        self.0.send_modify(|stored| drop(stored.tokens.remove(&id)));
    }

    pub(crate) fn put_roles(&self, roles: Arc<RoleBindings>) {
        self.0.send_modify(|stored| stored.roles = roles);
    }

    pub(crate) fn token(&self, id: TokenId) -> Option<Arc<TokenRecord>> {
        self.0.borrow().tokens.get(&id).cloned()
    }

    /// Those behind an id, or the first ones, of this name if there is one; at most so many.
    pub(crate) fn page(&self, after: Option<TokenId>, size: usize, name: Option<&str>) -> Vec<Arc<TokenRecord>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let stored = self.0.borrow();
        let behind = stored.tokens.range((start, Bound::Unbounded)).map(|(_, record)| record);
        behind.filter(|record| name.is_none_or(|name| record.name == name)).take(size).cloned().collect()
    }

    /// The roles of users and groups.
    pub(crate) fn roles(&self) -> Arc<RoleBindings> {
        self.0.borrow().roles.clone()
    }

    /// Ready once something has changed after this call.
    pub(crate) fn changes(&self) -> watch::Receiver<AccessRecords> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use muster_types::{TokenDigest, TokenGrant, WallTime};

    use super::*;

    fn token(id: u8) -> Arc<TokenRecord> {
        Arc::new(TokenRecord {
            id: TokenId::from_bytes([0, 0, 0, 0, 0, id]),
            name: "lab".to_owned(),
            digest: TokenDigest::new([7; 32]),
            grant: TokenGrant::Worker,
            created: WallTime(1),
            expires: None,
            created_by: "ann".to_owned(),
            revoked: None,
            parent: None,
        })
    }

    #[test]
    fn pages_go_on_behind_a_token_that_is_gone() {
        let tokens = StoredAccess::default();
        let mut changes = tokens.changes();
        for id in [3, 1, 2] {
            tokens.put_token(token(id));
        }
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        let first = tokens.page(None, 2, None);
        assert_eq!(first, [token(1), token(2)]);
        tokens.remove_token(first[1].id);
        assert!(changes.has_changed().unwrap());
        assert_eq!(tokens.page(Some(first[1].id), 2, Some("lab")), [token(3)]);
        assert_eq!((tokens.token(first[1].id), tokens.token(first[0].id)), (None, Some(token(1))));
    }
}
