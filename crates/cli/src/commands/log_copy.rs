//! Carries a log to one of our own outputs.

use std::io::{self, Write};
use std::time::Duration;

use muster_client::CallError;
use muster_client::errors::reason;
use muster_client::v1::read_log_request::Subject;
use muster_client::v1::{LogChunk, LogOffset, LogStream, ReadLogRequest};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::tell;

/// Between tries while a worker is away.
const RETRY: Duration = Duration::from_millis(500);
/// An agent that restarts is back by then; what is longer people are told.
const RESTART: Duration = Duration::from_secs(3);
/// How long the output of what is over is worth waiting for.
const OVER: Duration = Duration::from_secs(15);

/// One of our own outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Out {
    /// Writes bytes as they are, at once.
    pub(super) fn write(self, bytes: &[u8]) -> io::Result<()> {
        fn all(mut out: impl Write, bytes: &[u8]) -> io::Result<()> {
            out.write_all(bytes)?;
            out.flush()
        }
        match self {
            Out::Stdout => all(io::stdout().lock(), bytes),
            Out::Stderr => all(io::stderr().lock(), bytes),
        }
    }
}

/// A log and where it goes.
#[derive(Debug)]
pub(super) struct LogCopy {
    /// What to read; its offset moves on.
    pub(super) request: ReadLogRequest,
    /// Where it goes.
    pub(super) out: Out,
    /// What it is called when people are told something about it.
    pub(super) name: String,
}

/// Whether what writes a log is over: a worker that is away is then not waited for much longer.
pub(super) type IsOver = watch::Receiver<bool>;

impl LogCopy {
    /// Reads to the end, which with `follow` is the end of the process. A worker that is away is
    /// waited for a while when following.
    pub(super) async fn run_alone(mut self, master: &MasterClient) -> Result<(), CommandFailure> {
        if self.request.follow {
            return self.run_until(master, watch::Sender::new(true).subscribe()).await;
        }
        match self.read(master).await {
            Ok(()) => Ok(()),
            Err(CopyEnd::Output(error)) => Err(CommandFailure::Output(error)),
            Err(CopyEnd::Call(error)) => Err(master.read_failure(error)),
        }
    }

    /// Follows to the end, through times in which its worker is away.
    pub(super) async fn run_until(mut self, master: &MasterClient, over: IsOver) -> Result<(), CommandFailure> {
        let mut away = WorkerAway::default();
        loop {
            let before = self.request.offset;
            let error = match self.read(master).await {
                Ok(()) => return Ok(()),
                Err(CopyEnd::Output(error)) => return Err(CommandFailure::Output(error)),
                Err(CopyEnd::Call(error)) => error,
            };
            if self.request.offset != before {
                away = WorkerAway::default();
            }
            if !is_away(&error) || away.is_enough(&self.name, *over.borrow()) {
                return Err(master.read_failure(error));
            }
            sleep(RETRY).await;
        }
    }

    async fn read(&mut self, master: &MasterClient) -> Result<(), CopyEnd> {
        let mut log = master.client().read_log(self.request.clone());
        while let Some(chunk) = log.next().await.map_err(CopyEnd::Call)? {
            self.take(&chunk).map_err(CopyEnd::Output)?;
        }
        Ok(())
    }

    fn take(&mut self, chunk: &LogChunk) -> io::Result<()> {
        // What lies before a tail was not asked for.
        if chunk.skipped_bytes > 0 && self.request.tail_bytes == 0 {
            tell(&format!("[{}: {} bytes are no longer kept]", self.name, chunk.skipped_bytes));
        }
        if let Some(offset) = chunk.offset {
            let data = u64::try_from(chunk.data.len()).unwrap_or(u64::MAX);
            self.request.offset = Some(LogOffset { byte: offset.byte.saturating_add(data), ..offset });
            self.request.tail_bytes = 0;
        }
        self.out.write(&chunk.data)
    }
}

/// Why reading broke off.
enum CopyEnd {
    Call(CallError),
    Output(io::Error),
}

/// A worker that cannot be reached.
#[derive(Debug, Default)]
struct WorkerAway {
    since: Option<Instant>,
    announced: bool,
}

impl WorkerAway {
    /// Whether it was waited for long enough. People are told that it is waited for.
    fn is_enough(&mut self, name: &str, over: bool) -> bool {
        let away = self.since.get_or_insert_with(Instant::now).elapsed();
        if away > RESTART && !self.announced {
            self.announced = true;
            tell(&format!("[the worker of {name} cannot be reached; waiting for it]"));
        }
        over && away > OVER
    }
}

fn is_away(error: &CallError) -> bool {
    error.reason().is_some_and(|word| word == reason::WORKER_UNREACHABLE)
}

/// A request for one output of a driver's attempt.
pub(super) fn attempt_log(id: &str, attempt: u32, stream: LogStream, follow: bool) -> ReadLogRequest {
    let mut request = ReadLogRequest {
        subject: Some(Subject::DriverId(id.to_owned())),
        attempt,
        follow,
        ..ReadLogRequest::default()
    };
    request.set_stream(stream);
    request
}
