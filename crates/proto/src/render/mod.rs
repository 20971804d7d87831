//! Records as people see them, secrets redacted. What is not in a record comes as arguments: it
//! lives where this crate cannot look.

mod application;
mod driver;
mod event;
mod pending;
mod worker;

pub use application::{ExecutorExtras, ProfileStatus, application, application_spec, executor, executor_profile};
pub use driver::{DriverExtras, driver, driver_spec};
pub use event::event;
pub use pending::{pending, pending_sentence};
pub use worker::{WorkerExtras, worker};
