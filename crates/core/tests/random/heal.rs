//! The end of a run: after the last fault, everything must end.

use std::time::Duration;

use muster_core::{CallId, Input, Request};
use muster_types::{ApplicationState, AttemptState, DriverState, KilledBy};

use crate::Run;

impl Run {
    /// Delivers all messages until none is left.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for index in 0..self.machines.len() {
                if !self.machines[index].connected {
                    self.machines[index].dial(self.world.now.time);
                    moved = true;
                }
                while !self.machines[index].up.is_empty() {
                    self.deliver_up(index, None);
                    moved = true;
                }
                while !self.machines[index].down.is_empty() {
                    self.deliver_down(index);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
        panic!("never comes to rest: {:#?}", &self.trace[self.trace.len() - 60..]);
    }

    /// Runs without faults: every driver and application is killed or ends, nothing is left
    /// running, and every journal becomes empty.
    pub(crate) fn heal(&mut self) {
        self.note("heal".to_owned());
        for worker in ["w1", "w2", "w3"] {
            self.call_calmly(Request::Undrain { worker: worker.to_owned(), request: None });
        }
        self.settle();
        let drivers: Vec<_> = self.world.ledger.fold.drivers.keys().map(ToString::to_string).collect();
        // Half of the drivers are left to end by themselves; those that run for ever are killed
        // later.
        for (index, driver) in drivers.into_iter().enumerate() {
            if index % 2 == 0 {
                self.call_calmly(Request::KillDriver { driver, request: None, version: None, by: KilledBy::Operator });
            }
        }
        // Applications that are ending already must end without another request.
        let applications = self.world.ledger.fold.applications.values();
        let lasting = applications.filter(|record| record.state != ApplicationState::Ending);
        for application in lasting.map(|record| record.uid.to_string()).collect::<Vec<_>>() {
            self.call_calmly(Request::KillApplication { application, request: None });
        }
        for round in 0..200 {
            self.settle();
            if round % 20 == 0 {
                self.end_forgotten();
            }
            for index in 0..self.machines.len() {
                for key in self.machines[index].unfinished() {
                    let running = matches!(self.machines[index].journal[&key].state, AttemptState::Running);
                    if running && self.past.forgotten.contains(&key) {
                        continue;
                    }
                    if self.machines[index].advance(key, 0, self.world.now.wall) {
                        assert!(self.started.insert(key), "{key} started twice");
                    } else if running {
                        self.exits.insert(key, 0);
                    }
                }
                self.machines[index].beat(self.world.now.time);
            }
            self.settle();
            self.pass(Duration::from_secs(5));
            if round == 60 {
                let drivers: Vec<_> = self.world.ledger.fold.drivers.keys().map(ToString::to_string).collect();
                for driver in drivers {
                    let by = KilledBy::Operator;
                    self.call_calmly(Request::KillDriver { driver, request: None, version: None, by });
                }
            }
        }
        self.settle();
        self.assert_over();
    }

    pub(crate) fn call_calmly(&mut self, request: Request) {
        self.calls += 1;
        self.note(format!("call {request:?}"));
        self.batch(vec![Input::Call(CallId(self.calls), request)], None);
    }

    pub(crate) fn assert_over(&self) {
        let fold = &self.world.ledger.fold;
        let last = &self.trace[self.trace.len().saturating_sub(40)..];
        for record in fold.drivers.values() {
            assert!(record.state.is_terminal(), "{} is {:?}: {last:#?}", record.id, record.state);
            let puts = self.world.ledger.puts[&record.uid];
            let relaunches = record.attempts.len() > 1 || record.state == DriverState::CrashLoop;
            assert!(
                puts <= 4 || relaunches || self.trace.iter().any(|line| line == "crash" || line.starts_with("cut"))
            );
        }
        for record in fold.applications.values() {
            assert!(record.state.is_terminal(), "{} is {:?}", record.id, record.state);
            assert_ne!(record.state, ApplicationState::Ending);
        }
        for machine in &self.machines {
            assert!(machine.journal.is_empty(), "{}: {:#?}: {last:#?}", machine.name, machine.journal);
        }
    }
}
