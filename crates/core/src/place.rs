//! Placement, once per batch: drivers first, then applications in registration order.

use muster_types::Now;

use crate::Entropy;
use crate::core::{Core, Ctx};
use crate::placement::{place_drivers, place_executors};

impl Core {
    /// Places waiting drivers and executors. Called once per batch of inputs, before
    /// [`Core::drain`].
    pub fn place(&mut self, now: Now, entropy: &mut dyn Entropy) {
        let placed = self.drivers.placed;
        let drivers = place_drivers(&mut self.fleet, &mut self.waiting, &self.config.policy, placed);
        let ctx = &mut Ctx { now, entropy };
        for placement in drivers {
            self.assign_driver(ctx, placement.driver, placement.worker, placement.resources);
            self.boundary();
        }
        for placement in place_executors(&mut self.fleet, &mut self.demands, &self.config.policy) {
            self.grant_executor(ctx, placement);
            self.boundary();
        }
        self.tell_unmet();
    }
}
