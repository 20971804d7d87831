//! Requests of clients for drivers.

mod driver;
mod kill;
