//! Copies a log to one of our own outputs.

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

/// The delay between tries while a worker cannot be reached.
const RETRY: Duration = Duration::from_millis(500);
/// A restarting agent is back by then; people are told of a longer absence.
const RESTART: Duration = Duration::from_secs(3);
/// How long to wait for an unreachable worker once the process has ended.
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

/// A log and its output.
#[derive(Debug)]
pub(super) struct LogCopy {
    /// What to read; the offset advances with the copy.
    pub(super) request: ReadLogRequest,
    pub(super) out: Out,
    /// The name of the log in messages to people.
    pub(super) name: String,
    pub(super) line: OpenLine,
}

/// Whether the output stands within a line.
#[derive(Debug, Default)]
pub(super) struct OpenLine(bool);

impl OpenLine {
    /// What is written before a piece: the end of the line where bytes are missing in between, so
    /// that the parts of two lines never look like one.
    fn before(&mut self, data: &[u8], is_gap: bool) -> &'static [u8] {
        let end: &[u8] = if is_gap && self.0 { b"\n" } else { b"" };
        match data.last() {
            Some(last) => self.0 = *last != b'\n',
            None => self.0 &= end.is_empty(),
        }
        end
    }
}

/// Whether the process that writes the log has ended; an unreachable worker is then not waited for
/// much longer.
pub(super) type IsOver = watch::Receiver<bool>;

impl LogCopy {
    /// Reads to the end of the log; with `follow`, to the end of the process. While it follows, an
    /// unreachable worker is waited for a while.
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

    /// Follows to the end of the process, through times in which its worker cannot be reached.
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
        // The bytes before a tail were not asked for.
        let is_gap = chunk.skipped_bytes > 0 && self.request.tail_bytes == 0;
        let end = self.line.before(&chunk.data, is_gap);
        if !end.is_empty() {
            self.out.write(end)?;
        }
        if is_gap {
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
    /// Whether the wait was long enough. It tells people once that the worker is waited for.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_two_lines_around_a_gap_are_not_joined() {
        let mut line = OpenLine::default();
        for (data, is_gap, before) in [
            ("one\ntw", false, ""),
            ("o\nthr", false, ""),
            ("ine\n", true, "\n"),
            ("ten", true, ""),
            ("", true, "\n"),
            ("", true, ""),
            ("x", false, ""),
        ] {
            assert_eq!(line.before(data.as_bytes(), is_gap), before.as_bytes(), "{data:?}");
        }
    }
}
