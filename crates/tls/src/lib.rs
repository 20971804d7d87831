//! Connections over TLS, and the private CA of a cluster.
//!
//! A cluster with credentials has a CA of its own ([`Authority`]), which signs short-lived
//! certificates. Each holds the name of a role ([`names`]), and Muster's own clients verify that
//! name, whatever address they dialled: a port may be forwarded, and a worker's certificate never
//! passes for a master's.
//!
//! TLS 1.3 alone is spoken. No session is resumed, because that would skip the verification of a
//! certificate.

mod authority;
mod connect;
mod digest;
mod error;
mod fetch;
mod mismatch;
pub mod names;
mod server;
mod stream;
mod trust;

pub use authority::Authority;
pub use connect::{Connecting, Connector};
pub use digest::{CaDigest, NotADigest};
pub use error::TlsError;
pub use fetch::{FetchCaError, fetch_ca};
pub use mismatch::{Mismatch, mismatch};
pub use server::ServerTls;
pub use stream::Stream;
pub use trust::Trust;
