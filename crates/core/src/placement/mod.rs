//! Placement: which worker takes what. Pure and deterministic; chance comes in through
//! [`crate::Entropy`].
//!
//! [`Fleet`] knows what each worker has, [`DriverQueue`] and [`ExecutorQueue`] what waits. A batch
//! of inputs ends with one [`place_drivers`], then one [`place_executors`]. What waits is grouped
//! by [`Shape`]: a shape that fitted nowhere is looked at again only against workers whose capacity
//! or eligibility rose since, which the fleet remembers. So a full cluster with any number of
//! things waiting costs nothing per event.
//!
//! The caller's duties: tell the fleet of every grant that it did not make itself (`hold`) and of
//! every end (`give_back`), and the executor queue of every change of what an application wants or
//! has (`set`).

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
