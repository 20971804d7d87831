//! The agent as a whole: everything that is opened, and the tasks that run until it is told to
//! stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_agent::runner_protocol::VERSION_WITH_CREDENTIALS;
use muster_os::{LockFile, PrivateDirectoryError};
use muster_proto::BearerToken;
use muster_proto::server::HttpPort;
use muster_tls::{JoinToken, TlsError};
use muster_traces::{Traces, TracesError};
use muster_types::{Hello, RequiredContainment};
use muster_units::TimeSpan;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::accounts::{AccountError, NoOwnerUid};
use crate::attempts::Attempts;
use crate::certificate::{self, WorkerCertificate};
use crate::config::WorkerConfig;
use crate::janitor::Janitor;
use crate::launch::{AttemptDirectories, Preparer, ScratchDirectories, WorkerVariables, pool};
use crate::link::{LinkActor, WorkerProfile};
use crate::logs::{Truncations, can_punch};
use crate::metrics::WorkerPages;
use crate::private_tmp;
use crate::runner::{RunnerContext, RunnerError, RunnerOrders, RunnerStart, RunnerTask, adopt_or_start};
use crate::service::{Server, ServiceState, WorkerServiceError, bind};
use crate::state::{self, Identity, StateError};
use crate::status::AgentStatus;
use crate::traced::TracedAttempts;

