//! Follows the output of a driver through its attempts.

use muster_client::v1::driver::State;
use muster_client::v1::{Driver, DriverAttempt, LogStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::log_copy::{LogCopy, Out, attempt_log};
use super::verdict::has_ended;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::tell;

/// A driver's record keeps 32 attempts.
const ATTEMPTS: usize = 32;

/// Output of one attempt after the other, in order.
#[derive(Debug)]
pub(super) struct Follow {
    attempts: mpsc::Sender<u32>,
    newest: u32,
    /// The newest attempt, or more than any once the driver has ended.
    seen: watch::Sender<u32>,
    task: JoinHandle<Result<(), CommandFailure>>,
}

impl Follow {
    /// Follows these outputs of a driver, from the attempts that it is shown.
    pub(super) fn begin(master: &MasterClient, uid: &str, streams: Vec<(LogStream, Out)>) -> Follow {
        let (attempts, queue) = mpsc::channel(ATTEMPTS);
        let seen = watch::Sender::new(0);
        let source = FollowSource { master: master.patient(), uid: uid.to_owned(), streams, seen: seen.subscribe() };
        let task = tokio::spawn(source.follow(queue));
        Follow { attempts, newest: 0, seen, task }
    }

    /// The same, but not the attempts up to this one.
    pub(super) fn after(mut self, attempt: u32) -> Follow {
        self.newest = attempt;
        self
    }

    /// Waits for a failure, which is all that ends it before it is finished.
    pub(super) async fn failed(&mut self) -> Result<(), CommandFailure> {
        (&mut self.task).await.unwrap_or(Ok(()))
    }

    /// Shows it the driver: attempts that have begun are followed.
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

    /// Waits until all that was seen is written.
    pub(super) async fn finish(self) -> Result<(), CommandFailure> {
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

/// Where output comes from.
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

    /// All outputs of one attempt, at once.
    async fn attempt(&self, attempt: u32) -> Result<(), CommandFailure> {
        let is_over = watch::Sender::new(false);
        let pumps: Vec<_> =
            self.streams.iter().map(|(stream, out)| self.log_copy(attempt, *stream, *out, &is_over)).collect();
        let mut seen = self.seen.clone();
        let watcher = tokio::spawn(async move {
            // A follower that is gone needs to be told nothing.
            let _ = seen.wait_for(|newest| *newest > attempt).await;
            is_over.send_replace(true);
        });
        let mut result = Ok(());
        for log_copy in pumps {
            match log_copy.await.unwrap_or(Ok(())) {
                Ok(()) => {}
                // An attempt that never ran has no output.
                Err(failure) if failure.is_not_found() => {}
                // Who reads us is gone: the rest is read by nobody.
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
        let log_copy = LogCopy { request, out, name: format!("attempt {attempt}") };
        let (master, over) = (self.master.clone(), is_over.subscribe());
        tokio::spawn(async move { log_copy.run_until(&master, over).await })
    }
}
