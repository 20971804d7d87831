//! The state of the core: drivers, workers, and applications with their executors.

mod application;
mod driver;
mod executor;
mod worker;

pub(crate) use application::{Application, Applications};
pub(crate) use driver::{Driver, Drivers};
pub(crate) use executor::Executor;
pub(crate) use worker::{Worker, Workers};
