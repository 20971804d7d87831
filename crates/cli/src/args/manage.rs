//! The arguments of the commands that change something: `kill`, `drain`, `undrain`, `worker`.

use clap::{Args, Subcommand};
use muster_units::TimeSpan;

use super::{live_drivers_and_applications, workers};
use crate::parse::ProcessArg;

/// What to end.
#[derive(Debug, Args)]
#[command(after_help = "\
An id is looked for among the drivers, then among the applications. The program gets TERM, and after its grace its whole tree gets KILL; KILLED means that \
nothing is left of it. A driver that had ended before is shown as it ended. Killing a driver ends its applications, too.

Exit codes: 0 ended, or had ended; 124 when --timeout passed first (the kill goes on).")]
pub(crate) struct KillArgs {
    /// Names or uids of drivers or applications.
    #[arg(required = true, value_name = "ID", add = live_drivers_and_applications())]
    pub(crate) ids: Vec<String>,
    /// Look among drivers only.
    #[arg(long, conflicts_with = "application")]
    pub(crate) driver: bool,
    /// Look among applications only.
    #[arg(long)]
    pub(crate) application: bool,
    /// How long to wait for the end.
    #[arg(long, value_name = "TIME", default_value = "30s", conflicts_with = "no_wait")]
    pub(crate) timeout: TimeSpan,
    /// Do not wait; only ask for the end.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// One worker, or all of a machine.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WorkerTarget {
    /// Name or uid of the worker.
    #[arg(add = workers())]
    pub(crate) worker: Option<String>,
    /// All workers of this machine that are not FORGOTTEN, by the host that `muster list workers -o
    /// wide` shows. A LOST one may come back, and is changed too.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// This machine's worker, for hooks of its container. Without a token it is asked for by the
    /// certificate in the worker's state directory (MUSTER_STATE_DIR, by default
    /// /var/lib/muster/worker), else MUSTER_WORKER_NAME names it. If no such worker has joined,
    /// there is nothing to do.
    #[arg(long)]
    pub(crate) this_worker: bool,
}

/// Which worker to empty.
#[derive(Debug, Args)]
#[command(after_help = "\
A worker that drains gets no new work. What runs there runs on to its own end, unless a deadline is given: what still runs then is ended, and run again \
elsewhere where its policy allows a restart. `muster undrain` undoes it.")]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) target: WorkerTarget,
    /// Wait until nothing runs there any more.
    #[arg(long)]
    pub(crate) wait: bool,
    /// After this, what still runs there is ended.
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<TimeSpan>,
    /// With --wait: how long to wait. Then exit with 124; the drain stands.
    #[arg(long, value_name = "TIME", requires = "wait")]
    pub(crate) timeout: Option<TimeSpan>,
}

/// Which worker gets work again.
#[derive(Debug, Args)]
pub(crate) struct UndrainArgs {
    #[command(flatten)]
    pub(crate) target: WorkerTarget,
}

/// What to do with a worker.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(subcommand)]
    pub(crate) command: WorkerSubcommand,
}

/// What to do with a worker.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkerSubcommand {
    /// Declare a worker gone for ever. What was unreachable on it ends as LOST, and it is refused
    /// from now on. Say this only of a machine that is surely off: what still runs there would be a
    /// second copy. Refused while the worker is alive.
    Forget {
        /// Name or uid of the worker.
        #[arg(add = workers())]
        worker: String,
    },
    /// Take a worker's key from it, such as when its machine was broken into. Its stream ends, and
    /// it is refused from now on. What runs there is not ended: the worker is lost past the worker
    /// timeout, as if it were cut off, and what was leased to it runs again elsewhere.
    Revoke {
        /// Name or uid of the worker.
        #[arg(add = workers())]
        worker: String,
    },
    /// Declare that nothing of one attempt is left: of one that stays UNREACHABLE because its
    /// worker came back without it and cannot prove its end, as without cgroups. It is LOST with
    /// the reason FORGOTTEN, and its driver or application goes on. Say this only after a look at
    /// the machine: what still runs there would be a second copy. Refused while the worker has it.
    ForgetAttempt {
        /// DRIVER/ATTEMPT or APPLICATION/EXECUTOR, such as job-1/2.
        #[arg(add = live_drivers_and_applications())]
        attempt: ProcessArg,
    },
    /// End an attempt that the store does not name. After the store was restored from an earlier
    /// time, what runs and no record names is left running and shown by `muster get worker`: nobody
    /// but you can say whether it is still wanted. To end a driver with all its copies, kill the
    /// driver.
    EndQuarantined {
        /// Name or uid of the worker that runs it.
        #[arg(add = workers())]
        worker: String,
        /// The attempt, as `muster get worker` shows it: d-UID-NUMBER or e-UID-NUMBER.
        attempt: String,
    },
}
