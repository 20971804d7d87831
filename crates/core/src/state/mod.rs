//! The state of the core: drivers, workers, applications with their executors, and tokens.

mod application;
mod driver;
mod executor;
mod token;
mod worker;

pub(crate) use application::{Application, Applications};
pub(crate) use driver::{Driver, Drivers};
pub(crate) use executor::Executor;
pub(crate) use token::Tokens;
pub(crate) use worker::{Worker, Workers};
