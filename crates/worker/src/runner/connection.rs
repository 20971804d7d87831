//! The socket to the runner: it takes whole messages and sends whole frames, and neither waits for
//! the other.

use std::io;

use muster_agent::runner_protocol::{FrameReader, Framed, ToAgent, ToRunner};
use tokio::net::UnixStream;

use super::start::{Adopted, RunnerError};

/// Bytes that may wait to be written before nothing more is taken: enough for a few hundred
/// launches.
const WAITING: usize = 8 << 20;
/// Bytes of one read.
const PIECE: usize = 64 << 10;

/// One connection.
#[derive(Debug)]
pub(super) struct RunnerSocket {
    stream: UnixStream,
    reader: FrameReader<ToAgent>,
    out: Vec<u8>,
    written: usize,
    buffer: Box<[u8]>,
}

impl RunnerSocket {
    pub(super) fn new(adopted: Adopted) -> RunnerSocket {
        RunnerSocket {
            stream: adopted.stream,
            reader: adopted.reader,
            out: Vec::new(),
            written: 0,
            buffer: vec![0; PIECE].into_boxed_slice(),
        }
    }

    /// Puts a message behind those that wait to be written.
    pub(super) fn put(&mut self, message: &ToRunner) {
        message.append_frame(&mut self.out);
    }

    /// Whether more may be put.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() - self.written < WAITING
    }

    /// Writes what the socket takes now.
    pub(super) fn flush(&mut self) -> Result<(), RunnerError> {
        while self.written < self.out.len() {
            match self.stream.try_write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(RunnerError::Talk(error)),
            }
        }
        self.out.clear();
        self.out.shrink_to(PIECE);
        self.written = 0;
        Ok(())
    }

    /// Waits until there is something to read, or room to write what waits.
    pub(super) async fn ready(&self) -> Result<(), RunnerError> {
        let interest = if self.written < self.out.len() {
            tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE
        } else {
            tokio::io::Interest::READABLE
        };
        self.stream.ready(interest).await.map(|_| ()).map_err(RunnerError::Talk)
    }

    /// Everything that has arrived. Returns an error when the runner has closed the connection and
    /// its last messages were taken.
    pub(super) fn read(&mut self) -> Result<Vec<ToAgent>, RunnerError> {
        let mut messages = self.take_all()?;
        loop {
            match self.stream.try_read(&mut self.buffer) {
                Ok(0) if messages.is_empty() => return Err(RunnerError::Talk(io::ErrorKind::UnexpectedEof.into())),
                Ok(0) => return Ok(messages),
                Ok(count) => {
                    self.reader.push(&self.buffer[..count]);
                    messages.extend(self.take_all()?);
                    if count < self.buffer.len() {
                        return Ok(messages);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(messages),
                Err(error) => return Err(RunnerError::Talk(error)),
            }
        }
    }

    fn take_all(&mut self) -> Result<Vec<ToAgent>, RunnerError> {
        let mut messages = Vec::new();
        while let Some(message) = self.reader.take().map_err(RunnerError::Frame)? {
            messages.push(message);
        }
        Ok(messages)
    }
}
