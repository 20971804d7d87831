//! What makes two waiting things equal to placement.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use muster_types::Resources;

/// What a driver or executor needs of a worker. Things of equal shape fit on the same workers, so
/// they wait together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// What one of them takes. For executors `cores == 0` means: all the free cores of the worker,
    /// at least one.
    pub resources: Resources,
    /// Labels that the worker must carry.
    pub selector: BTreeMap<String, String>,
    /// Names of the worker-defined variables that are used.
    pub variables: BTreeSet<String>,
    /// Hosts on which nothing is placed.
    pub excluded_hosts: BTreeSet<String>,
    /// Ends with its worker's lease: stays off workers that cannot hold a tree, where the policy
    /// requires it.
    pub leased: bool,
}

impl Shape {
    /// A shape that needs amounts alone.
    pub fn new(resources: Resources) -> Shape {
        Shape { resources, ..Shape::default() }
    }

    /// Amounts that a worker must have free for one executor.
    pub(super) fn least(&self) -> Resources {
        Resources { cores: self.resources.cores.max(1), ..self.resources.clone() }
    }

    fn key(&self) -> impl Ord + '_ {
        // Cores and memory lead: a queue skips the shapes that ask for more cores than any risen
        // worker has.
        (
            self.resources.cores,
            self.resources.memory,
            &self.resources.custom,
            &self.selector,
            &self.variables,
            &self.excluded_hosts,
            self.leased,
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
