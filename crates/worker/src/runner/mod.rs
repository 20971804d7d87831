//! The agent's side of the runner: adopted or started, told in order, listened to.

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
