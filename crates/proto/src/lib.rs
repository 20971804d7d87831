//! The wire: generated code and the only conversions between the wire and `muster_types`.
//!
//! - [`v1`]: generated messages, clients and servers.
//! - [`artifact`]: where a file may be fetched from, and what it may be called.
//! - [`fresh_token`]: how a new token is made.
//! - [`codec`]: how messages are encoded and decoded.
//! - [`flow_control`]: the windows of connections that many streams share.
//! - [`validate`]: requests of clients, checked, with defaults filled in.
//! - [`errors`]: what is said to a caller when something fails, and what a caller may conclude.
//! - [`render`]: records as people see them, secrets redacted.
//! - link messages: `From` and `TryFrom` between `v1` and `muster_types`, with [`WireError`] for
//!   what makes no sense.
//! - [`tokens`]: opaque texts that callers hand back.

#[allow(clippy::all, rustdoc::all, missing_docs, reason = "generated; the .proto files carry the comments")]
pub mod v1 {
    //! Generated from `proto/muster/v1`: messages, clients and servers.
    tonic::include_proto!("muster.v1");
}

pub mod artifact;
mod bearer;
pub mod codec;
pub mod enums;
pub mod errors;
pub mod flow_control;
pub mod fresh_token;
mod link;
pub mod methods;
mod process;
#[cfg(feature = "server")]
pub mod reflection;
pub mod render;
mod resources;
mod secrets;
#[cfg(feature = "server")]
pub mod server;
pub mod text;
pub mod time;
pub mod tokens;
pub mod trace;
pub mod validate;
mod violations;
mod wire_error;

pub use bearer::{BearerToken, NotAToken};
pub use link::{LeaderWelcome, PROTOCOL_VERSION};
pub use tokens::{PageToken, PagedList, ParseTokenError, ResumeToken};
pub use violations::{FieldViolation, FieldViolations, MAX_VIOLATIONS, Path};
pub use wire_error::WireError;

/// The encoded descriptors of [`v1`] and all it imports, with comments: for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/muster.v1.descriptors.bin"));
