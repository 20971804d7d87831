//! Tokens in the store, as far as this master knows it.

use std::collections::BTreeMap;
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
}
