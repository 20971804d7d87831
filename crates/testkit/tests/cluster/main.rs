//! End to end with several masters: real masters, agents, runners and a real etcd are lost one
//! after the other or all at once, under load, and a checker outside Muster tells whether the
//! promise held.
//!
//! The tests need an etcd server (`make etcd`) and, where parts are cut from each other, root with
//! network namespaces: they fail without these, and never skip. `docs/loss.md` says which test
//! covers which cell of the table of loss.

mod clocks;
mod crashes;
mod fencing;
mod handover;
mod held;
mod holes;
mod loss;
mod other_clients;
mod pair;
mod partitions;
mod restored;
mod rolling;
mod store;
mod traces;
mod transition;

use std::time::Duration;

/// Time between two submissions of a load.
const PACE: Duration = Duration::from_millis(25);
