//! Requests of clients for drivers.

mod driver;
mod kill;

pub(crate) use driver::NewDriver;
