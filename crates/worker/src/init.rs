//! The first process of a container.
//!
//! Process 1 inherits every orphan of its PID namespace (of `kubectl exec`, for one) and must reap
//! them, the kernel gives it no default action for any signal, and everything in the namespace is
//! killed with it. So a worker that finds itself process 1 starts the agent as a process of its
//! own, reaps whatever ends, and turns TERM into an orderly end: the agent first, then the programs
//! with their grace, then itself.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use crate::runner;
use crate::state::{ProcessOneLock, StateError};

/// How long the agent may take to end before it is killed. It ends at once unless it is stopped.
const AGENT_REST: Duration = Duration::from_secs(2);
/// Pause before a crashed agent is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Time between two tries of a lock that another container holds.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// The exit code of a Rust program that panics.
const PANICKED: i32 = 101;

/// Whether this process is the first of a PID namespace.
pub fn is_process_one() -> bool {
    std::process::id() == 1
}

/// Starts this program once more, with the same arguments, as the agent, and serves as process 1.
/// An agent that crashes is started again: what runs here goes on without it. Returns the exit code
/// of an agent that ends by itself, and 0 after TERM or INT.
///
/// # Errors
///
/// If the agent cannot be started, or the programs could not be ended after a TERM.
pub async fn run(state_dir: &Path, stop_grace: Duration) -> io::Result<u8> {
    let mut children = signal(SignalKind::child())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let held = take_lock(state_dir);
    tokio::pin!(held);
    let _lock = tokio::select! {
        held = &mut held => held.map_err(io::Error::other)?,
        _ = terminate.recv() => return Ok(0),
        _ = interrupt.recv() => return Ok(0),
    };
    let mut agent = Some(start_agent()?);
    let restart = tokio::time::sleep(RESTART_PAUSE);
    tokio::pin!(restart);
    loop {
        tokio::select! {
            _ = children.recv() => {
                let Some(status) = reap(agent) else { continue };
                match status.exit_status() {
                    Some(code) if code != PANICKED => return Ok(u8::try_from(code).unwrap_or(1)),
                    _ => {
                        tracing::error!(?status, "the agent crashed; starting it again");
                        agent = None;
                        restart.as_mut().reset(tokio::time::Instant::now() + RESTART_PAUSE);
                    }
                }
            }
            () = &mut restart, if agent.is_none() => match start_agent() {
                Ok(pid) => agent = Some(pid),
                // A process may be impossible to start just now; the attempts must not end for
                // that.
                Err(error) => {
                    tracing::error!("cannot start the agent again: {error}; trying on");
                    restart.as_mut().reset(tokio::time::Instant::now() + RESTART_PAUSE);
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {}
        }
    }
    tracing::info!(grace_s = stop_grace.as_secs(), "stopping as process 1: the agent, then what runs here");
    if let Some(pid) = agent {
        let _ = kill_process(pid, Signal::TERM);
        let ended = async {
            while reap(agent).is_none() {
                let _ = children.recv().await;
            }
        };
        if tokio::time::timeout(AGENT_REST, ended).await.is_err() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let stopped = runner::stop(state_dir, stop_grace);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            stopped = &mut stopped => return stopped.map(|_| 0).map_err(io::Error::other),
            _ = children.recv() => { reap(None); }
        }
    }
}

/// Waits until the first process of the container that this one replaces has ended.
async fn take_lock(state_dir: &Path) -> Result<ProcessOneLock, StateError> {
    let mut said = false;
    loop {
        if let Some(lock) = ProcessOneLock::take(state_dir)? {
            return Ok(lock);
        }
        if !said {
            tracing::info!("waiting for process 1 of another container, which holds {}", state_dir.display());
            said = true;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn start_agent() -> io::Result<Pid> {
    let agent = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).spawn()?;
    Ok(Pid::from_child(&agent))
}

/// Reaps everything that has ended. Returns how the agent ended, if it is among that.
fn reap(agent: Option<Pid>) -> Option<WaitStatus> {
    let mut found = None;
    // Each round takes one process that has ended; the loop ends after the last one.
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if Some(pid) == agent {
            found = Some(status);
        }
    }
    found
}
