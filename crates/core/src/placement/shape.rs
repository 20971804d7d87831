//! The properties that decide where a waiting driver or executor fits.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::Resources;

/// What a driver or executor needs of a worker. Drivers or executors of equal shape fit on the same
/// workers, so they wait in one group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// The resources of one of them. For executors, `cores == 0` means all free cores of the
    /// worker, at least one.
    pub resources: Resources,
    /// Labels that the worker must carry.
    pub selector: BTreeMap<String, String>,
    /// Names of the worker-defined variables that are used.
    pub variables: BTreeSet<String>,
    /// Hosts on which nothing is placed.
    pub excluded_hosts: BTreeSet<String>,
    /// Whether the worker fences it when its lease ends. Where the policy requires it, such work is
    /// not placed on workers that cannot end a process tree whole.
    pub leased: bool,
    /// Who submitted it, since a worker may have no user left for an owner.
    pub owner: Option<Arc<str>>,
}

impl Shape {
    /// A shape that needs resources and nothing else.
    pub fn new(resources: Resources) -> Shape {
        Shape { resources, ..Shape::default() }
    }

    /// Amounts that a worker must have free for one executor.
    pub(super) fn least(&self) -> Resources {
        Resources { cores: self.resources.cores.max(1), ..self.resources.clone() }
    }

    fn key(&self) -> impl Ord + '_ {
        // Cores come first: a queue skips the shapes that ask for more cores than any risen worker
        // has.
        (
            self.resources.cores,
            self.resources.memory,
            &self.resources.custom,
            &self.selector,
            &self.variables,
            &self.excluded_hosts,
            self.leased,
            &self.owner,
        )
    }
}

impl Ord for Shape {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Shape {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
