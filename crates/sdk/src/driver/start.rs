//! Starting the driver's side: in a cluster, or with its executor in one process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_client::{CallError, v1};
use muster_proto::v1::executor_link_service_server::ExecutorLinkServiceServer;
use muster_proto::v1::output_block::Codec;
use muster_types::{ExecutorId, Secret};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::transport::Server;

use super::accept::LinkAcceptor;
use super::cluster::{self, ClusterControl};
use super::{CallerInput, CallerInputs, DriverLoop, binary};
use crate::build_digest::{self, ExecutorBuild, hex};
use crate::executor::{DRIVER_VARIABLE, ExecutorOutputs, LARGEST_MESSAGE, SharedByThreads, TOKEN_VARIABLE, follow};
use crate::listen::{connections, listen};
use crate::outbox::LinkOutbox;
use crate::{Application, Context, ContextError, OutputCompression, TaskEvent, TasksOptions};

/// Messages of all links that wait for the loop; each has about 1 MiB at most.
const WAITING_MESSAGES: usize = 64;
/// Events that a slow watcher may be behind.
const WAITING_EVENTS: usize = 1024;
/// The window of a link's stream, for what executors send.
const STREAM_WINDOW: u32 = 4 << 20;
/// All streams of a connection; an executor has one.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How long executors may take to end by themselves.
const GRACE: Duration = Duration::from_secs(10);
/// The time between two heartbeats of an executor.
const HEARTBEAT_MILLIS: u32 = 10_000;
/// A result of more bytes is fetched, so that it keeps nothing else waiting.
const DIRECT_RESULT_BYTES: u64 = 1 << 20;
/// One part in so many of the memory of an executor is for the outputs of its tasks.
const OUTPUT_SHARE: u64 = 4;
/// The profile of the executors.
const PROFILE: u32 = 0;

