//! What executes on a machine fits into it.

use muster_types::Resources;

use super::super::World;

impl World {
    pub(super) fn check_capacity(&mut self) {
        let mut found = Vec::new();
        for machine in &self.workers {
            let Some(runner) = &machine.runner else { continue };
            let mut taken = Resources::default();
            for (key, _) in machine.trees.iter().filter(|(_, tree)| tree.executes()) {
                if let Some(attempt) = runner.attempts.get(key) {
                    taken.add(&attempt.accepted.resources.amounts());
                }
            }
            if !machine.total.amounts().holds(&taken) {
                found.push(format!("{}: {taken:?}", machine.name));
            }
        }
        for what in found {
            self.violate("capacity is respected", what);
        }
    }
}
