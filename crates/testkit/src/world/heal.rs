//! The end of the faults: everything that was acknowledged must come to its end, and nothing may be
//! left.

use std::time::Duration;

use muster_core::Request;
use muster_types::{ApplicationState, DriverUid};

use super::World;

/// True time within which everything ends: leases, waits, back-offs and the longest runs, several
/// times over.
const PATIENCE: Duration = Duration::from_secs(900);

impl World {
    pub(super) fn heal(&mut self) {
        self.note(|| "heal".to_owned());
        self.calm = true;
        self.network.heal();
        // Stopped processes go on in their time, so the order of messages is never broken.
        for master in &mut self.masters {
            (master.dies_after, master.stops_next) = (None, None);
        }
        for machine in &mut self.workers {
            machine.agent_stops_next = None;
            (machine.agent_dies_next, machine.welcome_dawdles) = (false, false);
            (machine.cut_off_next_accept, machine.prepares_until_back) = (false, None);
        }
        for worker in std::mem::take(&mut self.clients.gone) {
            self.operator(Request::Forget { worker: worker.to_string(), request: None });
        }
        self.kill_what_lasts();
        let end = self.now + PATIENCE;
        let mut asked = self.now;
        while self.now < end && self.is_sound() {
            if self.step().is_none() {
                break;
            }
            if self.now.since(asked) > Duration::from_secs(20) {
                asked = self.now;
                if self.is_over() {
                    return;
                }
                self.kill_what_lasts();
            }
        }
        if self.is_sound() {
            self.say_what_lasts();
        }
    }

    /// Kills what would last. Half of the drivers are left to end by themselves, unless they never
    /// would.
    fn kill_what_lasts(&mut self) {
        use muster_types::RestartCondition;
        let fold = &self.store.ledger.fold;
        let lasting: Vec<DriverUid> = fold
            .drivers
            .values()
            .filter(|record| !record.state.is_terminal())
            .filter(|record| record.spec.restart.condition == RestartCondition::Always || record.uid.0 % 2 == 0)
            .map(|record| record.uid)
            .collect();
        let applications: Vec<String> = fold
            .applications
            .values()
            .filter(|record| !record.state.is_terminal() && record.state != ApplicationState::Ending)
            .map(|record| record.uid.to_string())
            .collect();
        for uid in lasting {
            self.kill_driver(uid);
        }
        for application in applications {
            self.operator(Request::KillApplication { application, request: None });
        }
    }

    fn is_over(&self) -> bool {
        let fold = &self.store.ledger.fold;
        fold.drivers.values().all(|record| record.state.is_terminal())
            && fold.applications.values().all(|record| record.state.is_terminal())
            && self.clients.intents.iter().all(|intent| intent.answered)
            && self.workers.iter().all(|machine| {
                machine.trees.values().all(|tree| !tree.is_there())
                    && machine.runner.as_ref().is_some_and(|runner| runner.attempts.is_empty())
            })
    }

    fn say_what_lasts(&mut self) {
        let fold = &self.store.ledger.fold;
        let mut left: Vec<String> = Vec::new();
        left.extend(
            fold.drivers
                .values()
                .filter(|r| !r.state.is_terminal())
                .map(|r| format!("driver {} is {:?}: {:?}", r.uid, r.state, r.attempts)),
        );
        left.extend(
            fold.applications
                .values()
                .filter(|r| !r.state.is_terminal())
                .map(|r| format!("application {} is {:?}", r.uid, r.state)),
        );
        left.extend(
            self.clients.intents.iter().filter(|w| !w.answered).map(|w| format!("not answered: {:?}", w.request)),
        );
        for machine in &self.workers {
            let journal = machine.runner.iter().flat_map(|runner| runner.attempts.values());
            left.extend(
                journal.map(|attempt| format!("{}: {:?} {:?}", machine.name, attempt.accepted.attempt, attempt.stage)),
            );
        }
        if !left.is_empty() {
            self.violate("everything ends", left.join("\n"));
        }
    }
}
