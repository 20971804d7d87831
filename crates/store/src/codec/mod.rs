//! Converts records to bytes and back. Both directions are total: an unreadable record is an error
//! that names the place of the fault, and no unknown value is guessed.

mod application;
mod driver;
mod enums;
mod event;
mod process;
mod roles;
mod token;
mod worker;

use std::fmt;
use std::time::Duration;

use muster_types::{ClusterRecord, ClusterUid, TraceContext, WallTime};

/// The generated code.
#[expect(unreachable_pub, reason = "generated; the comments are in the proto file")]
#[allow(clippy::all, reason = "generated")]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/muster.store.v1.rs"));
}

/// A record could not be read. The error names the place and never the content, which may be
/// secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The bytes are not a message.
    #[error("{0}")]
    Message(#[source] prost::DecodeError),
    /// This field is absent, has a wrong length, or has an unknown value.
    #[error("the field {0} is missing or not understood")]
    Field(&'static str),
    /// The record names another key than the one it was found under.
    #[error("the record belongs to another key")]
    Key,
}

/// A stored form of a record.
pub(crate) trait Stored: Sized {
    /// The generated message.
    type Message: prost::Message + Default;

    /// To the message.
    fn to_message(&self) -> Self::Message;

    /// From the message.
    fn from_message(message: Self::Message) -> Result<Self, DecodeError>;

    /// To bytes.
    fn encode(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&self.to_message())
    }

    /// From bytes.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = <Self::Message as prost::Message>::decode(bytes).map_err(DecodeError::Message)?;
        Self::from_message(message)
    }
}

/// A field that must be there.
pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Field(field))
}

/// A nested message that must be there.
fn nested<T: Stored>(message: Option<T::Message>, field: &'static str) -> Result<T, DecodeError> {
    T::from_message(required(message, field)?)
}

/// A nested message that may be absent.
fn optional<T: Stored>(message: Option<T::Message>) -> Result<Option<T>, DecodeError> {
    message.map(T::from_message).transpose()
}

/// Nested messages.
fn list<T: Stored, C: FromIterator<T>>(messages: Vec<T::Message>) -> Result<C, DecodeError> {
    messages.into_iter().map(T::from_message).collect()
}

/// The generation of a store that was never restored; records leave it out.
const FIRST_GENERATION: u64 = 1;

fn stored_generation(generation: u64) -> Option<u64> {
    (generation != FIRST_GENERATION).then_some(generation)
}

/// A trace that cannot be read any more is none: it says nothing of what the record is about.
fn stored_trace(traceparent: Option<&str>) -> Option<TraceContext> {
    traceparent?.parse().ok()
}

fn walls(times: &[WallTime]) -> Vec<u64> {
    times.iter().map(|time| time.0).collect()
}

fn strings<T: fmt::Display>(names: &[T]) -> Vec<String> {
    names.iter().map(T::to_string).collect()
}

impl Stored for Duration {
    type Message = proto::Length;

    fn to_message(&self) -> proto::Length {
        proto::Length { seconds: self.as_secs(), nanos: self.subsec_nanos() }
    }

    fn from_message(message: proto::Length) -> Result<Duration, DecodeError> {
        if message.nanos >= 1_000_000_000 {
            return Err(DecodeError::Field("nanos"));
        }
        Ok(Duration::new(message.seconds, message.nanos))
    }
}

impl Stored for ClusterRecord {
    type Message = proto::ClusterRecord;

    fn to_message(&self) -> proto::ClusterRecord {
        proto::ClusterRecord { uid: self.uid.to_bytes().to_vec(), name: self.name.clone(), created: self.created.0 }
    }

    fn from_message(message: proto::ClusterRecord) -> Result<ClusterRecord, DecodeError> {
        Ok(ClusterRecord {
            uid: required(ClusterUid::from_slice(&message.uid), "uid")?,
            name: message.name,
            created: WallTime(message.created),
        })
    }
}

/// The head, the epoch, the schema and their like have no domain form beside the generated one.
macro_rules! stored_as_is {
    ($($message:ident),*) => {$(
        #[allow(clippy::clone_on_copy, reason = "some are")]
        impl Stored for proto::$message {
            type Message = proto::$message;

            fn to_message(&self) -> proto::$message {
                self.clone()
            }

            fn from_message(message: proto::$message) -> Result<proto::$message, DecodeError> {
                Ok(message)
            }
        }
    )*};
}

stored_as_is!(HeadRecord, EpochRecord, SchemaRecord, GenerationRecord, MigrationRecord);
