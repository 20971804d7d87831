//! The enums that both sides know. A number on the wire that this release does not know has no
//! counterpart here; the caller decides what it assumes.

use muster_types::{
    ApplicationState, DriverState, ExecutorState, Fault, RestartCondition, Role, SessionLostPolicy, WorkerLostPolicy,
    WorkerState,
};

use crate::v1;

/// Converts a wire enum to ours and back; `UNSPECIFIED` has no counterpart.
macro_rules! pairs {
    ($wire:path, $ours:path { $($variant:ident),+ $(,)? }) => {
        impl From<$ours> for $wire {
            fn from(value: $ours) -> Self {
                use $ours as Ours;
                use $wire as Wire;
                match value { $(Ours::$variant => Wire::$variant),+ }
            }
        }

        impl TryFrom<$wire> for $ours {
            type Error = Unspecified;

            fn try_from(value: $wire) -> Result<Self, Unspecified> {
                use $ours as Ours;
                use $wire as Wire;
                match value {
                    Wire::Unspecified => Err(Unspecified),
                    $(Wire::$variant => Ok(Ours::$variant)),+
                }
            }
        }
    };
}

/// The wire value is unspecified, or a number that this release does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unspecified;

pairs!(
    v1::driver::State,
    DriverState {
        Pending,
        Launching,
        Running,
        Killing,
        BackingOff,
        Unreachable,
        Unconfirmed,
        Finished,
        Failed,
        Killed,
        Lost,
        CrashLoop,
    }
);
pairs!(v1::application::State, ApplicationState { Waiting, Running, Disconnected, Ending, Finished, Failed, Killed });
pairs!(v1::executor::State, ExecutorState { Launching, Running, Killing, Unreachable, Exited, Killed, Failed, Lost });
pairs!(v1::worker::State, WorkerState { Alive, Disconnected, Unconfirmed, Lost, Forgotten });
pairs!(v1::Role, Role { Viewer, Submitter, Operator, Admin });
pairs!(v1::Fault, Fault { Program, Platform, User });
pairs!(v1::RestartCondition, RestartCondition { Never, OnFailure, Always });
pairs!(v1::WorkerLostPolicy, WorkerLostPolicy { Rerun, Wait });
pairs!(v1::SessionLostPolicy, SessionLostPolicy { End, Keep });

/// The state of a wire driver; `None` is one that this release does not know: assume that it is not
/// terminal.
pub fn driver_state(driver: &v1::Driver) -> Option<DriverState> {
    driver.state().try_into().ok()
}

/// The state of a wire application; `None` as for drivers.
pub fn application_state(application: &v1::Application) -> Option<ApplicationState> {
    application.state().try_into().ok()
}

/// The state of a wire executor; `None` as for drivers.
pub fn executor_state(executor: &v1::Executor) -> Option<ExecutorState> {
    executor.state().try_into().ok()
}

/// The state of a wire worker; `None` is one that this release does not know: assume that no work
/// is placed.
pub fn worker_state(worker: &v1::Worker) -> Option<WorkerState> {
    worker.state().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_people_are_the_names_of_the_wire() {
        for state in DriverState::ALL {
            assert_eq!(v1::driver::State::from(state).as_str_name(), format!("STATE_{}", state.as_str()));
        }
        for state in ApplicationState::ALL {
            assert_eq!(v1::application::State::from(state).as_str_name(), format!("STATE_{}", state.as_str()));
        }
        for state in ExecutorState::ALL {
            assert_eq!(v1::executor::State::from(state).as_str_name(), format!("STATE_{}", state.as_str()));
        }
        for state in WorkerState::ALL {
            assert_eq!(v1::worker::State::from(state).as_str_name(), format!("STATE_{}", state.as_str()));
        }
    }
}
