//! `muster-worker stop`: the end of a runner and of all that it runs.

use std::path::Path;
use std::time::Duration;

use muster_agent::runner_protocol::{Framed, ToRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::start::{RunnerError, connect};

/// How long each tree may take after TERM, unless it is said.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// What the kernel may need beyond that to let go of what was killed.
const REST: Duration = Duration::from_secs(20);

/// Ends the runner of a state directory; each tree has at most `grace` between TERM and KILL.
/// Answers whether there was one.
pub async fn stop(state_dir: &Path, grace: Duration) -> Result<bool, RunnerError> {
    let mut adopted = match connect(state_dir).await {
        Ok(adopted) => adopted,
        Err(RunnerError::Connect(..)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut frame = Vec::new();
    ToRunner::Shutdown(grace).append_frame(&mut frame);
    adopted.stream.write_all(&frame).await.map_err(RunnerError::Talk)?;
    let mut buffer = vec![0; 65_536];
    let ended = async {
        // It says what ends, and closes the connection with its own end.
        while adopted.stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    tokio::time::timeout(grace + REST, ended).await.map_err(|_| RunnerError::Timeout)?;
    Ok(true)
}
