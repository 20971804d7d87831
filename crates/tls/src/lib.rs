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
mod clients;
mod connect;
mod digest;
mod error;
mod fetch;
mod held;
mod join_token;
mod listen;
mod mismatch;
pub mod names;
mod own;
mod peer;
mod rotation;
mod server;
mod stream;
mod trust;
mod watched;
mod worker_key;

pub use authority::{Authority, IssuedCertificate};
pub use clients::{ClientCertificate, ClientChain, ClientTrust};
pub use connect::{Connecting, Connector};
pub use digest::digest_of_ca;
pub use error::TlsError;
pub use fetch::{FetchCaError, fetch_ca};
pub use held::HeldCertificate;
pub use join_token::{JoinToken, NotAJoinToken};
pub use listen::{ClientConnection, ConnectionPeer, Incoming, RefusedCertificates, connections};
pub use mismatch::{Mismatch, mismatch};
pub use own::OwnCertificate;
pub use peer::{CertificateHolder, PeerCertificate};
pub use rotation::{RotationStep, rotate};
pub use server::{AcceptedConnection, Acceptor, PlaintextConnections, ServerTls};
pub use stream::Stream;
pub use trust::{MACHINE, Trust};
pub use worker_key::{
    WORKER_CA_FILE, WORKER_CHAIN_FILE, WORKER_KEY_FILE, WorkerKey, certificate_of_worker, renewal_time,
};
