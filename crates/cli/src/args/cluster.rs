//! The arguments of `cluster` and `backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ShowArgs;

/// What to do with the cluster as a whole.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a command it is shown: who leads, with its epoch and the store's generation; the masters in the order in which they would lead; how far the recovery of a \
new leader has come; notices to the operator; and what is quarantined."
)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ClusterCommand>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// What to do with the cluster as a whole.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Have the leader hand over to the next master in standby order, without a gap. Refused when
    /// no other master stands by.
    StepDown {
        /// Id under which asking again is safe; made when left out.
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
    },
}

/// Where the backup goes.
#[derive(Debug, Args)]
#[command(after_help = "\
The file holds everything that is durable, as of one commit, secrets included: it is made for its owner alone (mode 0600). It appears under its name when it is \
whole; a backup that breaks off leaves nothing. `muster-master restore FILE --store STORE` reads it back, into an empty store.

Examples:
  muster backup cluster.backup
  muster backup - | age -r RECIPIENT > cluster.backup.age")]
pub(crate) struct BackupArgs {
    /// File to write; - for standard output.
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Replace the file when there is one.
    #[arg(long)]
    pub(crate) force: bool,
}
