//! The flags, each with its default and what it is for. The environment variable of `--some-flag`
//! is `MUSTER_SOME_FLAG`, its key in the configuration file `some_flag`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use muster_config::LogFormat;
use muster_core::placement::SelectionPolicy;
use muster_traces::OtlpFlags;
use muster_types::RequiredContainment;
use muster_units::{ByteSize, TimeSpan};

/// The end of `--help`.
fn after_help() -> String {
    format!("{}\nSignals: TERM and INT hand over and end this master; HUP is ignored.", muster_units::HELP)
}

/// What a worker's containment must be, by one of the words for it.
fn containment() -> impl TypedValueParser<Value = RequiredContainment> {
    PossibleValuesParser::new(RequiredContainment::WORDS)
        .map(|word| RequiredContainment::from_word(&word).unwrap_or_default())
}

/// A master of a Muster cluster. The leader accepts work and places it on workers; every other
/// master stands by, forwards calls to the leader, and is ready to take over.
#[derive(Debug, Clone, Parser)]
#[command(after_help = after_help())]
#[command(name = "muster-master", version, max_term_width = 100)]
pub struct Flags {
    #[command(subcommand)]
    pub store_command: Option<StoreCommand>,
    /// Address to serve gRPC on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7077")]
    pub listen: SocketAddr,
    /// Listen beyond this machine without credentials: whoever reaches the port commands the
    /// cluster. Without it, a master that listens there speaks TLS and asks for credentials.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub insecure_listen: bool,
    /// Address to serve HTTP on, for probes and Prometheus: /healthz, /readyz and /metrics. It may
    /// be reachable from other machines without credentials, because whoever reads it can do
    /// nothing. By default there is none.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Address at which workers and programs reach this master, if it is another.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Where the records are kept: memory:, embedded:DIRECTORY or etcd://HOST:PORT,HOST:PORT/PREFIX
    /// (etcds:// with TLS). By default embedded, in the state directory. Any number of masters may
    /// share one etcd: one leads, the others stand by and forward to it.
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// User of etcd, where --store names none.
    #[arg(long, value_name = "NAME")]
    pub store_user: Option<String>,
    /// File with the password of etcd on its first line, where --store names none.
    #[arg(long, value_name = "PATH")]
    pub store_password_file: Option<PathBuf>,
    /// Directory of this master's own: the embedded store in it is closed to other users.
    #[arg(long, value_name = "DIRECTORY", default_value = "./muster-data/master")]
    pub state_dir: PathBuf,
    /// Name of the cluster, when its store is first made (by default: muster). A store in etcd that
    /// holds a cluster of another name is refused.
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// File to write the address to, once this master answers calls or forwards them to a leader.
    #[arg(long, value_name = "PATH")]
    pub address_file: Option<PathBuf>,
    /// What to log: a level, or a filter such as info,muster_master=debug.
    #[arg(long, value_name = "FILTER", default_value = "info,fjall=warn,lsm_tree=warn")]
    pub log: String,
    /// Form of the log: lines for people, or one JSON object a line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "pretty")]
    pub log_format: LogFormat,
    #[command(flatten)]
    pub otlp: OtlpFlags,
    /// Configuration file in TOML; flags and environment stand above it.
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsFlags,
    #[command(flatten)]
    pub access: AccessFlags,
    #[command(flatten)]
    pub jwt: JwtFlags,
    #[command(flatten)]
    pub timing: TimingFlags,
    #[command(flatten)]
    pub placement: PlacementFlags,
    #[command(flatten)]
    pub retention: RetentionFlags,
}

