//! Flags, and the file with the same names.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;

/// The end of `--help`.
fn after_help() -> String {
    let signals = "Signals: TERM and INT end this agent, and what it runs goes on; HUP is ignored. As process 1 of a\n\
                   container TERM and INT end what runs as well, with its grace.";
    format!("{}\n{signals}", muster_units::HELP)
}

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "muster-worker", version, about = "Runs the processes of a Muster cluster on this machine")]
#[command(args_conflicts_with_subcommands = true, after_help = after_help())]
pub struct CommandLine {
    /// Another action than to serve.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Options of serving.
    #[command(flatten)]
    pub settings: WorkerSettings,
    /// TOML file; its keys are the flags' names with `_`. Flags and environment come before it.
    #[arg(long, env = "MUSTER_WORKER_CONFIG", value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// Another action than to serve.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// End the runner of a state directory and all that it runs.
    Stop(StopArgs),
}

/// Options of `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// State directory.
    #[arg(long, env = "MUSTER_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
}

/// Everything that flags, environment and file may say.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Addresses of masters, host:port, separated by commas [default: 127.0.0.1:7077].
    #[arg(long, env = "MUSTER_MASTER", value_name = "HOST:PORT,…")]
    pub master: Option<String>,
    /// State directory: identity, journal, logs. One worker each [default: /var/lib/muster/worker].
    #[arg(long, env = "MUSTER_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Name of this worker, unique in the cluster [default: the host's name].
    #[arg(long, env = "MUSTER_WORKER_NAME")]
    pub name: Option<String>,
    /// Where its gRPC service listens [default: 127.0.0.1:0].
    #[arg(long, env = "MUSTER_WORKER_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Allow to listen beyond this machine: there are no credentials yet.
    #[arg(long, env = "MUSTER_WORKER_INSECURE_LISTEN", num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    pub insecure_listen: Option<bool>,
    /// The address of its service that others are told [default: host and port it listens on].
    #[arg(long, env = "MUSTER_WORKER_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Reachable name of this machine [default: the address it listens on, or the host's name].
    #[arg(long, env = "MUSTER_WORKER_HOST")]
    pub host: Option<String>,
    /// Cores on offer [default: all].
    #[arg(long, env = "MUSTER_WORKER_CORES")]
    pub cores: Option<u32>,
    /// Memory on offer, such as 512M or 2GiB [default: all but 1 GiB, at least 1 GiB].
    #[arg(long, env = "MUSTER_WORKER_MEMORY", value_name = "BYTES")]
    pub memory: Option<String>,
    /// A label; may be repeated. Environment: MUSTER_WORKER_LABEL, separated by semicolons.
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// A custom resource with its addresses, such as gpu=0,1; may be repeated. Environment:
    /// MUSTER_WORKER_RESOURCE, separated by semicolons.
    #[arg(long, value_name = "NAME=ADDRESS,…")]
    pub resource: Vec<String>,
    /// A script that prints {"name":"gpu","addresses":["0","1"]}; may be repeated. Environment:
    /// MUSTER_WORKER_RESOURCE_SCRIPT.
    #[arg(long, value_name = "NAME=PATH")]
    pub resource_script: Vec<String>,
    /// A variable for {{NAME}} in commands; may be repeated. Environment: MUSTER_WORKER_VARIABLE,
    /// separated by semicolons.
    #[arg(long, value_name = "NAME=VALUE")]
    pub variable: Vec<String>,
    /// Work directories of attempts [default: STATE_DIR/work].
    #[arg(long, env = "MUSTER_WORKER_WORK_DIR", value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Logs of attempts [default: STATE_DIR/logs].
    #[arg(long, env = "MUSTER_WORKER_LOG_DIR", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// The runner's binary [default: muster-runner beside this one].
    #[arg(long, env = "MUSTER_RUNNER", value_name = "PATH")]
    pub runner: Option<PathBuf>,
    /// A further argument for a runner that is started; may be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub runner_arg: Vec<String>,
    /// Do not start where a kill cannot be sure to end a whole tree.
    #[arg(long, env = "MUSTER_WORKER_REQUIRE_CONTAINMENT", num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    pub require_containment: Option<bool>,
    /// Enforce limits of memory and CPU where the machine lets it: on or off [default: on].
    #[arg(long, env = "MUSTER_WORKER_LIMITS", value_name = "on|off")]
    pub limits: Option<String>,
    /// Leased work is frozen at its lease's end where the machine has a freezer; what no leader
    /// confirms for this long is killed, and 0 kills at the lease's end. Whole seconds, for a
    /// runner that is started [default: 10m].
    #[arg(long, env = "MUSTER_WORKER_FENCE_KILL_AFTER", value_name = "TIME")]
    pub fence_kill_after: Option<String>,
    /// As process 1 of a container: how long programs may take to end after this process is told
    /// to (TERM), each at most by its own grace, before they are killed [default: 25s].
    #[arg(long, env = "MUSTER_WORKER_STOP_GRACE", value_name = "TIME")]
    pub stop_grace: Option<String>,
    /// Time between two passes of cleaning up [default: 30m].
    #[arg(long, env = "MUSTER_WORKER_CLEANUP_INTERVAL", value_name = "TIME")]
    pub cleanup_interval: Option<String>,
    /// Age at which work directories of ended attempts are removed [default: 7d].
    #[arg(long, env = "MUSTER_WORKER_CLEANUP_AGE", value_name = "TIME")]
    pub cleanup_age: Option<String>,
    /// Age at which logs of ended attempts are removed [default: 7d].
    #[arg(long, env = "MUSTER_WORKER_LOG_KEEP", value_name = "TIME")]
    pub log_keep: Option<String>,
    /// Bytes of logs of ended attempts above which the oldest are removed [default: 10GiB].
    #[arg(long, env = "MUSTER_WORKER_LOG_KEEP_SIZE", value_name = "SIZE")]
    pub log_keep_size: Option<String>,
    /// Bytes of cached artifacts above which those used longest ago are removed [default: 10GiB].
    #[arg(long, env = "MUSTER_WORKER_CACHE_KEEP_SIZE", value_name = "SIZE")]
    pub cache_keep_size: Option<String>,
    /// Join another cluster than the one joined before. Nothing is killed.
    #[arg(long, env = "MUSTER_WORKER_REJOIN", num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    pub rejoin: Option<bool>,
    /// Write host:port of the service here once registered.
    #[arg(long, env = "MUSTER_WORKER_ADDRESS_FILE", value_name = "PATH")]
    pub address_file: Option<PathBuf>,
    /// What to log, such as info or muster_worker=debug [default: info].
    #[arg(long, env = "MUSTER_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl WorkerSettings {
    /// Fills what is not set from `other`.
    #[must_use]
    pub fn or(self, other: WorkerSettings) -> WorkerSettings {
        fn list(first: Vec<String>, second: Vec<String>) -> Vec<String> {
            if first.is_empty() { second } else { first }
        }
        WorkerSettings {
            master: self.master.or(other.master),
            state_dir: self.state_dir.or(other.state_dir),
            name: self.name.or(other.name),
            listen: self.listen.or(other.listen),
            insecure_listen: self.insecure_listen.or(other.insecure_listen),
            advertise: self.advertise.or(other.advertise),
            host: self.host.or(other.host),
            cores: self.cores.or(other.cores),
            memory: self.memory.or(other.memory),
            label: list(self.label, other.label),
            resource: list(self.resource, other.resource),
            resource_script: list(self.resource_script, other.resource_script),
            variable: list(self.variable, other.variable),
            work_dir: self.work_dir.or(other.work_dir),
            log_dir: self.log_dir.or(other.log_dir),
            runner: self.runner.or(other.runner),
            runner_arg: list(self.runner_arg, other.runner_arg),
            require_containment: self.require_containment.or(other.require_containment),
            limits: self.limits.or(other.limits),
            fence_kill_after: self.fence_kill_after.or(other.fence_kill_after),
            stop_grace: self.stop_grace.or(other.stop_grace),
            cleanup_interval: self.cleanup_interval.or(other.cleanup_interval),
            cleanup_age: self.cleanup_age.or(other.cleanup_age),
            log_keep: self.log_keep.or(other.log_keep),
            log_keep_size: self.log_keep_size.or(other.log_keep_size),
            cache_keep_size: self.cache_keep_size.or(other.cache_keep_size),
            rejoin: self.rejoin.or(other.rejoin),
            address_file: self.address_file.or(other.address_file),
            log: self.log.or(other.log),
        }
    }

    /// The lists that clap cannot take from the environment, since their values hold commas.
    pub fn lists_of_environment() -> WorkerSettings {
        let read = |name: &str| -> Vec<String> {
            std::env::var(name)
                .map(|text| text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
                .unwrap_or_default()
        };
        WorkerSettings {
            label: read("MUSTER_WORKER_LABEL"),
            resource: read("MUSTER_WORKER_RESOURCE"),
            resource_script: read("MUSTER_WORKER_RESOURCE_SCRIPT"),
            variable: read("MUSTER_WORKER_VARIABLE"),
            ..WorkerSettings::default()
        }
    }
}
