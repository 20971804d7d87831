//! The arguments of the commands that show something: `get`, `list`, `logs`, `events`, `cluster`.

use clap::{Args, Subcommand, ValueEnum};
use muster_units::ByteSize;

use super::{applications, drivers, drivers_and_applications, executors, workers};
use crate::parse::{Pair, ProcessArg};

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For people with wide terminals: more columns.
    Wide,
    /// For programs: the wire's own JSON (proto3 JSON: lowerCamelCase names, 64-bit numbers as
    /// strings, fields at their default left out).
    Json,
    /// Ids only, one per line.
    Name,
}

/// How to print.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ShowArgs {
    /// How to print.
    #[arg(long, short = 'o', value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// What to show in full.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(subcommand)]
    pub(crate) kind: GetKind,
}

/// One thing.
#[derive(Debug, Subcommand)]
pub(crate) enum GetKind {
    /// A driver: its state, every attempt with worker, exit code and times, and why it waits.
    #[command(alias = "drivers")]
    Driver {
        /// Name or uid of the driver.
        #[arg(add = drivers())]
        id: String,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// An application: its profiles with targets, and its executors.
    #[command(alias = "applications", visible_alias = "app")]
    Application {
        /// Name or uid of the application.
        #[arg(add = applications())]
        id: String,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// An executor.
    #[command(alias = "executors")]
    Executor {
        /// The executor, as APPLICATION/NUMBER.
        #[arg(value_name = "APPLICATION/NUMBER", add = executors())]
        id: ProcessArg,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// A worker: what its machine has and lets it do, and what runs there.
    #[command(alias = "workers")]
    Worker {
        /// Name or uid of the worker.
        #[arg(add = workers())]
        id: String,
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// What to list.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster list drivers --state running --label team=search
  muster list executors --application wordcount -o wide
  muster list drivers -o json | jq -r '.drivers[].driverId'")]
pub(crate) struct ListArgs {
    /// What to list.
    #[arg(value_enum)]
    pub(crate) kind: ListKind,
    /// Only those in this state, such as running.
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// Only those on this worker.
    #[arg(long, value_name = "WORKER", add = workers())]
    pub(crate) worker: Option<String>,
    /// Only those with this label. May be given again; all must hold.
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Pair>,
    /// Only executors of this application.
    #[arg(long, value_name = "ID", add = applications())]
    pub(crate) application: Option<String>,
    /// Filter as the wire has it: state=, worker= and labels.KEY= joined by AND.
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Print no more than this many; all when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// A kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListKind {
    /// Drivers.
    #[value(alias = "driver")]
    Drivers,
    /// Applications.
    #[value(aliases = ["application", "apps", "app"])]
    Applications,
    /// Executors.
    #[value(alias = "executor")]
    Executors,
    /// Workers.
    #[value(alias = "worker")]
    Workers,
}

/// Which log.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster logs nightly              # standard output of the newest attempt
  muster logs -f --both nightly    # both outputs as they come, through restarts, until it has ended
  muster logs nightly/1 --stderr   # standard error of the first attempt
  muster logs wordcount-1/3        # executor 3 of the application wordcount-1

Logs are bounded: what is gone at the head is skipped, and said so on standard error.")]
pub(crate) struct LogsArgs {
    /// DRIVER, DRIVER/ATTEMPT, or APPLICATION/EXECUTOR for an executor.
    #[arg(value_name = "ID[/NUMBER]", add = drivers_and_applications())]
    pub(crate) target: ProcessArg,
    /// Go on as output comes, until it has ended; with a driver's name alone, through its restarts.
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Standard error instead of standard output.
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Both, each to its own: standard output to standard output, standard error to standard error.
    #[arg(long, conflicts_with = "stderr")]
    pub(crate) both: bool,
    /// Only the last lines.
    #[arg(long, short = 'n', value_name = "LINES")]
    pub(crate) tail: Option<u32>,
    /// Only the last bytes, such as 64K.
    #[arg(long, value_name = "SIZE", conflicts_with = "tail")]
    pub(crate) tail_bytes: Option<ByteSize>,
}

/// Which events.
#[derive(Debug, Args)]
#[command(after_help = "\
Without -f, what is kept is printed (events are kept for an hour). With -f, what happens from now on; with both -f and --since-oldest, first what is kept.
With -o json one event per line is printed, each with the token from which to go on (--since).")]
pub(crate) struct EventsArgs {
    /// Go on as events come.
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Begin with the oldest that is kept.
    #[arg(long)]
    pub(crate) since_oldest: bool,
    /// Begin after the event with this token (resumeToken of -o json).
    #[arg(long, value_name = "TOKEN", conflicts_with = "since_oldest")]
    pub(crate) since: Option<String>,
    /// Only of this driver. May be given again; together with --application and --worker: any of
    /// them.
    #[arg(long = "driver", value_name = "ID", add = drivers())]
    pub(crate) drivers: Vec<String>,
    /// Only of this application and its executors. May be given again.
    #[arg(long = "application", value_name = "ID", add = applications())]
    pub(crate) applications: Vec<String>,
    /// Only of this worker. May be given again.
    #[arg(long = "worker", value_name = "WORKER", add = workers())]
    pub(crate) workers: Vec<String>,
    /// How to print.
    #[arg(long, short = 'o', value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
}