/// What is done to a store instead of serving.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum StoreCommand {
    /// Declare that the store went back in time, because it was restored by other means than
    /// `restore`, and raise its generation. Attempts that run and that the store does not know are
    /// left running and shown. Masters may run meanwhile where the store is etcd.
    Recover {
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Fill an empty store from a backup that `muster backup` made, and raise its generation. No
    /// master may run on it.
    Restore {
        /// The backup.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Make the private CA of a cluster and the token of a first administrator, for masters that
    /// share a store: each gets a copy of the directory, and --pki. Whoever has the CA's key can
    /// pose as a master.
    Init {
        /// Directory to make; it must not hold a CA yet.
        #[arg(long, value_name = "DIRECTORY")]
        out: PathBuf,
    },
    /// Take the next step of exchanging the CA of a cluster: first a new CA is trusted, a day later
    /// it signs, and a week after that the old one is taken away. Masters read the directory again;
    /// those that share a store each get a copy after each step.
    RotateCa {
        /// Directory of the CA.
        #[arg(long, value_name = "DIRECTORY", env = "MUSTER_PKI")]
        pki: PathBuf,
        /// Do not wait until all workers have learnt of it: those that have not yet must be told
        /// by hand, with --ca.
        #[arg(long)]
        at_once: bool,
    },
    /// Make a token, add its digest to an access file, and print it: this once.
    Token {
        /// The access file; it is made if there is none.
        #[arg(long, value_name = "PATH", env = "MUSTER_ACCESS_FILE")]
        access_file: PathBuf,
        /// Name of the user, who owns what is submitted with the token, or of the worker.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What the token is for: viewer, submitter, operator, admin or worker.
        #[arg(long, value_name = "ROLE", value_parser = str::parse::<muster_types::TokenGrant>)]
        role: muster_types::TokenGrant,
        /// How long it is good, from now on; by default until it is taken out of the file.
        #[arg(long, value_name = "TIME")]
        ttl: Option<TimeSpan>,
    },
}

/// Which store.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreFlags {
    /// The store: embedded:DIRECTORY or etcd://HOST:PORT,HOST:PORT/PREFIX.
    #[arg(long, value_name = "STORE", env = "MUSTER_STORE")]
    pub store: String,
    /// User of etcd, where --store names none.
    #[arg(long, value_name = "NAME", env = "MUSTER_STORE_USER")]
    pub store_user: Option<String>,
    /// File with the password of etcd on its first line, where --store names none.
    #[arg(long, value_name = "PATH", env = "MUSTER_STORE_PASSWORD_FILE")]
    pub store_password_file: Option<PathBuf>,
}

/// How connections are encrypted.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsFlags {
    /// Serve over TLS, with certificates of a private CA, which clients trust by `muster login`. It
    /// is the default where --listen is reachable from other machines, without --insecure-listen.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub tls: Option<bool>,
    /// Directory of the CA. By default `pki` in the state directory, where a CA is made if there is
    /// none; masters that share a store need the one that `muster-master init` made.
    #[arg(long, value_name = "DIRECTORY")]
    pub pki: Option<PathBuf>,
    /// Certificate of your own (PEM: this master's, then those between it and its CA), which
    /// everybody but Muster's own masters and workers is shown, with --tls-key. Clients take the
    /// file of its CA (--ca) or the CAs of their machine. Both files are read again when they
    /// change.
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the certificate of your own: a file of this master's user or of root, mode 0600.
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// For the time in which a cluster is given credentials: on the same port, take in the clear
    /// the workers that have shown no certificate yet, and the programs of their attempts.
    /// Everybody else needs TLS and a credential. Workers and programs without TLS can be posed as
    /// meanwhile.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub plaintext_transition: bool,
    /// Further name or address in this master's certificate, under which other clients than
    /// Muster's reach it; may be repeated. In the environment, semicolons separate names.
    #[arg(long, value_name = "NAME")]
    pub tls_san: Vec<String>,
}

/// Who may do what.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Credentials")]
pub struct AccessFlags {
    /// Ask every caller for a credential. The file holds digests of tokens with what each is for;
    /// `muster-master token` adds one. It is read again when it changes, so taking a token out
    /// revokes it. Masters that share a store have the same file. Where --listen is reachable from
    /// other machines, it is by default `access.toml` beside the CA, made with the token of a first
    /// administrator.
    #[arg(long, value_name = "PATH")]
    pub access_file: Option<PathBuf>,
    /// Where each mutation and each refusal has a line of JSON: a file, with up to four older ones
    /// of 100 MiB beside it, `log` for this program's log, or `none`. By default `audit.log` in the
    /// state directory where callers are asked for credentials, else `none`.
    #[arg(long, value_name = "PATH")]
    pub audit_log: Option<PathBuf>,
    /// Calls that one user, or one attempt, may have open at a time, beside streams. Workers, and
    /// callers of a master that asks for no credentials, have no limits.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub calls_per_caller: u32,
    /// Streams that one user, or one attempt, may have open at a time.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub streams_per_caller: u32,
    /// Drivers and applications that one user, or one attempt, may submit a second. Those of five
    /// seconds may come at once.
    #[arg(long, value_name = "N", default_value = "2000")]
    pub submissions_per_caller: NonZeroU32,
    /// Take certificates of clients that these CAs (PEM) have signed: the common name CN is the
    /// user cert:CN, each organization O its group cert:O. The access file binds both to roles. The
    /// file is read again when it changes.
    #[arg(long, value_name = "PATH")]
    pub tls_client_ca: Option<PathBuf>,
    /// What those CAs have revoked (PEM): one list for each CA of a chain. The file is read again
    /// when it changes; who is revoked is refused at once, and its streams end.
    #[arg(long, value_name = "PATH", requires = "tls_client_ca")]
    pub tls_client_crl: Option<PathBuf>,
}

