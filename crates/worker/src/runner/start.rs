//! Finding the runner that serves the state directory, or starting one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use muster_agent::runner_protocol::{
    AgentHello, FrameError, FrameReader, Framed, RunnerHello, SOCKET_NAME, ToAgent, ToRunner, VERSION, VERSION_MIN,
};
use rustix::net::sockopt::socket_peercred;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::protection;

/// A runner answers a hello at once, unless its machine is very busy or it still ends leftovers.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a runner may take from its start until its socket exists: it first ends what an earlier
/// one left.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Exit code of a runner that found another one serving the directory: that one came between the
/// check and the start, or is about to end.
const ALREADY_SERVED: i32 = 3;
/// How often a runner that hangs up is tried, and the pause in between.
const TRIES: u32 = 10;
const HANG_UP_PAUSE: Duration = Duration::from_millis(100);
/// First pause between two tries to connect to the socket; it doubles up to a tenth of a second.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// Why there is no runner.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Its binary cannot be started.
    #[error("cannot start the runner {0}")]
    Spawn(PathBuf, #[source] io::Error),
    /// It ended instead of serving.
    #[error("the runner {0} ended with {1}")]
    Ended(PathBuf, std::process::ExitStatus),
    /// Its socket cannot be connected to.
    #[error("cannot connect to the runner at {0}")]
    Connect(PathBuf, #[source] io::Error),
    /// Another user serves the socket.
    #[error("the runner's socket is served by another user")]
    Foreign,
    /// The connection failed.
    #[error("the connection to the runner failed")]
    Talk(#[source] io::Error),
    /// It sent something that is no message.
    #[error("the runner sent what is no message")]
    Frame(#[source] FrameError),
    /// It refused this agent, for this reason.
    #[error("the runner refused this agent: {0}")]
    Refused(String),
    /// It did not answer in time.
    #[error("the runner did not answer in time")]
    Timeout,
}

/// A runner that has answered the hello.
#[derive(Debug)]
pub struct Adopted {
    pub(super) stream: UnixStream,
    pub(super) reader: FrameReader<ToAgent>,
    /// The runner's hello.
    pub hello: RunnerHello,
}

/// How a runner is started.
#[derive(Debug, Clone)]
pub struct RunnerStart {
    /// Its binary.
    pub binary: PathBuf,
    /// The state directory that it serves.
    pub state_dir: PathBuf,
    /// Further arguments.
    pub args: Vec<String>,
}

/// Adopts the runner that serves the state directory, or starts one if there is none. A runner that
/// hangs up was most likely told to end: it is tried again. A runner that takes the connection and
/// does not answer is stopped, or not scheduled. The agent waits for it, since it holds this
/// worker's processes and no other runner may be started beside it.
pub async fn adopt_or_start(start: &RunnerStart) -> Result<Adopted, RunnerError> {
    let mut tries = 0;
    loop {
        let result = match connect_patiently(&start.state_dir).await {
            Err(RunnerError::Connect(..)) => {
                spawn(start).await?;
                wait_for_socket(&start.state_dir).await
            }
            result => result,
        };
        tries += 1;
        match result {
            Err(RunnerError::Talk(_)) if tries < TRIES => tokio::time::sleep(HANG_UP_PAUSE).await,
            result => return result,
        }
    }
}

/// Connects to the runner that serves the state directory, and says hello.
pub(super) async fn connect(state_dir: &Path) -> Result<Adopted, RunnerError> {
    let stream = open(state_dir).await?;
    tokio::time::timeout(HELLO_TIMEOUT, reconnect(stream)).await.unwrap_or(Err(RunnerError::Timeout))
}

/// Does the same on one connection, for as long as it takes: each further connection would wait in
/// the queue of a stopped runner, until that is full.
async fn connect_patiently(state_dir: &Path) -> Result<Adopted, RunnerError> {
    let mut answer = std::pin::pin!(reconnect(open(state_dir).await?));
    loop {
        if let Ok(result) = tokio::time::timeout(HELLO_TIMEOUT, &mut answer).await {
            return result;
        }
        tracing::warn!(state_dir = %state_dir.display(), "the runner does not answer: it may be stopped; waiting for it");
    }
}

async fn open(state_dir: &Path) -> Result<UnixStream, RunnerError> {
    let path = state_dir.join(SOCKET_NAME);
    let stream = UnixStream::connect(&path).await.map_err(|error| RunnerError::Connect(path, error))?;
    let peer = socket_peercred(&stream).map_err(|errno| RunnerError::Talk(errno.into()))?;
    if peer.uid != rustix::process::geteuid() {
        return Err(RunnerError::Foreign);
    }
    Ok(stream)
}

async fn reconnect(mut stream: UnixStream) -> Result<Adopted, RunnerError> {
    let mut frame = Vec::new();
    ToRunner::Hello(AgentHello { version_min: VERSION_MIN, version_max: VERSION }).append_frame(&mut frame);
    stream.write_all(&frame).await.map_err(RunnerError::Talk)?;
    let mut reader = FrameReader::default();
    let mut buffer = vec![0; 4_096];
    loop {
        match reader.take().map_err(RunnerError::Frame)? {
            Some(ToAgent::Hello(hello)) => return Ok(Adopted { stream, reader, hello: *hello }),
            Some(ToAgent::Refused(reason)) => return Err(RunnerError::Refused(reason)),
            // A message that was on its way to an earlier agent.
            Some(_) => continue,
            None => {}
        }
        let count = stream.read(&mut buffer).await.map_err(RunnerError::Talk)?;
        if count == 0 {
            return Err(RunnerError::Talk(io::ErrorKind::UnexpectedEof.into()));
        }
        reader.push(&buffer[..count]);
    }
}

/// Starts a runner. It leaves the agent's session by itself, and the process that is started here
/// ends once the runner serves or has failed.
async fn spawn(start: &RunnerStart) -> Result<(), RunnerError> {
    let failed = |error| RunnerError::Spawn(start.binary.clone(), error);
    tracing::info!(runner = %start.binary.display(), "starting a runner");
    let mut command = tokio::process::Command::new(&start.binary);
    command.arg("--state-dir").arg(&start.state_dir).args(&start.args);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = protection::start_usual(|| command.spawn()).map_err(failed)?;
    match tokio::time::timeout(START_TIMEOUT, child.wait()).await {
        Ok(Ok(status)) if status.success() || status.code() == Some(ALREADY_SERVED) => Ok(()),
        Ok(Ok(status)) => Err(RunnerError::Ended(start.binary.clone(), status)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(RunnerError::Timeout),
    }
}

async fn wait_for_socket(state_dir: &Path) -> Result<Adopted, RunnerError> {
    let look = async {
        let mut pause = LOOK_PAUSE;
        loop {
            match connect(state_dir).await {
                Err(RunnerError::Connect(..)) => tokio::time::sleep(pause).await,
                result => return result,
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    tokio::time::timeout(START_TIMEOUT, look).await.unwrap_or(Err(RunnerError::Timeout))
}
