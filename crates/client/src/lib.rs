//! Finds the leader, retries by verdict, watches that resume.
//!
//! A [`Client`] is cheap to clone and made for thousands of calls in flight. Every mutation carries
//! a request id, so that a call whose outcome is unknown is asked again and done once. Every call
//! has a deadline, and what fails says whether it was done. One address of a master is enough: the
//! others are learned from what masters answer, and asked when one dies, is paused, or is cut off.
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

mod address;
mod applications;
mod backoff;
mod call;
mod client;
mod connection;
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
pub use error::CallError;
pub use lists::ListPage;
pub use logs::LogRead;
pub use options::ConnectOptions;
pub use retry_state::RetryState;
pub use stream::MessageStream;
pub use wait::{WaitError, WaitProgress};
pub use watch::EventWatch;

/// The wire and its enums, for those who see only this crate.
pub use muster_proto::{FILE_DESCRIPTOR_SET, FieldViolation, enums, errors, text, time, v1};
pub use muster_types::{
    ApplicationState, DriverState, ExecutorState, REDACTED, Reason, Verdict, WallTime, WorkerState, name_looks_secret,
};
