//! Joins the parts: it listens, opens the store, serves, and goes from role to role.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_proto::server::{HttpPort, KnownHosts};
use muster_store::{Candidacy, Candidate, NewCluster, OpenError};
use muster_tls::{Authority, ClientTrust, OwnCertificate, ServerTls, TlsError, connections};
use muster_traces::{Traces, TracesError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic_health::server::HealthReporter;

use crate::access::{
    ACCESS_FILE, AccessControl, AccessFileError, Audit, AuditError, FIRST_TOKEN_FILE, JwksError, JwtIssuer,
    OuterSources, add_first_token,
};
use crate::clock;
use crate::config::{MasterSettings, TlsSettings};
use crate::health::Health;
use crate::leader::LeaderSlot;
use crate::metrics::{MasterMetrics, MasterPages, Reloaded};
use crate::reload::{LOOK_AT_ACCESS_EVERY, LOOK_EVERY, keep_looking};
use crate::roles::{FatalError, MasterProcess, Readiness, RoleAfter, Standby};
use crate::serve::{Peers, serve};
use crate::stop::until_stopped;

/// Connections at one time: ten thousand workers, which have one each where they show certificates,
/// and as many clients and watches. Each costs some tens of kilobytes. Where fewer descriptors are
/// allowed, connections beyond wait in the kernel until one ends.
const MAX_CONNECTIONS: usize = 32_768;
/// How long connections may take to end after the process is told to stop; then they are cut.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Why a master could not start, or failed later.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The access file cannot be used.
    #[error(transparent)]
    Access(#[from] AccessFileError),
    /// The audit cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The keys of the issuer of JWTs cannot be used.
    #[error("cannot use the keys of the issuer of JWTs")]
    Jwks(#[source] JwksError),
    /// There is no TLS.
    #[error("cannot serve over TLS")]
    Tls(#[source] TlsError),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(OpenError),
    /// The server failed.
    #[error("the server failed")]
    Serve(#[source] tonic::transport::Error),
    /// A role failed.
    #[error(transparent)]
    Fault(FatalError),
}

/// Runs a master until `stop` is set or it fails.
pub async fn run(settings: MasterSettings, stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let listener =
        TcpListener::bind(settings.listen).await.map_err(|error| RunError::Listen(settings.listen, error))?;
    let new_cluster = NewCluster {
        name: settings.cluster_name.clone(),
        is_name_default: settings.is_name_default,
        now: clock::wall(),
    };
    let bound = listener.local_addr().map_err(|error| RunError::Listen(settings.listen, error))?;
    let address = settings.advertise.clone().unwrap_or_else(|| reachable(bound));
    let mut candidacy = Candidacy::new(address, env!("CARGO_PKG_VERSION").to_owned(), settings.timing.store_lease);
    candidacy.state_dir = Some(settings.state_dir.clone());
    let candidate = muster_store::open(&settings.store.0, new_cluster, candidacy).await.map_err(RunError::Store)?;
    run_on(settings, listener, candidate, stop).await
}

/// Runs a master on a given listener and candidate.
pub async fn run_on<C>(
    settings: MasterSettings,
    listener: TcpListener,
    candidate: C,
    stop: watch::Receiver<bool>,
) -> Result<(), RunError>
where
    C: Candidate,
    C::Store: 'static,
{
    if let Some(path) = &settings.address_file {
        // A file of an earlier run would be taken for that of this run.
        let _ = std::fs::remove_file(path);
    }
    let bound = listener.local_addr().map_err(|error| RunError::Listen(settings.listen, error))?;
    let address = settings.advertise.clone().unwrap_or_else(|| reachable(bound));
    let sources = FileSources::open(&settings, &address, bound)?;
    let tls = sources.tls.clone();
    // A leader believes nobody but masters that they are one.
    let trust = tls.as_ref().map(|tls| tls.trust().showing(tls.certificate()));
    let reporter = HealthReporter::new();
    let health = Health::new(reporter.clone()).await;
    let traces = Traces::open(&settings.otlp, "muster-master", address.clone())?;
    let (slot, metrics) = (Arc::new(LeaderSlot::default()), Arc::new(MasterMetrics::default()));
    // Apart from the roles, as a role may load for long. It ends with this set.
    let mut http = JoinSet::new();
    if let Some(at) = settings.http {
        let port = HttpPort::bind(at, [address.clone()]).await.map_err(|error| RunError::Listen(at, error))?;
        let pages = MasterPages {
            health: health.clone(),
            slot: slot.clone(),
            metrics: metrics.clone(),
            policy: settings.core.policy.clone(),
            store: settings.store.directory(),
        };
        http.spawn(port.serve(Arc::new(pages)));
        http.spawn(metrics.clone().watch_failovers(candidate.election()));
    }
    let (end_serving, mut ended) = watch::channel(false);
    let (election, archive) = (candidate.election(), candidate.archive());
    let stopped = async move { until_stopped(&mut ended).await };
    let audit = Audit::open(&settings.audit, metrics.audit_lost.clone())?;
    let file = settings.access_file.as_deref();
    let access = AccessControl::new(file, tls.is_some(), slot.clone(), settings.limits, audit)?;
    let outer = OuterSources { clients: sources.clients.clone(), jwt: sources.jwt.clone() };
    let access = Arc::new(access.with_sources(outer));
    let mut reloads = sources.keep_looking(&access, &metrics);
    let takes_plaintext = settings.tls.as_ref().is_some_and(|tls| tls.takes_plaintext);
    if settings.is_open {
        tracing::warn!(
            "--insecure-listen: whoever reaches {} is an administrator of this cluster, and can run programs on its \
             workers; without the flag this master speaks TLS and asks for credentials",
            settings.listen
        );
    }
    if takes_plaintext {
        tracing::warn!(
            "--plaintext-transition: workers without a certificate, and their programs, are taken in the clear, and \
             can be posed as; start the workers anew with a token of `muster token create --worker`, then this master \
             without the flag"
        );
    }
    let acceptor = tls.as_ref().map(|tls| tls.acceptor().telling(access.clone()));
    let acceptor = acceptor.map(|acceptor| match takes_plaintext {
        true => acceptor.or_plaintext(metrics.plaintext.clone()),
        false => acceptor,
    });
    let incoming = connections(listener, acceptor, MAX_CONNECTIONS);
    let names = settings.tls.iter().flat_map(|tls| tls.names.iter().cloned());
    let hosts = KnownHosts::of(bound, names.chain([address.clone()]));
    let peers = Peers { hosts, tls, access: access.clone(), traces };
    let serving = serve(incoming, &slot, &election, archive, reporter, peers, metrics.calls.clone(), stopped);
    let mut serving = tokio::spawn(serving);

    // Readiness runs apart from the roles, because a role may load for long.
    let readiness = Readiness::new(health, &settings, &address, trust.clone()).keep(slot.clone(), election);
    let mut readiness = tokio::spawn(readiness);
    let node = MasterProcess::new(candidate, Arc::new(settings), address, trust, slot.clone(), metrics, traces, stop);
    let result = tokio::select! {
        result = lead(node) => result.map_err(RunError::Fault),
        never = access.audit().keep_swept() => match never {},
        Some(Err(panicked)) = reloads.join_next() => {
            Err(RunError::Fault(FatalError::Lost("task that looks at files", panicked)))
        }
        failed = &mut readiness => {
            Err(RunError::Fault(failed.unwrap_or_else(|panicked| FatalError::Lost("task of readiness", panicked))))
        }
        failed = &mut serving => return match failed {
            Ok(served) => served.map_err(RunError::Serve),
            Err(panicked) => Err(RunError::Fault(FatalError::Lost("server", panicked))),
        },
    };
    readiness.abort();
    slot.close();
    end_serving.send_replace(true);
    if tokio::time::timeout(STOP_WITHIN, &mut serving).await.is_err() {
        tracing::warn!("connections did not end in time; they are cut");
        serving.abort();
    }
    if tokio::time::timeout(STOP_WITHIN, access.audit().flush()).await.is_err() {
        tracing::warn!("the audit could not be written in time");
    }
    traces.flush(STOP_WITHIN).await;
    // What outlives the roles is dropped only here: until now, calls that were held could learn who
    // leads next, and go there.
    result.map(drop)
}

/// What a master reads of files, and looks at again while it runs.
struct FileSources {
    /// The operator's own certificate.
    own: Option<Arc<OwnCertificate>>,
    clients: Option<Arc<ClientTrust>>,
    jwt: Option<Arc<JwtIssuer>>,
    tls: Option<Arc<ServerTls>>,
}

impl FileSources {
    fn open(settings: &MasterSettings, address: &str, bound: SocketAddr) -> Result<FileSources, RunError> {
        let own = settings.tls.as_ref().and_then(|tls| tls.own.clone());
        let own = own.map(|(certificate, key)| OwnCertificate::open(certificate, key)).transpose();
        let own = own.map_err(RunError::Tls)?.map(Arc::new);
        let clients = settings.client_ca.clone().map(|(ca, crl)| ClientTrust::open(ca, crl)).transpose();
        let clients = clients.map_err(RunError::Tls)?.map(Arc::new);
        let jwt = settings.jwt.clone().map(JwtIssuer::open).transpose().map_err(RunError::Jwks)?.map(Arc::new);
        let tls = settings.tls.as_ref().map(|tls| {
            let authority = authority_of(tls, settings.access_file.as_ref(), address)?;
            let reached = reached(tls, address, bound);
            ServerTls::new(authority, reached, own.as_deref(), clients.clone()).map_err(RunError::Tls)
        });
        Ok(FileSources { own, clients, jwt, tls: tls.transpose()?.map(Arc::new) })
    }

    /// Looks at them again, and at the access file, until the set is dropped. What changes has the
    /// streams judged anew.
    fn keep_looking(self, access: &Arc<AccessControl>, metrics: &Arc<MasterMetrics>) -> JoinSet<Infallible> {
        let mut tasks = JoinSet::new();
        if access.asks_for_credentials() {
            let access = access.clone();
            let look = move || access.look();
            tasks.spawn(keep_looking(Reloaded::Access, LOOK_AT_ACCESS_EVERY, metrics.clone(), look));
        }
        if let Some(own) = self.own {
            tasks.spawn(keep_looking(Reloaded::Certificate, LOOK_EVERY, metrics.clone(), move || own.look()));
        }
        if let Some(jwt) = self.jwt {
            let access = access.clone();
            tasks.spawn(jwt.keep_fetched(metrics.clone(), move || access.sources_changed()));
        }
        if let Some(clients) = self.clients {
            let access = access.clone();
            let look = move || {
                let is_new = clients.look()?;
                if is_new {
                    access.sources_changed();
                }
                Ok::<_, TlsError>(is_new)
            };
            tasks.spawn(keep_looking(Reloaded::ClientCa, LOOK_EVERY, metrics.clone(), look));
        }
        if let Some(tls) = self.tls {
            let looked = tls.clone();
            tasks.spawn(keep_looking(Reloaded::Ca, LOOK_EVERY, metrics.clone(), move || looked.look()));
            tasks.spawn(async move {
                let failed = |error| tracing::error!(error = crate::error_line(&error), "no new certificate");
                tls.keep_renewed(SystemTime::now, failed).await
            });
        }
        tasks
    }
}

/// The CA of a master that is reached at an address. It is made if it is to be.
fn authority_of(settings: &TlsSettings, access_file: Option<&PathBuf>, address: &str) -> Result<Authority, RunError> {
    let authority = match settings.makes_ca && !Authority::exists(&settings.pki).map_err(RunError::Tls)? {
        true => {
            tracing::info!(directory = %settings.pki.display(), "making a CA: whoever trusts another logs in anew");
            Authority::create(&settings.pki).map_err(RunError::Tls)?
        }
        false => Authority::open(&settings.pki).map_err(RunError::Tls)?,
    };
    let digest = authority.digest();
    match access_file {
        Some(file) if *file == settings.pki.join(ACCESS_FILE) => {
            if settings.makes_ca {
                add_first_token(&settings.pki)?;
            }
            let token = settings.pki.join(FIRST_TOKEN_FILE);
            tracing::info!(
                "people log in with `muster login {address} --ca-digest {digest} --token-file FILE`; the first \
                 administrator's is {}; workers join with the token of `muster token create --worker`",
                token.display()
            );
        }
        _ => tracing::info!("people log in with `muster login {address} --ca-digest {digest}`"),
    }
    Ok(authority)
}

/// The names and addresses under which a master is reached, for its certificate.
fn reached(settings: &TlsSettings, address: &str, bound: SocketAddr) -> Vec<String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let mut reached = vec![host.trim_matches(['[', ']']).to_owned()];
    if !bound.ip().is_unspecified() {
        reached.push(bound.ip().to_string());
    }
    reached.extend(settings.names.iter().cloned());
    reached
}

/// Goes from role to role until the process is told to stop.
async fn lead<C>(node: MasterProcess<C>) -> Result<MasterProcess<C>, FatalError>
where
    C: Candidate,
    C::Store: 'static,
{
    let mut standby = Standby(node);
    loop {
        let recovering = match standby.run().await? {
            Ok(recovering) => recovering,
            Err(stopped) => return Ok(stopped),
        };
        let next = match recovering.run().await? {
            Ok(active) => active.run().await?,
            Err(standby) => RoleAfter::Standby(standby),
        };
        standby = match next {
            RoleAfter::Standby(standby) => standby,
            RoleAfter::Halted(halted) => match halted.run().await {
                Ok(standby) => standby,
                Err(stopped) => return Ok(stopped),
            },
            RoleAfter::Stopped(stopped) => return Ok(stopped),
        };
    }
}

/// The address that others dial: the bound one, or this machine's name if it listens on all
/// addresses.
fn reachable(bound: SocketAddr) -> String {
    if !bound.ip().is_unspecified() {
        return bound.to_string();
    }
    let name = rustix::system::uname();
    format!("{}:{}", name.nodename().to_string_lossy(), bound.port())
}
