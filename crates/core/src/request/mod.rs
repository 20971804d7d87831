//! Requests of clients for drivers and for tokens.

mod driver;
mod kill;
mod token;

pub(crate) use driver::NewDriver;
pub use token::MAX_TOKENS;
