//! Checked settings.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_config::{ConfigError, LogFormat, check_listen};
use muster_core::Config;
use muster_core::placement::{Policy, SelectionPolicy};
use muster_store::{Location, OpenError, Password};
use muster_traces::OtlpFlags;
use muster_types::RequiredContainment;
use muster_units::TimeSpan;
use tracing_subscriber::filter::Targets;

use super::flags::{Flags, JwtFlags, PlacementFlags, RetentionFlags, StoreFlags, TimingFlags, TlsFlags};
use crate::access::{ACCESS_FILE, AuditDestination, CallerLimits, JwksSource, JwtSettings};
use crate::commit::Bounds;
use crate::events::RetentionLimits;
use crate::leader::Timing;

/// Everything that a master is started with, checked.
#[derive(Debug, Clone)]
pub struct MasterSettings {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Address to serve HTTP on.
    pub http: Option<SocketAddr>,
    /// Address at which others reach this master; `None`: the address it serves on.
    pub advertise: Option<String>,
    /// Where the records are.
    pub store: StoreLocation,
    /// Name of a new cluster.
    pub cluster_name: String,
    /// Whether `cluster_name` is the default, because no flag gave a name.
    pub is_name_default: bool,
    /// Directory of this master's own.
    pub state_dir: PathBuf,
    /// How connections are encrypted; `None`: not at all.
    pub tls: Option<TlsSettings>,
    /// Who may do what; without, whoever reaches this master may do everything.
    pub access_file: Option<PathBuf>,
    /// Where calls are audited.
    pub audit: AuditDestination,
    /// What each caller may ask for.
    pub limits: CallerLimits,
    /// The CAs of clients, and what they have revoked.
    pub client_ca: Option<(PathBuf, Option<PathBuf>)>,
    /// Whose JWTs are taken.
    pub jwt: Option<JwtSettings>,
    /// Where to write the address.
    pub address_file: Option<PathBuf>,
    /// What to log.
    pub log: Targets,
    /// The form of the log.
    pub log_format: LogFormat,
    /// Whether machines that reach this master need no credential (`--insecure-listen`).
    pub is_open: bool,
    /// Where traces are exported to.
    pub otlp: OtlpFlags,
    /// How long no leader may answer before probes are told that this master is not ready.
    pub unready_after: Duration,
    /// Heartbeats, leases and margins.
    pub timing: Timing,
    /// Settings of the core.
    pub core: Config,
    /// How long and how many events are kept.
    pub events: RetentionLimits,
}

/// The TLS of a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Directory of the CA.
    pub pki: PathBuf,
    /// Whether a CA is made there if there is none.
    pub makes_ca: bool,
    /// Further names and addresses in the certificate.
    pub names: Vec<String>,
    /// A certificate of the operator's own, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Whether workers and programs are taken in the clear that were started before there were
    /// credentials.
    pub takes_plaintext: bool,
}

/// The name of a new cluster if no flag gives one.
const DEFAULT_NAME: &str = "muster";

/// Where the records are. It is displayed as it was given, but without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation(pub Location);

