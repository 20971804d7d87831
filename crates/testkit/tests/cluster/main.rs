//! End to end with several masters: real masters, agents, runners and a real etcd, lost one after
//! the other or all at once, under load, and a judge outside Muster that says whether the promise
//! held.
//!
//! The tests need an etcd server (`make etcd`) and, where parts are cut from each other, root with
//! network namespaces: they fail without, and never skip. Which test stands for which cell of the
//! table of loss is in `docs/loss.md`.

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

use std::time::Duration;

/// Between two submissions of a load.
const PACE: Duration = Duration::from_millis(25);
