//! Flags, each with its variable and its default; the file has the same names.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use ipnet::IpNet;
use muster_config::{ConfigError, LogFormat};
use muster_traces::OtlpFlags;
use muster_types::RequiredContainment;
use muster_units::{ByteSize, TimeSpan};
use tracing_subscriber::filter::Targets;

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
    /// End the runner of a state directory and all that it runs. For a worker whose agent has
    /// ended: it is refused while one runs, and where the worker is process 1 of a container, which
    /// is sent a TERM instead.
    Stop(StopArgs),
    /// Get this worker's certificate, and end: before the worker itself starts, so that the token
    /// is not there while programs run. It waits until a master answers, and needs the token for
    /// a worker that is not known yet, or no longer. Certificates are renewed by the worker itself.
    Join(JoinArgs),
}

/// Options of `join`: those of serving that concern it.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// Addresses of masters, host:port, separated by commas.
    #[arg(long, env = "MUSTER_MASTER", value_name = "HOST:PORT,…", default_value = "127.0.0.1:7077")]
    pub master: String,
    /// File with the cluster's CA, whose masters are trusted.
    #[arg(long, env = "MUSTER_CA_FILE", value_name = "PATH")]
    pub ca: Option<PathBuf>,
    /// File with a token of workers, as `muster token create --worker` prints it. One that begins
    /// with `mstj_` also says whom to trust; any other needs --ca.
    #[arg(long, env = "MUSTER_WORKER_TOKEN_FILE", value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// State directory, in which the key is made and the certificate is kept.
    #[arg(long, env = "MUSTER_STATE_DIR", value_name = "DIR", default_value = "/var/lib/muster/worker")]
    pub state_dir: PathBuf,
}

/// Options of `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// State directory.
    #[arg(long, env = "MUSTER_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
}

