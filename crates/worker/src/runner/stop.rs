//! `muster-worker stop`: the end of a runner and of everything that it runs.

use std::path::Path;
use std::time::Duration;

use muster_agent::runner_protocol::{Framed, ToRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::start::{RunnerError, connect};

/// How long each tree may take after TERM, by default.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long the kernel may need after that to end what was killed.
const REST: Duration = Duration::from_secs(20);

/// Ends the runner of a state directory; each tree has at most `grace` between TERM and KILL.
/// Returns whether there was a runner.
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
        // The runner reports what ends, and closes the connection when it ends itself.
        while adopted.stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    tokio::time::timeout(grace + REST, ended).await.map_err(|_| RunnerError::Timeout)?;
    Ok(true)
}
