//! Reports of the open attempt of a driver.

use muster_types::{AttemptState, DriverState, DriverUid, Report};

use crate::core::{Core, Ctx};

impl Core {
    /// Handles a report of the open attempt. That its process runs is shown but not stored: after a
    /// crash of the master, the worker reports it again.
    pub(crate) fn driver_report(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid, report: &Report) {
        if let AttemptState::Ended(outcome) = &report.state {
            return self.close_attempt(ctx, uid, outcome.clone(), report.started, report.ended);
        }
        // An attempt that executes was never closed, so none followed it. A frozen one may have
        // been closed.
        if report.state != AttemptState::Frozen {
            self.restore.release(uid);
        }
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        let before = (driver.live, driver.pid, driver.wait_channel.clone());
        driver.progress = true;
        driver.pid = report.pid;
        driver.started = report.started.or(driver.started);
        driver.wait_channel = None;
        let heard = match &report.state {
            AttemptState::Accepted => DriverState::Launching,
            AttemptState::Running | AttemptState::Frozen => DriverState::Running,
            AttemptState::Killing { wait_channel } => {
                driver.wait_channel.clone_from(wait_channel);
                DriverState::Running
            }
            AttemptState::Ended(_) => return,
        };
        if driver.record.kill.is_none() {
            driver.live = heard;
        }
        if before != (driver.live, driver.pid, driver.wait_channel.clone()) {
            self.emit_driver_event(ctx.now.wall, uid, None, "");
        }
    }
}
