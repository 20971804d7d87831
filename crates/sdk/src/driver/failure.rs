//! What a caller is told of a job that failed.

use std::sync::Arc;
use std::time::Duration;

use muster_client::{Client, v1};
use muster_dag::JobFailure;
use tokio::time::timeout;

use crate::job::{FailedAttempt, FailedJob};

/// How much of an executor's standard error is shown, and how long it may take to read it.
const LAST_WORDS: u64 = 2048;
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);

/// A failure in words, without the last words of the executor.
pub(crate) fn failed_job(failure: JobFailure, name: Arc<str>) -> FailedJob {
    let attempt = failure.attempt.map(|attempt| FailedAttempt {
        partition: attempt.task.partition,
        number: u32::from(attempt.number) + 1,
        executor: attempt.executor.0,
        last_words: String::new(),
    });
    let stage = failure.stage.map(|stage| stage.0);
    FailedJob { job: failure.job.0, name, stage, attempt, cause: failure.cause.to_string() }
}

/// The end of an executor's standard error; empty if it cannot be read in time.
pub(crate) async fn last_words(client: Client, application: String, executor: u32) -> String {
    let request = v1::ReadLogRequest {
        subject: Some(v1::read_log_request::Subject::ApplicationId(application)),
        executor_id: Some(executor),
        stream: v1::LogStream::Stderr.into(),
        tail_bytes: LAST_WORDS,
        ..Default::default()
    };
    let mut read = Vec::new();
    let mut log = client.read_log(request);
    let reading = async {
        while let Ok(Some(chunk)) = log.next().await {
            read.extend_from_slice(&chunk.data);
        }
    };
    // What was read by then is shown.
    let _ = timeout(LAST_WORDS_TIMEOUT, reading).await;
    String::from_utf8_lossy(&read).into_owned()
}
