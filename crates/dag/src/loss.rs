//! Why an executor is gone, and whether its tasks are to blame.

use std::fmt;

/// The exit code of an executor that cannot make its directory: no fault of a task.
pub const EXIT_NO_DIRECTORY: i32 = 53;
/// The exit code of an executor that cannot reach its driver: no fault of a task.
pub const EXIT_NO_HEARTBEAT: i32 = 56;

/// Why an executor is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorLoss {
    /// Its process ended, and the master has said how: the exit code, or 128 and the signal.
    Exited {
        /// The code.
        code: i32,
    },
    /// Its process is gone, and nobody has said how.
    ProcessLost,
    /// Its worker is lost, or took it back: a lease that ended, an operator.
    WorkerLost,
    /// The driver asked for its end.
    Killed,
    /// It was taken out of service.
    Decommissioned,
    /// It sent no heartbeat for too long.
    HeartbeatTimeout,
}

impl ExecutorLoss {
    /// Whether this counts as a failure of the tasks that had started there. A loss that the
    /// program did not cause never does, so that no job fails for what happens to machines.
    pub fn counts(self) -> bool {
        match self {
            ExecutorLoss::Exited { code } => code != EXIT_NO_DIRECTORY && code != EXIT_NO_HEARTBEAT,
            ExecutorLoss::ProcessLost | ExecutorLoss::HeartbeatTimeout => true,
            ExecutorLoss::WorkerLost | ExecutorLoss::Killed | ExecutorLoss::Decommissioned => false,
        }
    }
}

impl fmt::Display for ExecutorLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecutorLoss::Exited { code } => write!(f, "its process ended with {code}"),
            ExecutorLoss::ProcessLost => f.write_str("its process is gone"),
            ExecutorLoss::WorkerLost => f.write_str("its worker is lost"),
            ExecutorLoss::Killed => f.write_str("the driver ended it"),
            ExecutorLoss::Decommissioned => f.write_str("it was decommissioned"),
            ExecutorLoss::HeartbeatTimeout => f.write_str("it sent no heartbeat"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_caused_counts() {
        let table = [
            (ExecutorLoss::Exited { code: 1 }, true),
            (ExecutorLoss::Exited { code: 0 }, true),
            (ExecutorLoss::Exited { code: 137 }, true),
            (ExecutorLoss::Exited { code: 53 }, false),
            (ExecutorLoss::Exited { code: 56 }, false),
            (ExecutorLoss::ProcessLost, true),
            (ExecutorLoss::WorkerLost, false),
            (ExecutorLoss::Killed, false),
            (ExecutorLoss::Decommissioned, false),
            (ExecutorLoss::HeartbeatTimeout, true),
        ];
        for (loss, counts) in table {
            assert_eq!(loss.counts(), counts, "{loss}");
        }
    }
}
