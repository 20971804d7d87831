//! Carries a log to one of our own outputs.

use std::io::{self, Write};

use muster_client::v1::{LogChunk, LogStream, ReadLogRequest};

use crate::failure::Failure;
use crate::master::Master;
use crate::output::tell;

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
#[derive(Debug, Clone)]
pub(super) struct Pump {
    /// What to read.
    pub(super) request: ReadLogRequest,
    /// Where it goes.
    pub(super) out: Out,
    /// What it is called when bytes are skipped.
    pub(super) name: String,
}

impl Pump {
    /// Reads to the end, which with `follow` is the end of the process.
    pub(super) async fn run(&self, master: &Master) -> Result<(), Failure> {
        let mut log = master.client().read_log(self.request.clone());
        while let Some(chunk) = log.next().await.map_err(|error| master.read_failure(error))? {
            self.take(&chunk)?;
        }
        Ok(())
    }

    fn take(&self, chunk: &LogChunk) -> Result<(), Failure> {
        // What lies before a tail was not asked for.
        if chunk.skipped_bytes > 0 && self.request.tail_bytes == 0 {
            tell(&format!("[{}: {} bytes are no longer kept]", self.name, chunk.skipped_bytes));
        }
        self.out.write(&chunk.data).map_err(Failure::Output)
    }
}

/// A request for one output of a driver's attempt.
pub(super) fn attempt_log(id: &str, attempt: u32, stream: LogStream, follow: bool) -> ReadLogRequest {
    let mut request = ReadLogRequest { id: id.to_owned(), attempt, follow, ..ReadLogRequest::default() };
    request.set_stream(stream);
    request
}
