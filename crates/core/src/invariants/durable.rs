//! Follows groups as a store and its readers would, and checks the writes and the effects that
//! depend on them.

use std::collections::BTreeMap;

use muster_types::{DriverUid, Write};

use super::{Fold, InvariantViolation, bounds, order, pause, terminal};
use crate::Group;

/// The durable state, and how it came about.
#[derive(Debug, Clone, Default)]
pub struct DurableState {
    /// The durable records.
    pub fold: Fold,
    /// How often each driver's own record was put.
    pub puts: BTreeMap<DriverUid, u32>,
}

impl DurableState {
    /// An empty store.
    pub fn new() -> DurableState {
        DurableState::default()
    }

    /// Applies a durable group, and returns the invariants that it violates.
    pub fn observe(&mut self, group: &Group) -> Vec<InvariantViolation> {
        let mut found = Vec::new();
        bounds::check(group, &mut found);
        for write in &group.writes {
            terminal::check(&self.fold, write, &mut found);
            pause::check(&self.fold, write, &mut found);
            self.fold.apply(write);
            if let Write::PutDriver(record) = write {
                *self.puts.entry(record.uid).or_default() += 1;
            }
        }
        order::check(&self.fold, group, &mut found);
        found
    }
}
