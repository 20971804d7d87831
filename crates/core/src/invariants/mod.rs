//! Invariants that hold after every step, in one small file each: a library for tests and for the
//! simulation.
//!
//! [`check`] examines a core; a [`DurableState`] follows what the core writes and sends, as a store
//! and its readers would.

mod bounds;
mod durable;
mod fold;
mod one_attempt;
mod order;
mod pause;
mod queue;
mod terminal;
mod used_resources;

use std::fmt;

pub use durable::DurableState;
pub use fold::Fold;

use crate::Core;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvariantViolation {
    /// The rule, in a word or two.
    pub rule: &'static str,
    /// A description of what broke it.
    pub what: String,
}

impl fmt::Display for InvariantViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Checks all that is visible in a core at rest: after `place`, and before or after `drain`.
pub fn check(core: &Core) -> Vec<InvariantViolation> {
    let mut found = Vec::new();
    used_resources::check(core, &mut found);
    one_attempt::check(core, &mut found);
    queue::check(core, &mut found);
    found
}

fn violate(found: &mut Vec<InvariantViolation>, rule: &'static str, what: impl Into<String>) {
    found.push(InvariantViolation { rule, what: what.into() });
}
