//! The wire: generated code and the only conversions between wire and vocabulary.

#[allow(clippy::all, rustdoc::all, reason = "generated")]
pub mod v1 {
    //! Generated from `proto/muster/v1`: messages, clients and servers.
    tonic::include_proto!("muster.v1");
}

mod secrets;

/// The encoded descriptors of [`v1`] and all it imports, with comments: for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/muster.v1.descriptors.bin"));
