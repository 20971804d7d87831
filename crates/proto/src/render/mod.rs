//! Records as people see them, secrets redacted. Facts that are not in a record are arguments,
//! because this crate cannot look them up.

mod application;
mod driver;
mod event;
mod pending;
mod role;
mod token;
mod worker;

pub use application::{ExecutorExtras, ProfileStatus, application, application_spec, executor, executor_profile};
pub use driver::{DriverExtras, driver, driver_spec};
pub use event::event;
pub use pending::{pending, pending_sentence};
pub use role::role_binding;
pub use token::token;
pub use worker::{WorkerExtras, worker};
