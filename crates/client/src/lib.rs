//! A client of a Muster cluster: it finds the leader, retries calls by their verdict, and resumes
//! watches.
//!
//! A [`Client`] is cheap to clone and made for thousands of calls in flight. Every mutation carries
//! a request id, so that a call whose outcome is unknown is repeated and still done once. Every
//! call has a deadline, and every error says whether the call was done. The address of one master
//! is enough: the client learns the others from answers, and asks them when a master dies, is
//! paused, or is cut off.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use muster_client::{Client, v1};
//!
//! let client = Client::new("127.0.0.1:7077".parse()?);
//! let command = v1::Command { program: "/bin/echo".into(), ..Default::default() };
//! let driver = v1::DriverSpec { command: Some(command), ..Default::default() };
//! let request = v1::SubmitDriverRequest { driver: Some(driver), ..Default::default() };
//! let driver = client.submit_driver(request).await?;
//! let ended = client.wait_for_driver(&driver.uid, None).await?;
//! # Ok(())
//! # }
//! ```

mod access;
mod address;
mod applications;
mod backoff;
mod call;
mod client;
mod connection;
mod contexts;
mod error;
mod lists;
mod logs;
mod master;
mod options;
mod retry_state;
mod routes;
mod stream;
mod wait;
mod watch;

pub use address::{DEFAULT_PORT, MasterAddresses, ParseMastersError};
pub use backoff::Backoff;
pub use client::{Client, new_request_id};
pub use contexts::{ClusterContext, Contexts, ContextsError, NoSuchContext, trust_of};
pub use error::CallError;
pub use lists::ListPage;
pub use logs::LogRead;
pub use options::ConnectOptions;
pub use retry_state::RetryState;
pub use stream::MessageStream;
pub use wait::{WaitError, WaitProgress};
pub use watch::EventWatch;

pub use muster_tls::{FetchCaError, JoinToken, MACHINE, Mismatch, OwnCertificate, TlsError, Trust, fetch_ca, mismatch};

/// The wire types and their enums, for users that depend on this crate alone.
pub use muster_proto::fresh_token::FreshToken;
pub use muster_proto::{BearerToken, FILE_DESCRIPTOR_SET, FieldViolation, NotAToken, enums, errors, text, time, v1};
pub use muster_types::{
    ApplicationState, ArtifactUri, DriverState, ExecutorState, KeyDigest, REDACTED, Reason, TraceContext, Verdict,
    WallTime, WorkerState, WorkerUid, name_looks_secret,
};
