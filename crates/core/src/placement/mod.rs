//! Placement: which worker gets which driver or executor. Pure and deterministic.
//!
//! [`Fleet`] knows the resources of each worker; [`DriverQueue`] and [`ExecutorQueue`] know what
//! waits. A batch of inputs ends with one [`place_drivers`], then one [`place_executors`]. Waiting
//! work is grouped by [`Shape`]. A shape that fitted nowhere is tried again only on workers whose
//! capacity or eligibility rose since; the fleet remembers these. In a full cluster, an event
//! therefore costs nothing, however many drivers and executors wait.
//!
//! The caller must tell the fleet of every grant that it did not make itself (`hold`) and of every
//! end (`give_back`), and the executor queue of every change in what an application wants or has
//! (`set`).

mod candidates;
mod capacity_index;
mod drivers;
mod executors;
mod explain;
mod fleet;
mod policy;
mod shape;
mod share;
mod waiting;
mod worker_capacity;

pub use drivers::{DriverPlacement, DriverQueue, place_drivers};
pub use executors::{ApplicationDemand, ExecutorPlacement, ExecutorQueue, ProfileDemand, place_executors};
pub use explain::{explain, fits_now};
pub use fleet::Fleet;
pub use policy::{Policy, SelectionPolicy};
pub use shape::Shape;
pub use worker_capacity::{Eligibility, WorkerFacts};
