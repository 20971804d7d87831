//! The protocol between agent and runner, over the Unix socket in the state directory.
//!
//! Each message is a frame: its length (4 bytes, little endian) and then protobuf. Both sides may
//! put many frames into one write. The agent speaks first, with [`ToRunner::Hello`]; the runner
//! answers with [`ToAgent::Hello`], or with [`ToAgent::Refused`] and the end of the connection.
//! From its hello on, a connection is *the* agent's: the one before it is cut and its unread bytes
//! are void, and every attempt that was accepted and not started is ended as never started. So no
//! command of an older agent can make the inventory untrue that the new connection asks for.
//!
//! Everything that the agent sends is taken in order: commands, renewals of the lease, and the
//! question for the inventory. The agent waits for nothing in between: after its hello is answered
//! it may send at will. The runner pushes one [`ToAgent::Report`] for each change of an attempt;
//! the agent asks for the inventory once, right after the hello.
//!
//! Versions: the runner lives longer than the agent, so an agent of version N speaks to a runner of
//! N−1. A field is only ever added; a number is never used for something else. Version 2 freezes at
//! the lease's end and takes [`ToRunner::Thaw`]. A runner whose agent speaks version 1 kills
//! instead, since that agent could not thaw; a runner of version 1 never reports a frozen attempt.
//! Version 3 starts programs as the user of [`Program::credentials`]; an older runner would start
//! them as itself, so an agent sends it no program that has credentials. Version 4 knows the reason
//! `NO_USER`, in place of which an older runner is given `REFUSED`.

mod convert;
mod frame;
mod message;
mod wire;

#[cfg(test)]
mod tests;

pub use frame::*;
pub use message::*;

/// Newest version of the protocol that this build speaks.
pub const VERSION: u32 = 4;
/// The first version in which the other side knows of frozen attempts.
pub const VERSION_WITH_THAW: u32 = 2;
/// The first version in which a runner starts programs as another user than its own.
pub const VERSION_WITH_CREDENTIALS: u32 = 3;
/// The first version in which the other side knows `NO_USER`.
pub const VERSION_WITH_NO_USER: u32 = 4;
/// Oldest version of the protocol that this build speaks.
pub const VERSION_MIN: u32 = 1;

/// Name of the socket in the state directory.
pub const SOCKET_NAME: &str = "runner.sock";
/// Name of the file in the state directory with the runner's process id, as a decimal number of the
/// outer PID namespace.
pub const PID_FILE_NAME: &str = "runner.pid";
/// Name of the file in the state directory that the runner holds locked while it lives.
pub const LOCK_NAME: &str = "runner.lock";
/// Name of the file in the state directory that a worker which is process 1 of its PID namespace
/// holds locked while it lives. It names the namespace.
pub const PROCESS_ONE_LOCK_NAME: &str = "process-one.lock";
/// Name of the file in the state directory that the agent holds locked while it lives.
pub const AGENT_LOCK_NAME: &str = "agent.lock";
/// Name of the file in the state directory that says which worker it is.
pub const IDENTITY_NAME: &str = "identity";

/// The files by which agent, runner and process 1 know the state directory that they share: any of
/// them may be the first there, and the identity alone may be left of an earlier release's.
pub const STATE_MARKS: &[&str] = &[IDENTITY_NAME, AGENT_LOCK_NAME, LOCK_NAME, PROCESS_ONE_LOCK_NAME];
/// What may lie in a state directory without a mark: what a start that failed has left, the places
/// of other volumes, and what a master keeps that was given the same directory.
pub const STATE_OTHERS: &[&str] =
    &[SOCKET_NAME, PID_FILE_NAME, "work", "logs", "cache", "store", "election", "worker.key", "worker.crt", "ca.crt"];

/// What the journal's records share with the messages.
pub(crate) mod journal_wire {
    pub(crate) use super::convert::{
        accepted_from_wire, accepted_to_wire, attempt_from_wire, attempt_to_wire, outcome_from_wire, outcome_to_wire,
    };
    pub(crate) use super::wire::{Accepted, Attempt, Outcome};
}
