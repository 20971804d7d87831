//! Requests of clients for drivers, tokens and roles.

mod driver;
mod kill;
mod role;
mod token;

pub(crate) use driver::NewDriver;
pub use role::MAX_ROLE_BINDINGS;
pub use token::MAX_TOKENS;
