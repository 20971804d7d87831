//! Exit codes: one table, which `--help` repeats.

use std::process::ExitCode;

/// What the process exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// Done.
    pub(crate) const OK: Exit = Exit(0);
    /// Failed, and nothing was done.
    pub(crate) const FAILED: Exit = Exit(1);
    /// Wrong usage.
    pub(crate) const USAGE: Exit = Exit(2);
    /// A time passed first.
    pub(crate) const TIMED_OUT: Exit = Exit(124);
    /// Muster's doing, or the outcome is unknown.
    pub(crate) const PLATFORM: Exit = Exit(125);
    /// The driver's program cannot be run.
    pub(crate) const CANNOT_RUN: Exit = Exit(126);
    /// The driver's program is not found.
    pub(crate) const NOT_FOUND: Exit = Exit(127);
    /// Interrupted from the terminal: 128 + SIGINT.
    pub(crate) const INTERRUPTED: Exit = Exit(130);

    /// As a shell says that a signal ended something.
    pub(crate) fn signal(number: i32) -> Exit {
        u8::try_from(128 + number).map_or(Exit::PLATFORM, Exit)
    }

    /// A program's own code; what does not fit a byte is cut as the kernel cuts it.
    pub(crate) fn program(code: i32) -> Exit {
        Exit((code & 0xff) as u8)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.0)
    }
}
