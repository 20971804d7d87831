//! States as words, and their colours.

use muster_client::v1::{application, driver, executor, worker};

use super::screen::style;
use super::table::TableCell;

/// The word of a driver's state: `RUNNING`.
pub(crate) fn driver_state(state: i32) -> String {
    word(driver::State::try_from(state).ok().map(|state| state.as_str_name()), state)
}

/// The word of an application's state.
pub(crate) fn application_state(state: i32) -> String {
    word(application::State::try_from(state).ok().map(|state| state.as_str_name()), state)
}

/// The word of an executor's state.
pub(crate) fn executor_state(state: i32) -> String {
    word(executor::State::try_from(state).ok().map(|state| state.as_str_name()), state)
}

/// The word of a worker's state.
pub(crate) fn worker_state(state: i32) -> String {
    word(worker::State::try_from(state).ok().map(|state| state.as_str_name()), state)
}

/// A number that this version does not know is shown as such.
fn word(name: Option<&'static str>, number: i32) -> String {
    match name {
        Some(name) => name.strip_prefix("STATE_").unwrap_or(name).to_owned(),
        None => format!("STATE-{number}"),
    }
}

/// A state as a cell in its colour; drivers, applications, executors and workers share the words of
/// their states.
pub(crate) fn state_cell(word: &str) -> TableCell {
    let style = match word {
        "RUNNING" | "FINISHED" | "ALIVE" => style::GOOD,
        "PENDING" | "LAUNCHING" | "KILLING" | "BACKING_OFF" | "UNREACHABLE" | "UNCONFIRMED" | "WAITING"
        | "DISCONNECTED" | "ENDING" => style::WARN,
        "FAILED" | "LOST" | "CRASH_LOOP" => style::BAD,
        "KILLED" | "EXITED" | "FORGOTTEN" => style::DIM,
        _ => style::PLAIN,
    };
    TableCell::new(style, word)
}

/// Whether something may still run, or may run later, in this state.
pub(crate) fn is_running(word: &str) -> bool {
    !matches!(word, "FINISHED" | "FAILED" | "KILLED" | "LOST" | "CRASH_LOOP" | "EXITED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_words_even_unknown_ones() {
        assert_eq!(driver_state(driver::State::CrashLoop as i32), "CRASH_LOOP");
        assert_eq!(worker_state(worker::State::Alive as i32), "ALIVE");
        assert_eq!(executor_state(99), "STATE-99");
        assert!(is_running("STATE-99"), "an unknown state is not taken for an end");
    }
}