/// Whose sign-ins are taken.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "JWT")]
pub struct JwtFlags {
    /// Take JWTs of this issuer (their `iss`) as credentials, as a company's sign-in and Kubernetes
    /// give them. The user is jwt:NAME, its groups are jwt:GROUP; the access file binds both to
    /// roles.
    #[arg(long, value_name = "URL")]
    pub jwt_issuer: Option<String>,
    /// For whom a JWT must be (one of its `aud`); may be repeated.
    #[arg(long, value_name = "NAME")]
    pub jwt_audience: Vec<String>,
    /// Where the issuer's keys are, as a JWKS: a file, which is read again when it changes, or an
    /// https:// address, which is asked every ten minutes.
    #[arg(long, value_name = "PATH|URL")]
    pub jwt_jwks: Option<String>,
    /// File with the CAs (PEM) of the server at that address; by default those of this machine.
    #[arg(long, value_name = "PATH")]
    pub jwt_ca: Option<PathBuf>,
    /// Claim that names the user.
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    pub jwt_user_claim: String,
    /// Claim that lists the user's groups.
    #[arg(long, value_name = "CLAIM", default_value = "groups")]
    pub jwt_groups_claim: String,
}

/// Lengths of time.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Timing")]
pub struct TimingFlags {
    /// Time between the heartbeats of a worker.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub heartbeat: TimeSpan,
    /// How long a worker may run leased work without being heard.
    #[arg(long, value_name = "TIME", default_value = "45s")]
    pub lease: TimeSpan,
    /// How far the clocks of two machines may drift apart over a lease, and some more.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub margin: TimeSpan,
    /// How long a leader may answer without hearing from a shared store. Whole seconds with etcd,
    /// which grants at least 2.
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub store_lease: TimeSpan,
    /// A launch of which nothing is heard for this long is taken back: it is killed, and has failed
    /// by the platform's doing. It is repeated with a back-off, elsewhere if there is room; after
    /// ten such failures in a row its driver has failed.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub launch_progress: TimeSpan,
    /// Probes are told that this master is not ready once no leader has answered for this long,
    /// which holds for itself while it loads. A hand-over takes a fraction of a second, the
    /// loss of a leader's machine a few seconds.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub unready_after: TimeSpan,
}

/// How work is placed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Placement")]
pub struct PlacementFlags {
    /// Spread drivers over the workers; otherwise fill one worker after the other.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub spread_drivers: bool,
    /// Spread the executors of an application over the workers; otherwise fill one worker after the
    /// other.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub spread_executors: bool,
    /// In which order executors go over the workers.
    #[arg(long, value_name = "POLICY", default_value = SelectionPolicy::CoresFreeDesc.as_str(), ignore_case = true,
          value_parser = PossibleValuesParser::new(SelectionPolicy::ALL.map(SelectionPolicy::as_str)))]
    pub worker_selection: String,
    /// Drivers that may run at one time; 0: any number.
    #[arg(long, value_name = "COUNT", default_value = "0")]
    pub max_drivers: u32,
    /// Cores of all executors of an application that names no limit; 0: any number.
    #[arg(long, value_name = "CORES", default_value = "0", value_parser = muster_units::whole_cores)]
    pub default_cores: u32,
    /// Keep leased work off workers that cannot hold a process tree (true); or keep all work off
    /// workers that cannot, or that do not give each owner a user of its own (users). By default
    /// true where the store is etcd, else false.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "true", value_parser = containment())]
    pub require_containment: Option<RequiredContainment>,
}

/// What is kept.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Retention")]
pub struct RetentionFlags {
    /// How long finished drivers and applications are kept.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub keep_finished: TimeSpan,
    /// How many finished drivers are kept, and how many finished applications.
    #[arg(long, value_name = "COUNT", default_value = "100000")]
    pub max_finished: usize,
    /// How long events are kept.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub keep_events: TimeSpan,
    /// Number of commits whose events are kept.
    #[arg(long, value_name = "COUNT", default_value = "100000")]
    pub max_event_commits: usize,
    /// Approximate size of the events that are kept; they are held in memory too.
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub max_event_bytes: ByteSize,
    /// How many drivers may wait for a worker; more are refused.
    #[arg(long, value_name = "COUNT", default_value = "1000000")]
    pub max_waiting: usize,
}
