//! Exit codes: one table, which `--help` repeats.

use std::process::ExitCode;

/// What the process exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExitStatus(pub(crate) u8);

impl ExitStatus {
    /// Done.
    pub(crate) const OK: ExitStatus = ExitStatus(0);
    /// Failed, and nothing was done.
    pub(crate) const FAILED: ExitStatus = ExitStatus(1);
    /// Wrong usage.
    pub(crate) const USAGE: ExitStatus = ExitStatus(2);
    /// A time limit passed first.
    pub(crate) const TIMED_OUT: ExitStatus = ExitStatus(124);
    /// Muster itself failed, or the outcome is unknown.
    pub(crate) const PLATFORM: ExitStatus = ExitStatus(125);
    /// The driver's program cannot be run.
    pub(crate) const CANNOT_RUN: ExitStatus = ExitStatus(126);
    /// The driver's program is not found.
    pub(crate) const NOT_FOUND: ExitStatus = ExitStatus(127);
    /// Interrupted from the terminal: 128 + SIGINT.
    pub(crate) const INTERRUPTED: ExitStatus = ExitStatus(130);

    /// The code that a shell gives to a process that a signal ended.
    pub(crate) fn signal(number: i32) -> ExitStatus {
        u8::try_from(128 + number).map_or(ExitStatus::PLATFORM, ExitStatus)
    }

    /// A program's own code. Only its lowest byte counts, as in the kernel.
    pub(crate) fn program(code: i32) -> ExitStatus {
        ExitStatus((code & 0xff) as u8)
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(exit: ExitStatus) -> ExitCode {
        ExitCode::from(exit.0)
    }
}
