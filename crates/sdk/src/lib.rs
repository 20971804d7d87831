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

mod application;
mod context;
mod session;

pub use application::Application;
pub use context::{Context, ContextError};
pub use session::{ApplicationSession, SessionEvent};

pub use muster_client::{CallError, Client, ConnectOptions, MasterAddresses, enums, errors, v1};
