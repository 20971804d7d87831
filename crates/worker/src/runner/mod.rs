//! The agent's side of the runner, which is adopted or started, gets orders, and reports.

mod connection;
mod conversation;
mod fence;
mod orders;
mod pending;
mod start;
mod stop;
mod task;

pub use orders::{ConnectionNumber, OrdersFull, RunnerOrder, RunnerOrders};
pub use start::{Adopted, RunnerError, RunnerStart, adopt_or_start};
pub use stop::{STOP_GRACE, stop};
pub use task::{RunnerContext, RunnerTask};
