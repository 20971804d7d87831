//! Reasons: whose doing an end was.

use muster_agent::runner_protocol::Why;
use muster_types::{Fault, KilledBy, Outcome, Reason};

use crate::spawner::SpawnFailure;
use crate::sys::{Failure, Step};

/// What a kill's cause is reported as.
pub(super) fn of_kill(why: Why) -> (Reason, Fault) {
    match why {
        Why::By(KilledBy::Application | KilledBy::Operator) => (Reason::Killed, Fault::User),
        Why::By(KilledBy::Preemption | KilledBy::Fence) => (Reason::Killed, Fault::Platform),
        Why::By(KilledBy::Drain) => (Reason::Drained, Fault::Platform),
        Why::By(KilledBy::Lease) => (Reason::LeaseEnded, Fault::Platform),
        Why::LogLimit => (Reason::LogLimit, Fault::Program),
    }
}

/// What a failed start is reported as.
pub(super) fn of_failure(failure: &SpawnFailure) -> Outcome {
    match failure {
        SpawnFailure::Tree(error) => {
            Outcome::without_exit(Fault::Platform, Reason::SpawnFailed, format!("cannot make its cgroup: {error}"))
        }
        SpawnFailure::Text(what) => {
            Outcome::without_exit(Fault::Program, Reason::SpawnFailed, format!("{what} holds a zero byte"))
        }
        SpawnFailure::Child(Failure { step, error }) => of_child(*step, error),
    }
}

fn of_child(step: Step, error: &std::io::Error) -> Outcome {
    let (fault, reason, what) = match step {
        Step::Clone => (Fault::Platform, Reason::SpawnFailed, "cannot make a process"),
        Step::Join => (Fault::Platform, Reason::SpawnFailed, "cannot enter its cgroup"),
        Step::WorkDir => (Fault::Platform, Reason::WorkDirFailed, "cannot enter its work directory"),
        Step::Stdout => (Fault::Platform, Reason::WorkDirFailed, "cannot open its standard output"),
        Step::Stderr => (Fault::Platform, Reason::WorkDirFailed, "cannot open its standard error"),
        Step::Cancelled => (Fault::Platform, Reason::NeverStarted, "was no longer wanted"),
        Step::LeaseOver => (Fault::Platform, Reason::Refused, "its lease ended before it was started"),
        Step::Exec => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => (Fault::Program, Reason::NotFound, "cannot execute its program"),
            Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::ELIBBAD) => {
                (Fault::Program, Reason::NotExecutable, "cannot execute its program")
            }
            _ => (Fault::Platform, Reason::SpawnFailed, "cannot execute its program"),
        },
    };
    let message = match step {
        Step::Cancelled | Step::LeaseOver => what.to_owned(),
        _ => format!("{what}: {error}"),
    };
    Outcome::without_exit(fault, reason, message)
}
