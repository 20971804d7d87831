//! Reasons and faults: why an attempt ended, and who is to blame.

use muster_agent::runner_protocol::KillReason;
use muster_types::{Fault, KilledBy, Outcome, Reason};

use crate::spawner::SpawnFailure;
use crate::sys::{CloneFailure, CloneStep};

/// The reason and the fault that are reported for a kill.
pub(super) fn of_kill(reason: KillReason) -> (Reason, Fault) {
    match reason {
        KillReason::By(KilledBy::Application | KilledBy::Operator) => (Reason::Killed, Fault::User),
        KillReason::By(KilledBy::Preemption | KilledBy::Fence) => (Reason::Killed, Fault::Platform),
        KillReason::By(KilledBy::Drain) => (Reason::Drained, Fault::Platform),
        KillReason::By(KilledBy::Lease) => (Reason::LeaseEnded, Fault::Platform),
        KillReason::LogLimit => (Reason::LogLimit, Fault::Program),
    }
}

/// The outcome that is reported for a failed start.
pub(super) fn of_failure(failure: &SpawnFailure) -> Outcome {
    match failure {
        SpawnFailure::Tree(error) => {
            Outcome::without_exit(Fault::Platform, Reason::SpawnFailed, format!("cannot make its cgroup: {error}"))
        }
        SpawnFailure::PrivateTmp(error) => {
            let message = format!("cannot make its directories for temporary files: {error}");
            Outcome::without_exit(Fault::Platform, Reason::SpawnFailed, message)
        }
        SpawnFailure::Text(what) => {
            Outcome::without_exit(Fault::Program, Reason::SpawnFailed, format!("{what} holds a zero byte"))
        }
        SpawnFailure::Child(CloneFailure { step, error }) => of_child(*step, error),
    }
}

fn of_child(step: CloneStep, error: &std::io::Error) -> Outcome {
    let (fault, reason, what) = match step {
        CloneStep::Clone => (Fault::Platform, Reason::SpawnFailed, "cannot make a process"),
        CloneStep::OomScore => (Fault::Platform, Reason::SpawnFailed, "cannot give up its runner's protection"),
        CloneStep::Join => (Fault::Platform, Reason::SpawnFailed, "cannot enter its cgroup"),
        CloneStep::WorkDir => (Fault::Platform, Reason::WorkDirFailed, "cannot enter its work directory"),
        CloneStep::Stdout => (Fault::Platform, Reason::WorkDirFailed, "cannot open its standard output"),
        CloneStep::Stderr => (Fault::Platform, Reason::WorkDirFailed, "cannot open its standard error"),
        CloneStep::Namespaces => (Fault::Platform, Reason::SpawnFailed, "cannot enter its user's namespaces"),
        CloneStep::User => (Fault::Platform, Reason::SpawnFailed, "cannot become its user"),
        CloneStep::Cancelled => (Fault::Platform, Reason::NeverStarted, "was no longer wanted"),
        CloneStep::LeaseOver => (Fault::Platform, Reason::Refused, "its lease ended before it was started"),
        CloneStep::Exec => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => (Fault::Program, Reason::NotFound, "cannot execute its program"),
            Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::ELIBBAD) => {
                (Fault::Program, Reason::NotExecutable, "cannot execute its program")
            }
            _ => (Fault::Platform, Reason::SpawnFailed, "cannot execute its program"),
        },
    };
    let message = match step {
        CloneStep::Cancelled | CloneStep::LeaseOver => what.to_owned(),
        _ => format!("{what}: {error}"),
    };
    Outcome::without_exit(fault, reason, message)
}
