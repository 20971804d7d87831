//! The exit code of `muster submit --wait`.

use muster_client::v1::driver::State;
use muster_client::v1::{Driver, Fault, Outcome};

use crate::exit::ExitStatus;

/// Whether a driver is in a final state.
pub(super) fn has_ended(driver: &Driver) -> bool {
    match driver.state() {
        State::Finished | State::Failed | State::Killed | State::Lost | State::CrashLoop => true,
        State::Unspecified
        | State::Pending
        | State::Launching
        | State::Running
        | State::Killing
        | State::BackingOff
        | State::Unreachable
        | State::Unconfirmed => false,
    }
}

/// SIGKILL, which the kernel sends when a tree exceeds its memory.
const KILL: i32 = 9;

/// The exit code for a driver that has ended.
pub(super) fn exit_of(driver: &Driver) -> ExitStatus {
    let Some(outcome) = &driver.outcome else { return ExitStatus::PLATFORM };
    match (outcome.exit_code, outcome.signal) {
        // The tree was killed for its memory, even if its main process still returned a code.
        (Some(_), _) if outcome.out_of_memory => ExitStatus::signal(KILL),
        (Some(code), _) => ExitStatus::program(code),
        (None, Some(signal)) => ExitStatus::signal(signal),
        (None, None) => never_ran(outcome),
    }
}

fn never_ran(outcome: &Outcome) -> ExitStatus {
    match outcome.reason.as_str() {
        "NOT_FOUND" => ExitStatus::NOT_FOUND,
        "NOT_EXECUTABLE" => ExitStatus::CANNOT_RUN,
        _ => ExitStatus::PLATFORM,
    }
}

/// Whether the exit code alone tells how the driver ended, so that people need no message.
pub(super) fn speaks_for_itself(driver: &Driver) -> bool {
    let Some(outcome) = &driver.outcome else { return false };
    outcome.exit_code.is_some()
        && !outcome.out_of_memory
        && outcome.fault() == Fault::Program
        && matches!(driver.state(), State::Finished | State::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: Outcome) -> Driver {
        Driver { state: State::Failed as i32, outcome: Some(outcome), ..Driver::default() }
    }

    #[test]
    fn codes_are_the_programs_own() {
        let code = |code| exit_of(&ended(Outcome { exit_code: Some(code), ..Outcome::default() }));
        assert_eq!((code(0), code(3), code(255)), (ExitStatus(0), ExitStatus(3), ExitStatus(255)));
        let killed = Outcome { exit_code: Some(0), out_of_memory: true, ..Outcome::default() };
        assert_eq!(exit_of(&ended(killed.clone())), ExitStatus(137));
        assert_eq!(exit_of(&ended(Outcome { exit_code: Some(7), ..killed.clone() })), ExitStatus(137));
        assert!(!speaks_for_itself(&ended(killed)));
        let signal = |signal| exit_of(&ended(Outcome { signal: Some(signal), ..Outcome::default() }));
        assert_eq!((signal(9), signal(15)), (ExitStatus(137), ExitStatus(143)));
    }

    #[test]
    fn what_never_ran_has_the_codes_of_a_shell() {
        let reason = |reason: &str| exit_of(&ended(Outcome { reason: reason.into(), ..Outcome::default() }));
        assert_eq!(reason("NOT_FOUND"), ExitStatus::NOT_FOUND);
        assert_eq!(reason("NOT_EXECUTABLE"), ExitStatus::CANNOT_RUN);
        for word in ["LOST", "ARTIFACT_FAILED", "NEVER_STARTED", "SOMETHING_NEW"] {
            assert_eq!(reason(word), ExitStatus::PLATFORM, "{word}");
        }
        assert_eq!(exit_of(&Driver::default()), ExitStatus::PLATFORM);
    }
}
