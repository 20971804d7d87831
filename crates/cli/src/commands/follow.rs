//! Follows the output of a driver through its attempts.

use muster_client::v1::driver::State;
use muster_client::v1::{Driver, DriverAttempt, LogStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::log_copy::{LogCopy, OpenLine, Out, attempt_log};
use super::verdict::has_ended;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::tell;

/// A driver's record keeps 32 attempts.
const ATTEMPTS: usize = 32;

/// Copies the output of one attempt after the other, in order.
#[derive(Debug)]
pub(super) struct Follow {
    attempts: mpsc::Sender<u32>,
    newest: u32,
    /// The newest attempt, or `u32::MAX` once the driver has ended.
    seen: watch::Sender<u32>,
    task: JoinHandle<Result<(), CommandFailure>>,
}

impl Follow {
    /// Follows these streams of a driver. The attempts become known through `see`.
    pub(super) fn begin(master: &MasterClient, uid: &str, streams: Vec<(LogStream, Out)>) -> Follow {
        let (attempts, queue) = mpsc::channel(ATTEMPTS);
        let seen = watch::Sender::new(0);
        let source = FollowSource { master: master.patient(), uid: uid.to_owned(), streams, seen: seen.subscribe() };
        let task = tokio::spawn(source.follow(queue));
        Follow { attempts, newest: 0, seen, task }
    }

    /// Skips the attempts up to and including this one.
    pub(super) fn after(mut self, attempt: u32) -> Follow {
        self.newest = attempt;
        self
    }

    /// Waits for a failure: before `finish`, the task ends for no other reason.
    pub(super) async fn failed(&mut self) -> Result<(), CommandFailure> {
        (&mut self.task).await.unwrap_or(Ok(()))
    }

    /// Records the present state of the driver, and follows the attempts that have begun.
    pub(super) fn see(&mut self, driver: &Driver) {
        let newest = driver.attempts.last().map_or(0, |attempt| attempt.attempt);
        self.seen.send_replace(if has_ended(driver) { u32::MAX } else { newest });
        for attempt in &driver.attempts {
            if attempt.attempt > self.newest && has_begun(attempt) {
                // A full queue means 32 attempts behind a reader that does not read; their logs can
                // be read by name.
                if self.attempts.try_send(attempt.attempt).is_ok() {
                    self.newest = attempt.attempt;
                }
            }
        }
    }

    /// Waits until the output of all known attempts is written.
    pub(super) async fn finish(self) -> Result<(), CommandFailure> {
        drop(self.attempts);
        // A task of ours that panicked has been reported already.
        self.task.await.unwrap_or(Ok(()))
    }
}

/// Whether an attempt can have output.
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

/// The task that reads the logs of one driver.
struct FollowSource {
    master: MasterClient,
    uid: String,
    streams: Vec<(LogStream, Out)>,
    seen: watch::Receiver<u32>,
}

impl FollowSource {
    async fn follow(self, mut queue: mpsc::Receiver<u32>) -> Result<(), CommandFailure> {
        while let Some(attempt) = queue.recv().await {
            self.attempt(attempt).await?;
        }
        Ok(())
    }

    /// Copies all streams of one attempt concurrently.
    async fn attempt(&self, attempt: u32) -> Result<(), CommandFailure> {
        let is_over = watch::Sender::new(false);
        let pumps: Vec<_> =
            self.streams.iter().map(|(stream, out)| self.log_copy(attempt, *stream, *out, &is_over)).collect();
        let mut seen = self.seen.clone();
        let watcher = tokio::spawn(async move {
            // An error means that `Follow` was dropped; a longer wait has no use then.
            let _ = seen.wait_for(|newest| *newest > attempt).await;
            is_over.send_replace(true);
        });
        let mut result = Ok(());
        for log_copy in pumps {
            match log_copy.await.unwrap_or(Ok(())) {
                Ok(()) => {}
                // An attempt that never ran has no output.
                Err(failure) if failure.is_not_found() => {}
                // The reader of our own output is gone, so nobody needs the rest.
                Err(failure @ CommandFailure::Output(_)) => result = Err(failure),
                Err(failure) => tell(&format!("[the output of attempt {attempt} is incomplete: {failure}]")),
            }
        }
        watcher.abort();
        result
    }

    fn log_copy(
        &self,
        attempt: u32,
        stream: LogStream,
        out: Out,
        is_over: &watch::Sender<bool>,
    ) -> JoinHandle<Result<(), CommandFailure>> {
        let request = attempt_log(&self.uid, attempt, stream, true);
        let log_copy = LogCopy { request, out, name: format!("attempt {attempt}"), line: OpenLine::default() };
        let (master, over) = (self.master.clone(), is_over.subscribe());
        tokio::spawn(async move { log_copy.run_until(&master, over).await })
    }
}
