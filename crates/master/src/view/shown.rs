//! Names, states and claims of the records in name tables.

use muster_core::{ApplicationView, DriverView, WorkerView};
use muster_types::{ApplicationId, DriverId, WallTime, WorkerName, WorkerState};

use super::table::Named;

impl Named for DriverView {
    type Name = DriverId;

    fn name(&self) -> DriverId {
        self.record.id.clone()
    }

    fn uid(&self) -> u128 {
        self.record.uid.0
    }

    fn state(&self) -> &'static str {
        self.record.state.as_str()
    }

    fn claim(&self) -> (bool, WallTime) {
        (!self.record.state.is_terminal(), self.record.created)
    }
}

impl Named for ApplicationView {
    type Name = ApplicationId;

    fn name(&self) -> ApplicationId {
        self.record.id.clone()
    }

    fn uid(&self) -> u128 {
        self.record.uid.0
    }

    fn state(&self) -> &'static str {
        self.record.state.as_str()
    }

    fn claim(&self) -> (bool, WallTime) {
        (!self.record.state.is_terminal(), self.record.created)
    }
}

impl Named for WorkerView {
    type Name = WorkerName;

    fn name(&self) -> WorkerName {
        self.record.name.clone()
    }

    fn uid(&self) -> u128 {
        self.record.uid.0
    }

    fn state(&self) -> &'static str {
        self.state.as_str()
    }

    fn claim(&self) -> (bool, WallTime) {
        (!matches!(self.state, WorkerState::Lost | WorkerState::Forgotten), self.record.created)
    }
}
