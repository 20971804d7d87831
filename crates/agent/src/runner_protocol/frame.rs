//! Frames: 4 bytes of length, little endian, then protobuf.

use std::marker::PhantomData;

use prost::Message as _;

use super::convert::{self, BadField};
use super::message::{ToAgent, ToRunner};
use super::wire;

/// Longest frame. A start carries a spec (at most 64 KiB), its environment and substituted
/// variables; the kernel refuses arguments and environment above 2 MiB anyway.
pub const MAX_FRAME: usize = 4 * 1024 * 1024;

/// Most reports in one part of an inventory, so that no frame grows beyond its bound.
pub const INVENTORY_PART: usize = 256;

/// What arrived is not a message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`]; the length in bytes.
    #[error("a frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    /// Not protobuf.
    #[error("a frame is not protobuf")]
    Protobuf(#[source] prost::DecodeError),
    /// A field is missing or holds a value that this version does not know: its path.
    #[error("a frame lacks a valid `{0}`")]
    Field(&'static str),
}

impl From<BadField> for FrameError {
    fn from(bad: BadField) -> FrameError {
        FrameError::Field(bad.0)
    }
}

/// A message that travels in frames.
pub trait Framed: Sized {
    /// Appends the frame of this message.
    fn append_frame(&self, out: &mut Vec<u8>);

    /// Reads the message from a frame's body (the bytes after the length).
    fn from_frame(body: &[u8]) -> Result<Self, FrameError>;
}

impl Framed for ToRunner {
    fn append_frame(&self, out: &mut Vec<u8>) {
        append(&convert::to_runner_to_wire(self), out);
    }

    fn from_frame(body: &[u8]) -> Result<Self, FrameError> {
        let message = wire::ToRunner::decode(body).map_err(FrameError::Protobuf)?;
        Ok(convert::to_runner_from_wire(message)?)
    }
}

impl Framed for ToAgent {
    fn append_frame(&self, out: &mut Vec<u8>) {
        append(&convert::to_agent_to_wire(self), out);
    }

    fn from_frame(body: &[u8]) -> Result<Self, FrameError> {
        let message = wire::ToAgent::decode(body).map_err(FrameError::Protobuf)?;
        Ok(convert::to_agent_from_wire(message)?)
    }
}

fn append(message: &impl prost::Message, out: &mut Vec<u8>) {
    let length = message.encoded_len();
    out.reserve(length + 4);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    message.encode(out).expect("a Vec grows as needed");
}

/// Puts frames together from arriving bytes. It holds at most one unfinished frame beyond what was
/// pushed last, so a reader bounds it by taking all messages before it pushes more.
#[derive(Debug)]
pub struct FrameReader<M> {
    buffer: Vec<u8>,
    taken: usize,
    message: PhantomData<fn() -> M>,
}

impl<M> Default for FrameReader<M> {
    fn default() -> Self {
        FrameReader { buffer: Vec::new(), taken: 0, message: PhantomData }
    }
}

impl<M: Framed> FrameReader<M> {
    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more has arrived. After an error the connection is of
    /// no more use.
    pub fn take(&mut self) -> Result<Option<M>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some((head, body)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        if body.len() < length {
            return Ok(None);
        }
        let message = M::from_frame(&body[..length])?;
        self.taken += 4 + length;
        Ok(Some(message))
    }
}