/// Why tasks cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment makes no sense.
    #[error("the environment makes no sense")]
    Context(#[from] ContextError),
    /// `MUSTER_MASTER` begins like `local[n]`, and is not.
    #[error("MUSTER_MASTER is {0:?}: local[n] has a number of cores, from 1 to 1024")]
    Local(String),
    /// This process is an executor: its `main` went past [`run`](crate::run).
    #[error("an executor cannot start tasks: the main of a program with tasks begins with muster_sdk::run")]
    InExecutor,
    /// No executors, or executors without cores, were asked for.
    #[error("there must be at least one executor, and each needs a core")]
    NoCores,
    /// The program cannot be read.
    #[error("this program cannot be read")]
    Program(#[source] std::io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// There is no port for executors.
    #[error("cannot listen on {0}")]
    Listen(String, #[source] std::io::Error),
    /// The master did not register the application.
    #[error("the application is not registered")]
    Register(#[source] CallError),
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What a caller holds of a driver's side.
#[derive(Debug)]
pub(crate) struct DriverSide {
    pub(crate) inputs: CallerInputs,
    pub(crate) events: broadcast::Sender<TaskEvent>,
    cluster: Option<ClusterControl>,
    session: Option<JoinHandle<()>>,
    servers: Vec<JoinHandle<()>>,
}

impl DriverSide {
    /// The name of the application; empty without one.
    pub(crate) fn application(&self) -> &str {
        self.cluster.as_ref().map_or("", |cluster| cluster.application.name())
    }

    /// Ends everything, in the order in which nothing is replaced.
    pub(crate) async fn stop(&mut self, error: Option<&str>) -> Result<(), CallError> {
        let unregistered = match &self.cluster {
            Some(cluster) => {
                cluster.application.unregister_within(error.is_none(), error.unwrap_or("done"), GRACE).await
            }
            None => Ok(()),
        };
        let (stopped, stopping) = oneshot::channel();
        if self.inputs.tell(CallerInput::Stop(stopped)) {
            // An error means that the loop has ended already.
            let _ = stopping.await;
        }
        // What remains is killed when the driver of an application ends, so it waits for them.
        if let Some(session) = self.session.take().filter(|_| unregistered.is_ok()) {
            let _ = tokio::time::timeout(GRACE, session).await;
        }
        unregistered
    }
}

impl Drop for DriverSide {
    fn drop(&mut self) {
        self.servers.iter().chain(&self.session).for_each(JoinHandle::abort);
    }
}

/// Where a loop that runs is told things.
pub(super) struct LoopInputs {
    pub(super) links: LinkAcceptor,
    pub(super) inputs: CallerInputs,
    pub(super) events: broadcast::Sender<TaskEvent>,
}

/// What each executor is told when it registers.
fn terms(options: &TasksOptions) -> v1::ExecutorRegistered {
    let codec = match options.output_compression {
        OutputCompression::Lz4 => Codec::Lz4,
        OutputCompression::None => Codec::None,
    };
    v1::ExecutorRegistered {
        heartbeat_millis: HEARTBEAT_MILLIS,
        direct_result_bytes: DIRECT_RESULT_BYTES,
        output_memory_bytes: options.output_memory.unwrap_or(options.executor_memory / OUTPUT_SHARE),
        fetch_bytes: options.fetch_memory,
        output_codec: codec.into(),
    }
}

/// Starts the loop.
#[expect(
    clippy::disallowed_methods,
    reason = "permits bound the jobs, and a handle that is dropped cannot wait until it may cancel its own"
)]
pub(super) fn start_loop(
    options: &TasksOptions,
    cluster: Option<ClusterControl>,
    token: Secret,
    build: ExecutorBuild,
) -> LoopInputs {
    let (links, from_links) = mpsc::channel(WAITING_MESSAGES);
    let (inputs, from_callers) = mpsc::unbounded_channel();
    let (events, _) = broadcast::channel(WAITING_EVENTS);
    let own_inputs = inputs.downgrade();
    let driver = DriverLoop::new(options.scheduler.clone(), terms(options), cluster, events.clone(), own_inputs);
    tokio::spawn(driver.run(from_links, from_callers));
    LoopInputs { links: LinkAcceptor::new(links, token, build), inputs: CallerInputs::new(inputs), events }
}

/// Where outputs go for which there is no room in memory, when this process is the executor.
/// Nobody else finds its name, as others may write to the same directory.
fn local_scratch_folder() -> Result<PathBuf, StartError> {
    Ok(std::env::temp_dir().join(format!("muster-outputs-{}", random_text()?)))
}

/// Starts driver and executor in this process.
pub(crate) fn start_locally(options: &TasksOptions, cores: u32) -> Result<DriverSide, StartError> {
    let LoopInputs { links, inputs, events } =
        start_loop(options, None, Secret::new(""), ExecutorBuild::of_digest([0; 32]));
    let (outbox, up) = LinkOutbox::new();
    let outputs = ExecutorOutputs::new(0, local_scratch_folder()?, Secret::new(""));
    let state = SharedByThreads::new(ExecutorId(0), outbox, outputs, None);
    state.register(v1::ExecutorRegistration {
        executor_id: 0,
        worker_uid: vec![0; 16].into(),
        profile_id: PROFILE,
        cores,
        build_digest: vec![0; 32].into(),
        ..Default::default()
    });
    let down = links.accept(up.map(Ok));
    let driver = inputs.clone();
    let executor = tokio::spawn(async move {
        let end = follow(&state, cores, down.map(Ok)).await;
        driver.tell(CallerInput::Ended(end.to_string().into()));
    });
    Ok(DriverSide { inputs, events, cluster: None, session: None, servers: vec![executor] })
}

/// Registers an application whose executors run this program.
pub(crate) async fn start_in_cluster(options: &TasksOptions) -> Result<DriverSide, StartError> {
    let context = Context::from_env()?;
    let digest = tokio::task::spawn_blocking(build_digest::of_this_program).await;
    let digest = digest.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(StartError::Program)?;
    let (token, path) = (random_text()?, random_text()?);
    let path: Arc<str> = format!("/program/{path}").into();
    let no_port = |error| StartError::Listen(context.host.clone(), error);
    let links = listen(&context.host).await.map_err(no_port)?;
    let programs = listen(&context.host).await.map_err(no_port)?;
    let address = |listener: &TcpListener| listener.local_addr().map_err(no_port);
    let spec = application(options, &address(&links)?.to_string(), &token, || {
        Ok((format!("http://{}{path}", address(&programs)?), hex(&digest)))
    })?;
    let application = Application::register(&context, spec).await.map_err(StartError::Register)?;
    let build = ExecutorBuild::of_digest(digest);
    let mut side = start_registered(&context, application, links, token, build, options);
    side.servers.push(tokio::spawn(binary::serve(programs, path)));
    Ok(side)
}

/// Registers an application whose executors run a command that is no program of this crate's.
pub(crate) async fn start_foreign(
    context: &Context,
    name: String,
    mut spec: v1::ApplicationSpec,
    build: ExecutorBuild,
) -> Result<DriverSide, StartError> {
    let token = random_text()?;
    let no_port = |error| StartError::Listen(context.host.clone(), error);
    let links = listen(&context.host).await.map_err(no_port)?;
    let address = links.local_addr().map_err(no_port)?;
    let command = spec.template.get_or_insert_default().command.get_or_insert_default();
    command.env.insert(DRIVER_VARIABLE.to_owned(), address.to_string());
    command.secret_env.insert(TOKEN_VARIABLE.to_owned(), token.clone());
    let application = Application::register_as(context, name, spec).await.map_err(StartError::Register)?;
    Ok(start_registered(context, application, links, token, build, &TasksOptions::default()))
}

/// Starts what a registered application needs.
fn start_registered(
    context: &Context,
    application: Application,
    links: TcpListener,
    token: String,
    build: ExecutorBuild,
    options: &TasksOptions,
) -> DriverSide {
    let session = application.open_session();
    let cluster = ClusterControl { application, client: context.client() };
    let LoopInputs { links: acceptor, inputs, events } =
        start_loop(options, Some(cluster.clone()), Secret::new(token), build);
    let service = ExecutorLinkServiceServer::new(acceptor).max_decoding_message_size(LARGEST_MESSAGE);
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_service(service);
    let serving = async move {
        // An error ends the executors' streams, which is what is noticed.
        let _ = server.serve_with_incoming(connections(links)).await;
    };
    let servers = vec![tokio::spawn(serving)];
    let session = tokio::spawn(cluster::follow(session, inputs.clone()));
    DriverSide { inputs, events, cluster: Some(cluster), session: Some(session), servers }
}

fn random_text() -> Result<String, StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| StartError::Random)?;
    Ok(hex(&bytes))
}

