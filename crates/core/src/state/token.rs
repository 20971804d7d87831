//! Tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{TokenId, TokenRecord, WallTime};

/// Every token that is kept.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    by_id: BTreeMap<TokenId, Arc<TokenRecord>>,
    /// Those that end, the first to end first.
    ends: BTreeSet<(WallTime, TokenId)>,
    /// The end that a timer is armed for.
    pub(crate) armed: Option<WallTime>,
}

impl Tokens {
    /// Adds or replaces.
    pub(crate) fn put(&mut self, record: Arc<TokenRecord>) {
        self.remove(record.id);
        self.ends.extend(record.ends().map(|end| (end, record.id)));
        self.by_id.insert(record.id, record);
    }

    pub(crate) fn remove(&mut self, id: TokenId) {
        if let Some(end) = self.by_id.remove(&id).and_then(|record| record.ends()) {
            self.ends.remove(&(end, id));
        }
    }

    pub(crate) fn get(&self, id: TokenId) -> Option<&Arc<TokenRecord>> {
        self.by_id.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The one that ends first, and when.
    pub(crate) fn first_end(&self) -> Option<(WallTime, TokenId)> {
        self.ends.first().copied()
    }
}
