//! `muster submit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use muster_units::{ByteSize, TimeSpan};

use super::Format;
use crate::parse::{ArtifactRef, Count, Pair, SecretSource};

const AFTER_HELP: &str = "\
Examples:
  muster submit --wait -- /bin/sh -c 'echo hello; exit 3'
  muster submit --id nightly --cores 2 --memory 4G --restart on-failure -- ./job --date today
  muster submit --secret-env DB_PASSWORD --env-file prod.env --artifact https://host/job#sha256=…\\&executable -- ./job

Without --wait the driver's id is printed and nothing else. With --wait its output is followed (standard output to standard output, standard error to \
standard error) and the exit code is the driver's own; 128 + n when signal n ended it; 126 and 127 when its program cannot be run or is not found; 124 when \
--timeout passed first (the driver goes on); 125 when Muster could not run it to its end, when the command line is wrong or the master refuses it, or the outcome is unknown. The id is printed first, on standard \
error. Ctrl-C while waiting leaves the driver running.";

/// What to run and how.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SubmitArgs {
    /// Name of the driver: lower-case letters, digits and -, at most 63, and not in
    /// the form of a uid. Made up when left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) id: Option<String>,

    /// Cores it may use. Default 1.
    #[arg(long, value_name = "N", help_heading = "Resources", value_parser = some_cores)]
    pub(crate) cores: Option<u32>,
    /// Memory it may use, such as 256M or 2GiB (powers of 1024). What it takes beyond ends it.
    /// Default 512M.
    #[arg(long, value_name = "SIZE", help_heading = "Resources")]
    pub(crate) memory: Option<ByteSize>,
    /// Custom resource, such as gpu=1. May be given again.
    #[arg(long = "resource", value_name = "NAME=COUNT", help_heading = "Resources")]
    pub(crate) resources: Vec<Count>,
    /// Only workers that carry this label. May be given again; all must hold.
    #[arg(long = "selector", value_name = "KEY=VALUE", help_heading = "Resources")]
    pub(crate) selectors: Vec<Pair>,

    /// Environment variable. May be given again. {{VARIABLES}} such as {{WORK_DIR}} are substituted
    /// by the worker.
    #[arg(long = "env", short = 'e', value_name = "KEY=VALUE", help_heading = "Program")]
    pub(crate) env: Vec<Pair>,
    /// File of KEY=VALUE lines, taken as they stand; # begins a comment line. --env wins over it.
    /// May be given again.
    #[arg(long = "env-file", value_name = "FILE", help_heading = "Program", value_hint = clap::ValueHint::FilePath)]
    pub(crate) env_files: Vec<PathBuf>,
    /// Environment variable whose value never comes back in any answer, event or log. KEY alone
    /// takes the value from your own environment, and so keeps it out of the shell's history. May
    /// be given again.
    #[arg(long = "secret-env", value_name = "KEY[=VALUE]", help_heading = "Program")]
    pub(crate) secret_env: Vec<SecretSource>,
    /// File that the worker fetches into the work directory first: file:, http: or https:, or a
    /// path on the workers' machines. After # may stand sha256=HEX, name=FILE and executable,
    /// joined by &. May be given again.
    #[arg(long = "artifact", value_name = "URI[#sha256=HEX]", help_heading = "Program")]
    pub(crate) artifacts: Vec<ArtifactRef>,
    /// Work directory: an absolute path that exists on the worker; it may begin with a
    /// {{VARIABLE}}. A fresh one for each attempt when left out.
    #[arg(long, value_name = "PATH", help_heading = "Program")]
    pub(crate) work_dir: Option<String>,
    /// The account to run as on the worker: one of those that its --run-as maps you to. The first
    /// of them when left out.
    #[arg(long, value_name = "ACCOUNT", help_heading = "Program")]
    pub(crate) run_as: Option<String>,
    /// How much of each output file is kept, such as 64M (the default).
    #[arg(long, value_name = "SIZE", help_heading = "Program")]
    pub(crate) log_limit: Option<ByteSize>,

    /// Label, for lists and filters. May be given again.
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Pair>,

    /// When it is run again after its program ended. Default never. What the platform kept from
    /// starting is launched again whatever this says, until 10 launches in a row have failed.
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Restarts")]
    pub(crate) restart: Option<Restart>,
    /// Failures of the program within the window after which it is given up. Default 10.
    #[arg(long, value_name = "N", help_heading = "Restarts", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_attempts: Option<u32>,
    /// The window in which failures are counted. Default 1h.
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) restart_window: Option<TimeSpan>,
    /// First delay before it is run again; doubles with each failure. Default 1s.
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) backoff: Option<TimeSpan>,
    /// Longest delay before it is run again. Default 5m.
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) backoff_max: Option<TimeSpan>,
    /// What happens when its worker falls silent. rerun: it is fenced there when its lease ends,
    /// then run again elsewhere. wait: it goes on there, and is shown UNREACHABLE until the worker
    /// is back or forgotten. Default: wait where --restart is never, else rerun.
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Restarts")]
    pub(crate) on_worker_lost: Option<OnWorkerLost>,
    /// Time between TERM and KILL when it is ended. Default 10s, at most 1h.
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) kill_grace: Option<TimeSpan>,

    /// Follow its output until it has ended, and exit with its code.
    #[arg(long, short = 'w', help_heading = "Waiting")]
    pub(crate) wait: bool,
    /// With --wait: leave the output alone; only wait.
    #[arg(long, alias = "detach-output", requires = "wait", help_heading = "Waiting")]
    pub(crate) no_output: bool,
    /// With --wait: how long to wait. Then exit with 124; the driver goes on.
    #[arg(long, value_name = "TIME", requires = "wait", help_heading = "Waiting")]
    pub(crate) timeout: Option<TimeSpan>,

    /// Asking again with the same id runs nothing twice: a submission that was taken is answered
    /// again, and one that was refused has left no trace. At most 64 of
    /// A-Z a-z 0-9 . _ -. Made up when left out.
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// Only say whether it would be accepted, and why it would wait. Nothing is stored.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) validate_only: bool,
    /// How to print the answer: name prints the id, json the driver as the wire has it.
    #[arg(
        long,
        short = 'o',
        value_enum,
        default_value = "name",
        hide_possible_values = false,
        conflicts_with = "wait"
    )]
    pub(crate) output: Format,

    /// The program and its arguments. A name without / is looked up in the worker's PATH; a
    /// relative path is taken from the work directory.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM [ARGUMENTS]")]
    pub(crate) command: Vec<String>,
}

/// A driver and a worker have at least one core.
pub(super) fn some_cores(text: &str) -> Result<u32, String> {
    match muster_units::whole_cores(text) {
        Ok(0) => Err("at least 1 core".to_owned()),
        Ok(cores) => Ok(cores),
        Err(error) => Err(error.to_string()),
    }
}

/// When a program that ended is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Restart {
    /// Never.
    Never,
    /// When it failed: a non-zero exit code or a signal.
    OnFailure,
    /// Always, until it is killed.
    Always,
}

/// What happens when a worker falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnWorkerLost {
    /// Run again elsewhere once the lease has ended.
    Rerun,
    /// Wait for the worker.
    Wait,
}
