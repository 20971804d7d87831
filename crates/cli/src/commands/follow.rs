//! Follows the output of a driver through its attempts.

use muster_client::v1::driver::State;
use muster_client::v1::{Driver, DriverAttempt, LogStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::pump::{Out, Pump, attempt_log};
use crate::failure::Failure;
use crate::master::Master;
use crate::output::tell;

/// A driver's record keeps 32 attempts.
const ATTEMPTS: usize = 32;

/// Output of one attempt after the other, in order.
#[derive(Debug)]
pub(super) struct Follow {
    attempts: mpsc::Sender<u32>,
    newest: u32,
    task: JoinHandle<Result<(), Failure>>,
}

impl Follow {
    /// Follows these outputs of a driver, from the attempts that it is shown.
    pub(super) fn begin(master: &Master, uid: &str, streams: Vec<(LogStream, Out)>) -> Follow {
        let (attempts, queue) = mpsc::channel(ATTEMPTS);
        let task = tokio::spawn(follow(master.patient(), uid.to_owned(), streams, queue));
        Follow { attempts, newest: 0, task }
    }

    /// The same, but not the attempts up to this one.
    pub(super) fn after(mut self, attempt: u32) -> Follow {
        self.newest = attempt;
        self
    }

    /// Waits for a failure, which is all that ends it before it is finished.
    pub(super) async fn failed(&mut self) -> Result<(), Failure> {
        (&mut self.task).await.unwrap_or(Ok(()))
    }

    /// Shows it the driver: attempts that have begun are followed.
    pub(super) fn see(&mut self, driver: &Driver) {
        for attempt in &driver.attempts {
            if attempt.attempt > self.newest && has_begun(attempt) {
                // A full queue means 32 attempts behind a reader that does not read; their logs can be read by name.
                if self.attempts.try_send(attempt.attempt).is_ok() {
                    self.newest = attempt.attempt;
                }
            }
        }
    }

    /// Waits until all that was seen is written.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        drop(self.attempts);
        // A task of ours that panicked has been reported already.
        self.task.await.unwrap_or(Ok(()))
    }
}

/// Whether there can be output.
fn has_begun(attempt: &DriverAttempt) -> bool {
    match attempt.state() {
        State::Pending | State::Launching => false,
        State::Unspecified
        | State::Running
        | State::Killing
        | State::BackingOff
        | State::Unreachable
        | State::Unconfirmed
        | State::Finished
        | State::Failed
        | State::Killed
        | State::Lost
        | State::CrashLoop => true,
    }
}

async fn follow(
    master: Master,
    uid: String,
    streams: Vec<(LogStream, Out)>,
    mut queue: mpsc::Receiver<u32>,
) -> Result<(), Failure> {
    while let Some(attempt) = queue.recv().await {
        let pumps: Vec<_> = streams
            .iter()
            .map(|(stream, out)| {
                let name = format!("attempt {attempt}");
                let pump = Pump { request: attempt_log(&uid, attempt, *stream, true), out: *out, name };
                let master = master.clone();
                tokio::spawn(async move { pump.run(&master).await })
            })
            .collect();
        for pump in pumps {
            match pump.await.unwrap_or(Ok(())) {
                Ok(()) => {}
                // An attempt that never ran has no output.
                Err(failure) if failure.is_not_found() => {}
                // Who reads us is gone: the rest is read by nobody.
                Err(failure @ Failure::Output(_)) => return Err(failure),
                Err(failure) => tell(&format!("[the output of attempt {attempt} is incomplete: {failure}]")),
            }
        }
    }
    Ok(())
}
