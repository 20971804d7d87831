//! The types that both sides of a connection share: ids, epochs, attempts, resources, specs, states
//! and durable records.
//!
//! This crate makes no decisions and does no I/O; it depends on `std` alone.

mod application;
mod artifact_uri;
mod attempt;
mod binding;
mod caller;
mod command;
mod driver;
mod epoch;
mod event;
mod ids;
mod key_digest;
mod outcome;
mod pending;
mod policy;
mod record;
mod resources;
mod secret;
mod template;
mod time;
mod token;
mod trace_context;
mod worker;

pub use application::*;
pub use artifact_uri::*;
pub use attempt::*;
pub use binding::*;
pub use caller::*;
pub use command::*;
pub use driver::*;
pub use epoch::*;
pub use event::*;
pub use ids::*;
pub use key_digest::*;
pub use outcome::*;
pub use pending::*;
pub use policy::*;
pub use record::*;
pub use resources::*;
pub use secret::*;
pub use template::*;
pub use time::*;
pub use token::*;
pub use trace_context::*;
pub use worker::*;
