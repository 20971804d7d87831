//! Messages of the wire as JSON, by the descriptors that gRPC reflection serves.
//!
//! The names are those of the protos, and numbers of 64 bits are numbers, since Python's have no
//! bounds. What is left out has its default value.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

/// A message could not be read from JSON or written as JSON.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireJsonError {
    /// The descriptors do not have the message.
    #[error("there is no message muster.v1.{0}")]
    Descriptor(&'static str),
    /// The text is no such message.
    #[error("this is no {0}")]
    Read(&'static str, #[source] serde_json::Error),
    /// The message does not fit its descriptor.
    #[error("a {0} does not fit its descriptor")]
    Decode(&'static str, #[source] prost::DecodeError),
    /// A value has no JSON, such as a time out of range.
    #[error("a {0} has a value that JSON cannot hold")]
    Write(&'static str, #[source] serde_json::Error),
}

/// Reads a message of this name within `muster.v1`.
pub(crate) fn from_json<M: Message + Default>(name: &'static str, text: &str) -> Result<M, WireJsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(descriptor(name)?, &mut reader)
        .and_then(|message| reader.end().map(|()| message))
        .map_err(|error| WireJsonError::Read(name, error))?;
    message.transcode_to().map_err(|error| WireJsonError::Decode(name, error))
}

/// Writes a message of this name within `muster.v1`.
pub(crate) fn to_json<M: Message>(name: &'static str, message: &M) -> Result<String, WireJsonError> {
    let mut dynamic = DynamicMessage::new(descriptor(name)?);
    dynamic.transcode_from(message).map_err(|error| WireJsonError::Decode(name, error))?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let mut bytes = Vec::new();
    let mut writer = serde_json::Serializer::new(&mut bytes);
    dynamic.serialize_with_options(&mut writer, &options).map_err(|error| WireJsonError::Write(name, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn descriptor(name: &'static str) -> Result<MessageDescriptor, WireJsonError> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(muster_client::FILE_DESCRIPTOR_SET).ok()).as_ref();
    pool.and_then(|pool| pool.get_message_by_name(&format!("muster.v1.{name}"))).ok_or(WireJsonError::Descriptor(name))
}