fn application(
    options: &TasksOptions,
    driver: &str,
    token: &str,
    shipped: impl FnOnce() -> Result<(String, String), StartError>,
) -> Result<v1::ApplicationSpec, StartError> {
    const FILE: &str = "program";
    let (program, artifacts) = match &options.executor_program {
        Some(program) => (program.clone(), Vec::new()),
        None => {
            let (uri, sha256) = shipped()?;
            let artifact = v1::Artifact { uri, sha256, file_name: FILE.to_owned(), executable: true };
            (format!("./{FILE}"), vec![artifact])
        }
    };
    let command = v1::Command {
        program,
        env: BTreeMap::from([(DRIVER_VARIABLE.to_owned(), driver.to_owned())]),
        secret_env: BTreeMap::from([(TOKEN_VARIABLE.to_owned(), token.to_owned())]),
        ..Default::default()
    };
    let resources =
        v1::Resources { cores: options.executor_cores, memory_bytes: options.executor_memory, ..Default::default() };
    let profile = v1::ExecutorProfile {
        profile_id: PROFILE,
        resources: Some(resources),
        target: options.executors,
        ..Default::default()
    };
    Ok(v1::ApplicationSpec {
        name: options.name.clone(),
        template: Some(v1::ExecutorTemplate { command: Some(command), artifacts, ..Default::default() }),
        profiles: vec![profile],
        ..Default::default()
    })
}
