//! The wire's own JSON.
//!
//! An answer is encoded and read back with the descriptors that gRPC reflection serves, and printed
//! by the rules of proto3 JSON (`prost-reflect`): the names, enums, times and 64-bit numbers are
//! what grpcurl and every other client print, without code generated a second time.

use std::sync::OnceLock;

use muster_client::v1;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::Serialize as _;

/// A message with its name on the wire.
pub(crate) trait WireMessage: Message {
    /// Name within `muster.v1`.
    const NAME: &'static str;
}

macro_rules! wire {
    ($($name:ident),+ $(,)?) => {
        $(impl WireMessage for v1::$name {
            const NAME: &'static str = stringify!($name);
        })+
    };
}

wire!(
    Driver,
    Application,
    Executor,
    Worker,
    Cluster,
    Event,
    ListDriversResponse,
    ListApplicationsResponse,
    ListExecutorsResponse,
    ListWorkersResponse,
    ListRoleBindingsResponse,
    ListTokensResponse,
);

/// A message could not be printed as JSON. Either is a fault of this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// The descriptors do not have the message.
    #[error("the descriptors lack muster.v1.{0}")]
    Descriptor(&'static str),
    /// What was encoded could not be read back.
    #[error("an answer cannot be read by its descriptor")]
    Decode(#[source] prost::DecodeError),
    /// A value has no JSON, such as a time out of range.
    #[error("an answer has a value that JSON cannot hold")]
    Print(#[source] serde_json::Error),
}

/// JSON with line breaks, for one answer.
pub(crate) fn to_json<M: WireMessage>(message: &M) -> Result<String, JsonError> {
    let dynamic = dynamic(message)?;
    let mut bytes = Vec::new();
    let mut printer = serde_json::Serializer::pretty(&mut bytes);
    dynamic.serialize_with_options(&mut printer, &SerializeOptions::new()).map_err(JsonError::Print)?;
    finish(bytes)
}

/// JSON on one line, for streams of answers.
pub(crate) fn to_json_line<M: WireMessage>(message: &M) -> Result<String, JsonError> {
    let dynamic = dynamic(message)?;
    let mut bytes = Vec::new();
    dynamic.serialize(&mut serde_json::Serializer::new(&mut bytes)).map_err(JsonError::Print)?;
    finish(bytes)
}

fn finish(mut bytes: Vec<u8>) -> Result<String, JsonError> {
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn dynamic<M: WireMessage>(message: &M) -> Result<DynamicMessage, JsonError> {
    let descriptor = pool()
        .and_then(|pool| pool.get_message_by_name(&format!("muster.v1.{}", M::NAME)))
        .ok_or(JsonError::Descriptor(M::NAME))?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(JsonError::Decode)
}

fn pool() -> Option<&'static DescriptorPool> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(muster_client::FILE_DESCRIPTOR_SET).ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    #[test]
    fn prints_what_proto3_json_says() {
        let resources = v1::Resources { cores: 1, memory_bytes: 1 << 40, ..v1::Resources::default() };
        let spec = v1::DriverSpec { resources: Some(resources), ..v1::DriverSpec::default() };
        let driver = v1::Driver {
            driver_id: "a".into(),
            spec: Some(spec),
            state: v1::driver::State::BackingOff as i32,
            create_time: Some(Timestamp { seconds: 1, nanos: 500_000_000 }),
            outcome: Some(v1::Outcome { exit_code: Some(0), ..v1::Outcome::default() }),
            ..v1::Driver::default()
        };
        let text = to_json_line(&driver).expect("printable");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["driverId"], "a");
        assert_eq!(value["state"], "STATE_BACKING_OFF");
        assert_eq!(value["createTime"], "1970-01-01T00:00:01.500Z");
        assert_eq!(value["spec"]["resources"]["memoryBytes"], "1099511627776", "64-bit numbers are strings");
        assert_eq!(value["outcome"]["exitCode"], 0, "an optional field that is set is shown");
        assert!(value.get("uid").is_none(), "a field at its default is left out");
    }

    #[test]
    fn every_message_that_is_printed_has_its_descriptor() {
        fn known<M: WireMessage + Default>() {
            assert!(dynamic(&M::default()).is_ok(), "{}", M::NAME);
        }
        known::<v1::Driver>();
        known::<v1::Application>();
        known::<v1::Executor>();
        known::<v1::Worker>();
        known::<v1::Cluster>();
        known::<v1::Event>();
        known::<v1::ListDriversResponse>();
        known::<v1::ListApplicationsResponse>();
        known::<v1::ListExecutorsResponse>();
        known::<v1::ListWorkersResponse>();
    }
}