/// Everything that flags, environment and file may say.
#[derive(Debug, Args)]
pub struct WorkerSettings {
    /// Addresses of masters, host:port, separated by commas [default: 127.0.0.1:7077].
    #[arg(long, env = "MUSTER_MASTER", value_name = "HOST:PORT,…", default_value = "127.0.0.1:7077")]
    pub master: String,
    /// File with the cluster's CA, whose masters are trusted: connections to them are over TLS.
    /// Programs find it in MUSTER_CA_FILE.
    #[arg(long, env = "MUSTER_CA_FILE", value_name = "PATH")]
    pub ca: Option<PathBuf>,
    /// File with a token of workers, where the masters ask for credentials: `muster token create
    /// --worker` makes one. Over TLS it is good for the first start alone, at which the worker gets
    /// a certificate that it renews by itself. A token that begins with `mstj_` also says whom to
    /// trust; any other needs --ca over a network.
    #[arg(long, env = "MUSTER_WORKER_TOKEN_FILE", value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// State directory: identity, journal, logs. One worker each, and nothing else: it is closed to
    /// other users, so one that is for many, such as /tmp, is refused
    /// [default: /var/lib/muster/worker].
    #[arg(long, env = "MUSTER_STATE_DIR", value_name = "DIR", default_value = "/var/lib/muster/worker")]
    pub state_dir: PathBuf,
    /// Name of this worker, unique in the cluster and not in the form of a uid [default: the host's
    /// name].
    #[arg(long, env = "MUSTER_WORKER_NAME")]
    pub name: Option<String>,
    /// Where its gRPC service listens [default: 127.0.0.1:0].
    #[arg(long, env = "MUSTER_WORKER_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = address)]
    pub listen: SocketAddr,
    /// Listen beyond this machine in the clear: whoever reaches the port reads logs and drains this
    /// worker. A worker that trusts its masters (--ca, or a token that begins with mstj_) needs no
    /// such permission, since it serves them alone.
    #[arg(long, env = "MUSTER_WORKER_INSECURE_LISTEN", num_args = 0..=1, default_missing_value = "true", value_name = "true|false", default_value = "false", action = ArgAction::Set)]
    pub insecure_listen: bool,
    /// Where it serves HTTP, for probes and Prometheus: /healthz, /readyz and /metrics. It may be
    /// reachable from other machines without credentials, because whoever reads it can do nothing
    /// [default: nowhere].
    #[arg(long, env = "MUSTER_WORKER_HTTP", value_name = "IP:PORT", value_parser = address)]
    pub http: Option<SocketAddr>,
    /// The address of its service that others are told [default: host and port it listens on].
    #[arg(long, env = "MUSTER_WORKER_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Reachable name of this machine [default: the address it listens on, or the host's name].
    #[arg(long, env = "MUSTER_WORKER_HOST")]
    pub host: Option<String>,
    /// Cores on offer [default: all].
    #[arg(long, env = "MUSTER_WORKER_CORES", value_parser = muster_units::whole_cores)]
    pub cores: Option<u32>,
    /// Memory on offer, such as 512M or 2GiB [default: all but 1 GiB, at least 1 GiB].
    #[arg(long, env = "MUSTER_WORKER_MEMORY", value_name = "BYTES")]
    pub memory: Option<ByteSize>,
    /// A label; may be repeated. Environment: MUSTER_WORKER_LABEL, separated by semicolons.
    #[arg(long, env = "MUSTER_WORKER_LABEL", hide_env = true, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// A custom resource with its addresses, such as gpu=0,1; may be repeated. Environment:
    /// MUSTER_WORKER_RESOURCE, separated by semicolons.
    #[arg(long, env = "MUSTER_WORKER_RESOURCE", hide_env = true, value_name = "NAME=ADDRESS,…")]
    pub resource: Vec<String>,
    /// A script that prints {"name":"gpu","addresses":["0","1"]}; may be repeated. Environment:
    /// MUSTER_WORKER_RESOURCE_SCRIPT.
    #[arg(long, env = "MUSTER_WORKER_RESOURCE_SCRIPT", hide_env = true, value_name = "NAME=PATH")]
    pub resource_script: Vec<String>,
    /// A variable for {{NAME}} in commands; may be repeated. Environment: MUSTER_WORKER_VARIABLE,
    /// separated by semicolons.
    #[arg(long, env = "MUSTER_WORKER_VARIABLE", hide_env = true, value_name = "NAME=VALUE")]
    pub variable: Vec<String>,
    /// Work directories of attempts; not one that everybody may write to [default:
    /// STATE_DIR/work, or STATE_DIR.work if programs run as another user than the worker, since no
    /// other may enter STATE_DIR].
    #[arg(long, env = "MUSTER_WORKER_WORK_DIR", value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Logs of attempts; not one that everybody may write to [default: STATE_DIR/logs].
    #[arg(long, env = "MUSTER_WORKER_LOG_DIR", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// The account that programs run as, by its name or number. With an owner, such as
    /// alice=build,deploy, the accounts of that owner's programs: the first, or another of them
    /// that a submission asks for; may be repeated. A number needs no entry in the machine's list
    /// of users: such a program has the group of the same number, no others, and / as its home.
    /// Only a worker of root can name another than its own [default: as root a user of each owner's
    /// own, where --owner-uids or /etc/subuid gives numbers for them; else muster-run where that
    /// exists, else nobody; otherwise the worker's own user]. Environment: MUSTER_WORKER_RUN_AS,
    /// separated by semicolons.
    #[arg(long, env = "MUSTER_WORKER_RUN_AS", hide_env = true, value_name = "USER | OWNER=USER,…")]
    pub run_as: Vec<String>,
    /// The numbers of owners' users and groups, such as 100000:65536 for that many from that one
    /// on: each owner gets the next, and keeps it for good. It must be no other user's or group's.
    /// [default: what /etc/subuid and /etc/subgid both grant to muster-run, where that exists].
    #[arg(long, env = "MUSTER_WORKER_OWNER_UIDS", value_name = "FIRST:COUNT")]
    pub owner_uids: Option<String>,
    /// A network that artifacts may be fetched from although it is this machine's own or its
    /// link's, such as 127.0.0.0/8; may be repeated. Environment: MUSTER_WORKER_ARTIFACT_ALLOW,
    /// separated by semicolons.
    #[arg(long, env = "MUSTER_WORKER_ARTIFACT_ALLOW", hide_env = true, value_name = "CIDR")]
    pub artifact_allow: Vec<IpNet>,
    /// A network that artifacts are never fetched from, such as 10.0.0.0/8; may be repeated.
    /// Environment: MUSTER_WORKER_ARTIFACT_DENY, separated by semicolons.
    #[arg(long, env = "MUSTER_WORKER_ARTIFACT_DENY", hide_env = true, value_name = "CIDR")]
    pub artifact_deny: Vec<IpNet>,
    /// The runner's binary [default: muster-runner beside this one].
    #[arg(long, env = "MUSTER_RUNNER", value_name = "PATH")]
    pub runner: Option<PathBuf>,
    /// A further argument for a runner that is started; may be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub runner_arg: Vec<String>,
    /// Do not start where a kill cannot be sure to end a whole tree (true), or where moreover
    /// owners would not have a user each (users).
    #[arg(long, env = "MUSTER_WORKER_REQUIRE_CONTAINMENT", num_args = 0..=1, default_missing_value = "true", value_name = "true|false|users", default_value = "false", value_parser = containment())]
    pub require_containment: RequiredContainment,
    /// Enforce limits of memory and CPU where the machine lets it: on or off [default: on].
    #[arg(long, env = "MUSTER_WORKER_LIMITS", value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = on_or_off)]
    pub limits: bool,
    /// Leased work is frozen at its lease's end where the machine has a freezer; what no leader
    /// confirms for this long is killed, and 0 kills at the lease's end. For a runner that is
    /// started [default: 10m].
    #[arg(long, env = "MUSTER_WORKER_FENCE_KILL_AFTER", value_name = "TIME", default_value = "10m")]
    pub fence_kill_after: TimeSpan,
    /// As process 1 of a container: how long programs may take to end after this process is told
    /// to (TERM), each at most by its own grace, before they are killed [default: 25s].
    #[arg(long, env = "MUSTER_WORKER_STOP_GRACE", value_name = "TIME", default_value = "25s")]
    pub stop_grace: TimeSpan,
    /// Time between two passes of cleaning up [default: 30m].
    #[arg(long, env = "MUSTER_WORKER_CLEANUP_INTERVAL", value_name = "TIME", default_value = "30m")]
    pub cleanup_interval: TimeSpan,
    /// Age at which work directories of ended attempts are removed [default: 7d].
    #[arg(long, env = "MUSTER_WORKER_CLEANUP_AGE", value_name = "TIME", default_value = "7d")]
    pub cleanup_age: TimeSpan,
    /// Age at which logs of ended attempts are removed [default: 7d].
    #[arg(long, env = "MUSTER_WORKER_LOG_KEEP", value_name = "TIME", default_value = "7d")]
    pub log_keep: TimeSpan,
    /// Bytes of logs of ended attempts above which the oldest are removed [default: 10GiB].
    #[arg(long, env = "MUSTER_WORKER_LOG_KEEP_SIZE", value_name = "SIZE", default_value = "10GiB")]
    pub log_keep_size: ByteSize,
    /// Bytes of cached artifacts above which those used longest ago are removed [default: 10GiB].
    #[arg(long, env = "MUSTER_WORKER_CACHE_KEEP_SIZE", value_name = "SIZE", default_value = "10GiB")]
    pub cache_keep_size: ByteSize,
    /// Join another cluster than the one joined before. Nothing is killed.
    #[arg(long, env = "MUSTER_WORKER_REJOIN", num_args = 0..=1, default_missing_value = "true", value_name = "true|false", default_value = "false", action = ArgAction::Set)]
    pub rejoin: bool,
    /// Write host:port of the service here once registered.
    #[arg(long, env = "MUSTER_WORKER_ADDRESS_FILE", value_name = "PATH")]
    pub address_file: Option<PathBuf>,
    // Targets and levels only: the larger filter language brings a megabyte of regular expressions
    // into every worker.
    /// What to log, such as info or muster_worker=debug [default: info].
    #[arg(long, env = "MUSTER_LOG", value_name = "FILTER", default_value = "info")]
    pub log: Targets,
    /// Form of the log: pretty, lines for people, or json, one object a line [default: pretty].
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_name = "pretty|json", value_enum, default_value = "pretty")]
    pub log_format: LogFormat,
    /// Where traces are exported to.
    #[command(flatten)]
    pub otlp: OtlpFlags,
}

impl CommandLine {
    /// Reads the command line from the arguments of the program (its own name first), the
    /// environment and the file.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<CommandLine, ConfigError> {
        // The texts of the flags name the defaults, of which some are words.
        let command = CommandLine::command().mut_args(|arg| arg.hide_default_value(true));
        let matches = muster_config::load(command, args)?;
        Ok(CommandLine::from_arg_matches(&matches)?)
    }
}

/// What this worker's containment must be, by one of the words for it.
fn containment() -> impl TypedValueParser<Value = RequiredContainment> {
    PossibleValuesParser::new(RequiredContainment::WORDS)
        .map(|word| RequiredContainment::from_word(&word).unwrap_or_default())
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.to_socket_addrs().ok().and_then(|mut list| list.next()).ok_or("expected IP:PORT")
}

fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("expected on or off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_flag_names_its_default() {
        for arg in CommandLine::command().get_arguments() {
            let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
            for default in arg.get_default_values().iter().filter(|default| *default != "false") {
                assert!(text.contains(&format!("[default: {}]", default.display())), "{}: {text}", arg.get_id());
            }
        }
    }
}
