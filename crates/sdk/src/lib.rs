//! For programs that run on the cluster: their own context ([`Context`]), applications with
//! executors ([`Application`]), and the events of those executors ([`ApplicationSession`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use muster_sdk::{Application, Context, SessionEvent, v1};
//!
//! let context = Context::from_env()?;
//! let command = v1::Command { program: "/usr/bin/env".into(), ..Default::default() };
//! let template = v1::ExecutorTemplate { command: Some(command), ..Default::default() };
//! let profile = v1::ExecutorProfile { profile_id: 1, target: 4, ..Default::default() };
//! let profiles = vec![profile];
//! let spec = v1::ApplicationSpec { template: Some(template), profiles, ..Default::default() };
//! let application = Application::register(&context, spec).await?;
//! let mut session = application.open_session();
//! while let Some(next) = session.next().await? {
//!     if let SessionEvent::Event(event) = next { println!("{event:?}"); }
//! }
//! application.unregister(true, "done").await?;
//! # Ok(())
//! # }
//! ```

// The attribute names this crate by its name.
#[cfg(all(test, feature = "tasks"))]
extern crate self as muster_sdk;

mod application;
#[cfg(feature = "tasks")]
mod broadcast;
#[cfg(feature = "tasks")]
mod build_digest;
mod context;
#[cfg(feature = "tasks")]
mod dataset;
#[cfg(feature = "tasks")]
mod driver;
#[cfg(feature = "tasks")]
mod error_text;
#[cfg(feature = "tasks")]
mod executor;
#[cfg(feature = "tasks")]
pub mod foreign;
#[cfg(feature = "tasks")]
pub mod function;
#[cfg(feature = "tasks")]
mod job;
#[cfg(feature = "tasks")]
mod listen;
#[cfg(feature = "tasks")]
mod outbox;
#[cfg(feature = "tasks")]
mod plan;
#[cfg(feature = "tasks")]
mod progress;
#[cfg(feature = "tasks")]
mod record;
mod session;
#[cfg(feature = "tasks")]
mod tasks;

pub use application::Application;
pub use context::{Context, ContextError};
pub use session::{ApplicationSession, SessionEvent};

#[cfg(feature = "tasks")]
pub use broadcast::Broadcast;
#[cfg(feature = "tasks")]
pub use dataset::Dataset;
#[cfg(feature = "tasks")]
pub use driver::{ArgumentError, JobOptions, StartError};
#[cfg(feature = "tasks")]
pub use executor::{TaskContext, run_if_executor};
#[cfg(feature = "tasks")]
pub use function::{TaskError, TaskFunction};
#[cfg(feature = "tasks")]
pub use job::{FailedAttempt, FailedJob, Job, JobError};
#[cfg(feature = "tasks")]
pub use muster_dag::{ExclusionRule, PoolOrder, PoolSpec, SchedulerConfig, SpeculationRule};
#[cfg(feature = "tasks")]
pub use muster_sdk_macros::function;
#[cfg(feature = "tasks")]
pub use progress::TaskEvent;
#[cfg(feature = "tasks")]
pub use record::Collection;
#[cfg(feature = "tasks")]
pub use tasks::{OutputCompression, Tasks, TasksOptions, run};

pub use muster_client::{CallError, Client, ConnectOptions, MasterAddresses, enums, errors, v1};