impl StoreLocation {
    /// The kind of store: `memory`, `embedded` or `etcd`.
    pub fn kind(&self) -> &'static str {
        match self.0 {
            Location::Memory => "memory",
            Location::Embedded(_) => "embedded",
            Location::Etcd(_) => "etcd",
        }
    }

    /// Its directory on this machine, if it has one.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        match &self.0 {
            Location::Embedded(directory) => Some(directory.clone()),
            Location::Memory | Location::Etcd(_) => None,
        }
    }

    /// What it takes in one transaction.
    pub(crate) fn bounds(&self) -> Bounds {
        match self.0 {
            Location::Memory | Location::Embedded(_) => Bounds::LOCAL,
            Location::Etcd(_) => Bounds::ETCD,
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<Flags> for MasterSettings {
    type Error = ConfigError;

    fn try_from(flags: Flags) -> Result<MasterSettings, ConfigError> {
        let access_file = flags.access.access_file;
        if access_file.is_some() && flags.insecure_listen {
            return Err(ConfigError::rule(
                "--insecure-listen is for a master without credentials, and not with --access-file",
            ));
        }
        // Over a network, nobody commands the cluster without a credential, and none is read on its
        // way.
        let is_secured = !flags.listen.ip().is_loopback() && !flags.insecure_listen;
        check_listen(flags.listen, !is_secured || flags.tls.tls != Some(false), "leave out --tls false")?;
        // Targets and levels only: the larger filter language brings a megabyte of regular
        // expressions.
        let log: Targets = flags.log.parse().map_err(|error| ConfigError::value("log", &flags.log, error))?;
        let store = match flags.store {
            Some(store) => location(StoreFlags {
                store,
                store_user: flags.store_user,
                store_password_file: flags.store_password_file,
            })?,
            None => Location::Embedded(flags.state_dir.join("store")),
        };
        check_lengths(&flags.timing, &flags.retention)?;
        let timing = timing(&flags.timing)?;
        if matches!(store, Location::Etcd(_)) && timing.store_lease.subsec_nanos() != 0 {
            return Err(ConfigError::rule("--store-lease is in whole seconds with etcd"));
        }
        let tls = tls(flags.tls, is_secured, &flags.state_dir, &store)?;
        let takes_plaintext = tls.as_ref().is_some_and(|tls| tls.takes_plaintext);
        let beside_ca = tls.as_ref().filter(|_| is_secured).map(|tls| tls.pki.join(ACCESS_FILE));
        let access_file = access_file.or(beside_ca);
        if takes_plaintext && access_file.is_none() {
            return Err(ConfigError::rule("--plaintext-transition leads to credentials: leave out --insecure-listen"));
        }
        let audit = match (flags.access.audit_log, &access_file) {
            (Some(path), _) => AuditDestination::from(path),
            (None, Some(_)) => AuditDestination::File(flags.state_dir.join("audit.log")),
            (None, None) => AuditDestination::None,
        };
        let limits = CallerLimits {
            calls: flags.access.calls_per_caller,
            streams: flags.access.streams_per_caller,
            submissions: flags.access.submissions_per_caller,
        };
        let client_ca = flags.access.tls_client_ca.map(|ca| (ca, flags.access.tls_client_crl));
        if client_ca.is_some() && (tls.is_none() || access_file.is_none()) {
            return Err(ConfigError::rule("--tls-client-ca is for a master with TLS and credentials"));
        }
        let jwt = jwt(flags.jwt)?;
        if jwt.is_some() && access_file.is_none() {
            return Err(ConfigError::rule("--jwt-issuer is for a master with credentials"));
        }
        let contained = flags.placement.require_containment.unwrap_or(match store {
            Location::Etcd(_) => RequiredContainment::Tree,
            _ => RequiredContainment::Nothing,
        });
        let core = core(&timing, &flags.timing, &flags.placement, contained, &flags.retention);
        Ok(MasterSettings {
            listen: flags.listen,
            http: flags.http,
            advertise: flags.advertise,
            store: StoreLocation(store),
            is_name_default: flags.cluster_name.is_none(),
            cluster_name: flags.cluster_name.unwrap_or_else(|| DEFAULT_NAME.to_owned()),
            state_dir: flags.state_dir,
            tls,
            access_file,
            audit,
            limits,
            client_ca,
            jwt,
            address_file: flags.address_file,
            log,
            log_format: flags.log_format,
            is_open: flags.insecure_listen && !flags.listen.ip().is_loopback(),
            otlp: flags.otlp,
            unready_after: flags.timing.unready_after.0,
            timing,
            core,
            events: RetentionLimits {
                age: flags.retention.keep_events.0,
                commits: flags.retention.max_event_commits,
                bytes: flags.retention.max_event_bytes.0,
            },
        })
    }
}

/// The store that flags name, with the credentials that they give for it.
pub(super) fn location(flags: StoreFlags) -> Result<Location, ConfigError> {
    let password = flags.store_password_file.map(|path| password_of(&path)).transpose()?;
    // The value is not shown, because a password may be in it.
    let bad = |error: OpenError| ConfigError::rule(format!("bad --store: {}", crate::error_line(&error)));
    Ok(match flags.store.parse().map_err(bad)? {
        Location::Etcd(etcd) => Location::Etcd(etcd.or_credentials(flags.store_user, password)),
        local @ (Location::Memory | Location::Embedded(_)) => local,
    })
}

/// Whose JWTs are taken, and for whom.
fn jwt(flags: JwtFlags) -> Result<Option<JwtSettings>, ConfigError> {
    let Some(issuer) = flags.jwt_issuer else {
        if !flags.jwt_audience.is_empty() || flags.jwt_jwks.is_some() || flags.jwt_ca.is_some() {
            return Err(ConfigError::rule("--jwt-audience, --jwt-jwks and --jwt-ca go with --jwt-issuer"));
        }
        return Ok(None);
    };
    let Some(jwks) = flags.jwt_jwks else {
        return Err(ConfigError::rule("--jwt-issuer needs --jwt-jwks, which says where its keys are"));
    };
    if flags.jwt_audience.is_empty() {
        return Err(ConfigError::rule(
            "--jwt-issuer needs --jwt-audience: a token for others is none for this cluster",
        ));
    }
    let jwks = match jwks.split_once("://") {
        Some(("https", _)) => JwksSource::Https(jwks),
        Some(_) => return Err(ConfigError::value("jwt-jwks", jwks, "neither a file nor an https:// address")),
        None => JwksSource::File(jwks.into()),
    };
    if flags.jwt_ca.is_some() && matches!(jwks, JwksSource::File(_)) {
        return Err(ConfigError::rule("--jwt-ca is for keys at an https:// address"));
    }
    Ok(Some(JwtSettings {
        issuer,
        audiences: flags.jwt_audience,
        jwks,
        ca: flags.jwt_ca,
        user_claim: flags.jwt_user_claim,
        groups_claim: flags.jwt_groups_claim,
    }))
}

/// Masters that share a store share a CA, so none of them makes one of its own.
fn tls(
    flags: TlsFlags,
    is_default: bool,
    state_dir: &Path,
    store: &Location,
) -> Result<Option<TlsSettings>, ConfigError> {
    if !flags.tls.unwrap_or(is_default) {
        if flags.pki.is_some() || !flags.tls_san.is_empty() || flags.tls_cert.is_some() {
            return Err(ConfigError::rule("--pki, --tls-san and --tls-cert are for a master with --tls"));
        }
        if flags.plaintext_transition {
            return Err(ConfigError::rule("--plaintext-transition is for a master with TLS and credentials"));
        }
        return Ok(None);
    }
    if let Some(name) = flags.tls_san.iter().find(|name| !muster_tls::names::is_name(name)) {
        return Err(ConfigError::value("tls-san", name, "not the name or the address of a machine, without a port"));
    }
    let is_shared = matches!(store, Location::Etcd(_));
    if is_shared && flags.pki.is_none() {
        return Err(ConfigError::rule(
            "TLS with a store that masters share needs the CA that they share: make it with \
             `muster-master init --out DIRECTORY` and give every master a copy and --pki; or give --insecure-listen \
             for none, which lets whoever reaches a master command the cluster",
        ));
    }
    let makes_ca = flags.pki.is_none();
    let pki = flags.pki.unwrap_or_else(|| state_dir.join("pki"));
    let own = flags.tls_cert.zip(flags.tls_key);
    Ok(Some(TlsSettings { pki, makes_ca, names: flags.tls_san, own, takes_plaintext: flags.plaintext_transition }))
}

fn password_of(path: &Path) -> Result<Password, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::ReadFile(path.to_owned(), error))?;
    Ok(Password::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn timing(flags: &TimingFlags) -> Result<Timing, ConfigError> {
    let timing = Timing {
        heartbeat: flags.heartbeat.0,
        lease: flags.lease.0,
        store_lease: flags.store_lease.0,
        margin: flags.margin.0,
    };
    // A single lost answer must not end a lease.
    if timing.lease < timing.heartbeat * 2 {
        return Err(ConfigError::rule("--lease must be at least twice --heartbeat"));
    }
    // Clocks are assumed to drift by less than 2 %.
    if timing.margin * 50 < timing.lease {
        return Err(ConfigError::rule("--margin must be at least a fiftieth of --lease"));
    }
    Ok(timing)
}

/// The least lengths of time. With less, workers and stores would do little but beat and renew, a
/// launch would be taken back before a healthy worker can have reported it, and results and events
/// would be gone before whoever waits for them has read them.
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);
const LAUNCH_PROGRESS_MIN: Duration = Duration::from_secs(1);
const KEEP_FINISHED_MIN: Duration = Duration::from_secs(1);
const KEEP_EVENTS_MIN: Duration = Duration::from_secs(1);
const UNREADY_AFTER_MIN: Duration = Duration::from_millis(100);
const STORE_LEASE_MIN: Duration = Duration::from_millis(10);

/// Refuses lengths of time that are too short to make sense.
fn check_lengths(timing: &TimingFlags, retention: &RetentionFlags) -> Result<(), ConfigError> {
    let lengths = [
        ("heartbeat", timing.heartbeat, HEARTBEAT_MIN),
        ("launch-progress", timing.launch_progress, LAUNCH_PROGRESS_MIN),
        ("store-lease", timing.store_lease, STORE_LEASE_MIN),
        ("unready-after", timing.unready_after, UNREADY_AFTER_MIN),
        ("keep-finished", retention.keep_finished, KEEP_FINISHED_MIN),
        ("keep-events", retention.keep_events, KEEP_EVENTS_MIN),
    ];
    match lengths.into_iter().find(|(_, length, least)| length.0 < *least) {
        Some((flag, length, least)) => {
            Err(ConfigError::value(flag, length.to_string(), format!("at least {}", TimeSpan(least))))
        }
        None => Ok(()),
    }
}

fn core(
    timing: &Timing,
    lengths: &TimingFlags,
    placement: &PlacementFlags,
    contained: RequiredContainment,
    retention: &RetentionFlags,
) -> Config {
    let limit = |number: u32| (number > 0).then_some(number);
    Config {
        wait: timing.wait(),
        launch_progress: lengths.launch_progress.0,
        kept: retention.keep_finished.0,
        kept_records: retention.max_finished,
        max_waiting: retention.max_waiting,
        policy: Policy {
            spread_drivers: placement.spread_drivers,
            spread_executors: placement.spread_executors,
            // The flag accepts known words only.
            selection: SelectionPolicy::from_word(&placement.worker_selection.to_ascii_uppercase()).unwrap_or_default(),
            max_drivers: limit(placement.max_drivers),
            default_cores: limit(placement.default_cores),
            require_containment: contained,
        },
        ..Config::default()
    }
}