/// How long an agent that ends waits for its last spans to be exported.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(StateError),
    /// The work or log directory cannot be made, or is not taken.
    #[error("work and log directories")]
    Directories(#[source] PrivateDirectoryError),
    /// The work directory cannot be read.
    #[error("cannot read the work directory")]
    Scratch(#[source] io::Error),
    /// The address to listen on cannot be bound.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// There is no usable runner.
    #[error(transparent)]
    Runner(RunnerError),
    /// Programs cannot run as an account of `--run-as`.
    #[error(transparent)]
    Account(AccountError),
    /// It is not known which owner has which user.
    #[error("users of owners")]
    OwnerUids(#[source] NoOwnerUid),
    /// `--require-containment` on a machine that has none.
    #[error(
        "--require-containment: this machine cannot hold process trees (no usable cgroup): a kill could leave something \
         behind"
    )]
    NoContainment,
    /// `--require-containment users` where owners share a user.
    #[error(
        "--require-containment users: programs of several owners would run as one user here: run the worker as root, \
         without a --run-as for all owners, with numbers for their users (--owner-uids, /etc/subuid)"
    )]
    NoOwnerUsers,
    /// The thread that prepares launches cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The service failed.
    #[error("cannot serve")]
    Serve(#[source] WorkerServiceError),
    /// The key, the certificate or the CA of this worker cannot be used.
    #[error("cannot use TLS")]
    Tls(#[source] TlsError),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// A part of the agent failed. The whole agent ends then, so that a restart brings back all
    /// parts.
    #[error("a part of the agent failed")]
    Failed(#[source] tokio::task::JoinError),
}

/// What was opened, before anything runs.
struct OpenedState {
    _lock: LockFile,
    identity: Identity,
    remembered: Option<muster_agent::link::RememberedCluster>,
    layout: Arc<AttemptDirectories>,
    punch_hole: bool,
}

/// Runs the agent until `stop` changes to true. The attempts go on afterwards.
pub async fn run(config: WorkerConfig, mut stop: watch::Receiver<bool>) -> Result<(), AgentError> {
    let stopping = stop.clone();
    let opened = open(&config)?;
    let traces = Traces::open(&config.otlp, "muster-worker", opened.identity.uid.to_string())?;
    let result = tokio::select! {
        done = run_parts(config, opened, traces, stopping) => done,
        // This also ends the wait for a runner.
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    };
    traces.flush(FLUSH_WITHIN).await;
    result
}

async fn run_parts(
    config: WorkerConfig,
    opened: OpenedState,
    traces: Traces,
    stop: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let (listener, bound) = bind(config.listen).await.map_err(|error| AgentError::Listen(config.listen, error))?;
    let address = config.advertise.clone().unwrap_or_else(|| advertised(&config, bound));
    let http = match config.http {
        Some(at) => Some(HttpPort::bind(at, [address.clone()]).await.map_err(|error| AgentError::Listen(at, error))?),
        None => None,
    };
    let directories = &config.directories;
    let pin = config.token.as_ref().and_then(JoinToken::pin);
    let trust =
        certificate::find_trust(config.trust.clone(), pin, &config.masters, &directories.state, &directories.work);
    let trust = trust.await.map_err(AgentError::Tls)?;
    let token = config.token.as_ref().and_then(|token| BearerToken::new(token.bearer()).ok());
    let certified = trust
        .as_ref()
        .map(|ca| WorkerCertificate::open(&directories.state, opened.identity.uid, ca.trust.clone(), token.clone()));
    let certified = certified.transpose().map_err(AgentError::Tls)?;
    let certified = match config.trust {
        // What an operator gave is the operator's to exchange.
        Some(_) => certified,
        None => certified.map(|mine| mine.keeping_cas(&directories.state, Some(&directories.work))),
    };
    let shown = certified.as_ref().map(WorkerCertificate::shown);
    let start = runner_start(&config, &opened.layout);
    let first = adopt_or_start(&start).await.map_err(AgentError::Runner)?;
    let required = config.require_containment;
    if required != RequiredContainment::Nothing && !first.hello.capabilities.tree {
        return Err(AgentError::NoContainment);
    }
    let owner_users = first.hello.capabilities.own_users && opened.layout.accounts().separate_owners();
    if required == RequiredContainment::Users && !owner_users {
        return Err(AgentError::NoOwnerUsers);
    }
    // A runner that is too old to know of users says nothing of them, and may be replaced later.
    let knows_users = first.hello.version >= VERSION_WITH_CREDENTIALS;
    let cannot_change = knows_users && !first.hello.capabilities.own_users;
    if let Some(account) = opened.layout.accounts().others().next().filter(|_| cannot_change) {
        return Err(AgentError::Account(AccountError::NotPossible(account.name)));
    }
    if !first.hello.capabilities.tree {
        tracing::warn!(
            "this worker is best effort: its machine cannot hold process trees, a kill may leave something behind"
        );
    }
    if !opened.punch_hole {
        tracing::warn!("logs cannot be bounded in place here: an attempt whose log exceeds its bound is ended");
    }

    let status = AgentStatus::new();
    let attempts = Attempts::default();
    let truncations: Arc<Truncations> = Arc::default();
    let (orders, queue) = RunnerOrders::channel(attempts.clone());
    let ca_file = trust.as_ref().map(|ca| ca.file.clone());
    let facts = Arc::new(worker_facts(&config, &opened.identity, ca_file, &address));
    let has_private_tmp = first.hello.capabilities.private_tmp;
    let preparer = Preparer::new(opened.layout.clone(), facts, config.artifact_networks.clone(), has_private_tmp);
    let (jobs, done) = pool::start(preparer, Handle::current()).map_err(AgentError::Thread)?;
    let trust = trust.map(|ca| ca.trust);
    let profile = WorkerProfile {
        trust: trust.clone(),
        certificate: shown.clone(),
        token: token.clone(),
        ..profile(&config, &opened, &address)
    };
    let masters: Vec<String> = profile.masters.iter().chain(&profile.known_masters).cloned().collect();
    let (actor, link) = LinkActor::new(profile, orders.clone(), status.clone());
    let scratches = ScratchDirectories::find(opened.layout.clone()).map_err(AgentError::Scratch)?;
    let context = RunnerContext {
        link,
        attempts: attempts.clone(),
        status: status.clone(),
        jobs,
        done,
        orders: queue,
        layout: opened.layout.clone(),
        scratches,
        truncations: truncations.clone(),
        limits: config.limits,
        punch_hole: opened.punch_hole,
        traced: TracedAttempts::new(traces, opened.identity.uid),
    };
    let janitor = Janitor {
        attempts: attempts.clone(),
        layout: opened.layout.clone(),
        truncations: truncations.clone(),
        orders,
        retention: config.retention.clone(),
        punch_hole: opened.punch_hole,
    };
    let state = Arc::new(ServiceState {
        name: config.name.to_string(),
        uid: opened.identity.uid.to_string(),
        address: address.clone(),
        trust,
        token,
        certificate: shown,
        total: config.total.clone(),
        attempts,
        status: status.clone(),
        layout: opened.layout.clone(),
        truncations,
    });

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(actor.run());
    tasks.spawn(RunnerTask::new(start, context).run(first));
    tasks.spawn(janitor.clone().bound_logs());
    tasks.spawn(janitor.clean());
    if let Some(certified) = certified {
        let status = status.clone();
        tasks.spawn(async move { match certified.keep(masters, status).await {} });
    }
    if let Some(http) = http {
        let pages = Arc::new(WorkerPages {
            status: status.clone(),
            attempts: state.attempts.clone(),
            layout: opened.layout.clone(),
            total: config.total.clone(),
        });
        tasks.spawn(async move { match http.serve(pages).await {} });
    }
    if let Some(path) = config.address_file.clone() {
        tasks.spawn(write_address(path, address, status));
    }
    let serving = Server::new(state, listener).run(stop);
    // The first to end ends the rest, which is dropped with the set. The attempts belong to the
    // runner.
    tokio::select! {
        served = serving => served.map_err(AgentError::Serve),
        failed = first_failure(&mut tasks) => Err(AgentError::Failed(failed)),
    }
}

/// Waits for a part that panics; a part that ends in order is ignored.
async fn first_failure(tasks: &mut tokio::task::JoinSet<()>) -> tokio::task::JoinError {
    loop {
        match tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return error,
            None => std::future::pending().await,
        }
    }
}

fn runner_start(config: &WorkerConfig, layout: &AttemptDirectories) -> RunnerStart {
    let mut args = runner_arguments(config.limits, config.fence_kill_after, layout.accounts().allow_own());
    // Paths of directories are known to be texts.
    let private_tmp = private_tmp::directory(config).map(|path| path.to_string_lossy().into_owned());
    args.extend(private_tmp.into_iter().flat_map(|path| ["--private-tmp".to_owned(), path]));
    args.extend(config.runner_args.iter().cloned());
    RunnerStart { binary: config.runner.clone(), state_dir: config.directories.state.clone(), args }
}

fn runner_arguments(limits: bool, fence_kill_after: Duration, allow_root: bool) -> Vec<String> {
    let limits = if limits { "on" } else { "off" };
    let fence = TimeSpan(fence_kill_after).to_string();
    let root = allow_root.then_some("--allow-root");
    ["--limits", limits, "--fence-kill-after", &fence].into_iter().chain(root).map(str::to_owned).collect()
}

fn open(config: &WorkerConfig) -> Result<OpenedState, AgentError> {
    let directory = &config.directories.state;
    if config.accounts.has_others() {
        // The work directories of accounts are beside the state directory.
        muster_os::make_traversable_parents(directory).map_err(AgentError::Directories)?;
    }
    let lock = state::lock(directory).map_err(AgentError::State)?;
    let identity = Identity::load_or_make(directory).map_err(AgentError::State)?;
    if let Some(made_on) = &identity.made_on {
        tracing::warn!(
            made_on,
            machine = identity.machine_id,
            "the state directory was made on another machine; if that one still runs a worker from it, a master will refuse this one"
        );
    }
    if config.rejoin {
        state::forget(directory).map_err(AgentError::State)?;
    }
    let remembered = state::load(directory).map_err(AgentError::State)?;
    let layout = AttemptDirectories::make(config.directories.clone(), config.accounts.clone())
        .map_err(AgentError::Directories)?;
    for account in layout.accounts().others() {
        account.check_reach(&config.directories.work).map_err(AgentError::Account)?;
    }
    layout.accounts().load().map_err(AgentError::OwnerUids)?;
    let punch_hole = can_punch(&config.directories.logs);
    Ok(OpenedState { _lock: lock, identity, remembered, layout: Arc::new(layout), punch_hole })
}

/// The host with the port that was bound.
fn advertised(config: &WorkerConfig, bound: SocketAddr) -> String {
    if config.host.contains(':') {
        format!("[{}]:{}", config.host, bound.port())
    } else {
        format!("{}:{}", config.host, bound.port())
    }
}

fn worker_facts(
    config: &WorkerConfig,
    identity: &Identity,
    ca_file: Option<PathBuf>,
    address: &str,
) -> WorkerVariables {
    WorkerVariables {
        name: config.name.to_string(),
        uid: identity.uid.to_string(),
        host: config.host.clone(),
        address: address.to_owned(),
        ca_file,
        labels: config.labels.clone(),
        variables: config.variables.clone(),
        passed_on: WorkerVariables::of_agent(),
    }
}

fn profile(config: &WorkerConfig, opened: &OpenedState, address: &str) -> WorkerProfile {
    let hello = Hello {
        machine_id: opened.identity.machine_id.clone(),
        boot_id: opened.identity.boot_id.clone(),
        ..config.hello(opened.identity.uid, address)
    };
    WorkerProfile {
        hello,
        masters: config.masters.clone(),
        trust: None,
        certificate: None,
        token: None,
        remembered: opened.remembered,
        known_masters: state::load_masters(&config.directories.state),
        state_dir: config.directories.state.clone(),
    }
}

/// Writes the address in one piece, once the worker is registered.
async fn write_address(path: PathBuf, address: String, status: AgentStatus) {
    let mut changes = status.subscribe();
    if changes.wait_for(|status| status.registered.is_some()).await.is_err() {
        return;
    }
    if let Err(error) = muster_os::file::replace(&path, format!("{address}\n")) {
        tracing::error!(path = %path.display(), %error, "cannot write the address file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_told_a_length_of_time_to_the_millisecond() {
        let arguments = |millis| runner_arguments(true, Duration::from_millis(millis), false);
        assert_eq!(arguments(1_500), ["--limits", "on", "--fence-kill-after", "1500ms"]);
        assert_eq!(arguments(600_000)[3], "10m");
        assert_eq!(arguments(0)[3], "0");
    }
}
