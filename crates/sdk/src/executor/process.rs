//! A process that is an executor: the same program as its driver's, told by its environment.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use muster_client::WorkerUid;
use muster_dag::EXIT_NO_HEARTBEAT;
use muster_proto::v1;
use muster_proto::v1::executor_link_service_client::ExecutorLinkServiceClient;
use muster_types::Secret;
use tonic::transport::Endpoint;

use super::link::{LinkEnd, follow};
use super::outgoing::ExecutorOutgoing;
use super::output::{ExecutorOutputs, OutputServer, serve_outputs};
use super::state::SharedByThreads;
use crate::Context;
use crate::build_digest::{self, ExecutorBuild};
use crate::error_text::error_text;
use crate::foreign::ForeignRunner;
use crate::listen::listen;
use crate::outbox::LinkOutbox;

/// The variable with the address of the driver. A process that has it, and a number of an executor,
/// is one.
pub(crate) const DRIVER_VARIABLE: &str = "TASK_DRIVER";
/// The variable with the token of the application's executors.
pub(crate) const TOKEN_VARIABLE: &str = "TASK_DRIVER_TOKEN";
/// The variable with the directory that all executors of the application on this worker share.
const SCRATCH_VARIABLE: &str = "MUSTER_SCRATCH_DIR";
/// How long one try to reach the driver may take, and how many there are.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TRIES: u32 = 3;
/// The windows of the stream: results of a batch or two.
const STREAM_WINDOW: u32 = 4 << 20;
/// The largest message that comes: an argument has 16 MiB at most, and a message is closed by the
/// one that exceeds 1 MiB.
pub(crate) const LARGEST_MESSAGE: usize = 32 << 20;

/// Whether this process is an executor.
pub(crate) fn is_executor() -> bool {
    std::env::var_os(DRIVER_VARIABLE).is_some() && std::env::var_os("MUSTER_EXECUTOR_ID").is_some()
}

/// Runs this process as an executor, if it is one, and returns its exit code when the driver wants
/// nothing more. [`run`](crate::run) begins with it. A program that reads its command line before
/// that calls it first of all, because executors are started without arguments.
pub fn run_if_executor() -> Option<ExitCode> {
    let driver = is_executor().then(|| std::env::var(DRIVER_VARIABLE).unwrap_or_default())?;
    let digest = build_digest::of_this_program();
    let build = digest.map(ExecutorBuild::of_digest).map_err(|error| format!("this program cannot be read: {error}"));
    Some(ExitCode::from(exit_code(build.map_err(wrong).and_then(|build| serve(&driver, build, None)))))
}

/// Runs this process as an executor whose functions are run by another language. Returns its exit
/// code.
pub(crate) fn serve_foreign(build: ExecutorBuild, runner: Arc<dyn ForeignRunner>) -> u8 {
    let driver = std::env::var(DRIVER_VARIABLE).map_err(|_| wrong(format!("{DRIVER_VARIABLE} is missing")));
    exit_code(driver.and_then(|driver| serve(&driver, build, Some(runner))))
}

fn exit_code(served: Result<LinkEnd, ExecutorStartFailure>) -> u8 {
    let code = match served {
        Ok(LinkEnd::Stopped) => 0,
        Ok(end @ (LinkEnd::Closed | LinkEnd::Broken(_))) => {
            say(&error_text(&end));
            EXIT_NO_HEARTBEAT
        }
        Ok(end @ (LinkEnd::Refused(_) | LinkEnd::Threads(_))) => {
            say(&error_text(&end));
            1
        }
        Err(error) => {
            say(&error.text);
            error.code
        }
    };
    u8::try_from(code).unwrap_or(1)
}

/// Why an executor never got as far as a link.
struct ExecutorStartFailure {
    text: String,
    code: i32,
}

fn wrong(text: String) -> ExecutorStartFailure {
    ExecutorStartFailure { text, code: 1 }
}

fn serve(
    driver: &str,
    build: ExecutorBuild,
    foreign: Option<Arc<dyn ForeignRunner>>,
) -> Result<LinkEnd, ExecutorStartFailure> {
    let context = Context::from_env().map_err(|error| wrong(error_text(&error)))?;
    let executor = context.executor.ok_or_else(|| wrong("MUSTER_EXECUTOR_ID is missing".to_owned()))?;
    let token = Secret::new(std::env::var(TOKEN_VARIABLE).unwrap_or_default());
    let uid = std::env::var("MUSTER_WORKER_UID").unwrap_or_default();
    let uid: WorkerUid = uid.parse().map_err(|error| wrong(format!("MUSTER_WORKER_UID: {error}")))?;
    let registration = v1::ExecutorRegistration {
        executor_id: executor.0,
        worker_uid: uid.to_bytes().to_vec().into(),
        rack: String::new(),
        profile_id: 0,
        cores: context.cores.max(1),
        build_digest: build.digest.to_vec().into(),
        interpreter: build.interpreter.to_string(),
        token: token.expose().to_owned(),
        output_address: String::new(),
    };
    // One thread is enough: tasks have their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| wrong(error_text(&error)))?;
    runtime.block_on(connect_and_follow(driver, registration, &context, foreign))
}

/// Where outputs go for which there is no room in memory.
fn scratch_folder(context: &Context, executor: u32) -> PathBuf {
    let scratch = std::env::var_os(SCRATCH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = scratch.or_else(|| context.work_dir.clone()).unwrap_or_else(std::env::temp_dir);
    folder.join(format!("outputs-{executor}"))
}

async fn connect_and_follow(
    driver: &str,
    mut registration: v1::ExecutorRegistration,
    context: &Context,
    foreign: Option<Arc<dyn ForeignRunner>>,
) -> Result<LinkEnd, ExecutorStartFailure> {
    let unreachable = |error: &dyn std::error::Error| ExecutorStartFailure {
        text: format!("the driver at {driver} cannot be reached: {}", error_text(error)),
        code: EXIT_NO_HEARTBEAT,
    };
    let endpoint = Endpoint::from_shared(format!("http://{driver}")).map_err(|error| unreachable(&error))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(2 * STREAM_WINDOW);
    let mut tries = 0;
    let channel = loop {
        tries += 1;
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(error) if tries == CONNECT_TRIES => return Err(unreachable(&error)),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    };
    let executor = registration.executor_id;
    let token = Secret::new(registration.token.clone());
    let outputs = ExecutorOutputs::new(executor, scratch_folder(context, executor), token.clone());
    let listener = listen(&context.host).await.map_err(|error| ExecutorStartFailure {
        text: format!("outputs cannot be served on {}: {}", context.host, error_text(&error)),
        code: EXIT_NO_HEARTBEAT,
    })?;
    registration.output_address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    tokio::spawn(serve_outputs(listener, OutputServer::new(outputs.store.clone(), token)));
    let (outbox, stream) = LinkOutbox::<ExecutorOutgoing>::new();
    let state = SharedByThreads::new(muster_types::ExecutorId(executor), outbox, outputs, foreign);
    let cores = registration.cores;
    state.register(registration);
    let mut client = ExecutorLinkServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    match client.link(stream).await {
        Ok(response) => Ok(follow(&state, cores, response.into_inner()).await),
        Err(status) => Ok(LinkEnd::Broken(Box::new(status))),
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    // An error means that nobody reads it.
    let _ = writeln!(std::io::stderr(), "error: {text}");
}
