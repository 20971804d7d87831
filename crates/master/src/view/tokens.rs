//! Tokens in the store, as far as this master knows it. They have a lock of their own, because
//! every call looks one up.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use muster_types::{TokenId, TokenRecord};
use tokio::sync::watch;

/// The tokens of one view.
#[derive(Debug)]
pub(crate) struct StoredTokens(watch::Sender<BTreeMap<TokenId, Arc<TokenRecord>>>);

impl Default for StoredTokens {
    fn default() -> StoredTokens {
        StoredTokens(watch::Sender::new(BTreeMap::new()))
    }
}

impl StoredTokens {
    pub(crate) fn put(&self, record: Arc<TokenRecord>) {
        self.0.send_modify(|tokens| drop(tokens.insert(record.id, record)));
    }

    pub(crate) fn remove(&self, id: TokenId) {
        self.0.send_modify(|tokens| drop(tokens.remove(&id)));
    }

    pub(crate) fn get(&self, id: TokenId) -> Option<Arc<TokenRecord>> {
        self.0.borrow().get(&id).cloned()
    }

    /// Those behind an id, or the first ones; at most so many.
    pub(crate) fn page(&self, after: Option<TokenId>, size: usize) -> Vec<Arc<TokenRecord>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.borrow().range((start, Bound::Unbounded)).take(size).map(|(_, record)| record.clone()).collect()
    }

    /// Ready once one of them has changed after this call.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<TokenId, Arc<TokenRecord>>> {
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
        })
    }

    #[test]
    fn pages_go_on_behind_a_token_that_is_gone() {
        let tokens = StoredTokens::default();
        let mut changes = tokens.changes();
        for id in [3, 1, 2] {
            tokens.put(token(id));
        }
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        let first = tokens.page(None, 2);
        assert_eq!(first, [token(1), token(2)]);
        tokens.remove(first[1].id);
        assert!(changes.has_changed().unwrap());
        assert_eq!(tokens.page(Some(first[1].id), 2), [token(3)]);
        assert_eq!((tokens.get(first[1].id), tokens.get(first[0].id)), (None, Some(token(1))));
    }
}
