//! From what the core shows to what people see.

use muster_core::{ShownApplication, ShownDriver, ShownWorker};
use muster_proto::show::{self, DriverExtras, ProfileShown, WorkerExtras};
use muster_proto::v1;

use crate::leading::Leading;

/// A driver.
pub(crate) fn driver(shown: &ShownDriver) -> v1::Driver {
    let extras = DriverExtras {
        pid: shown.pid,
        retry: shown.retry,
        pending: shown.pending.as_ref(),
        wait_channel: shown.wait_channel.as_deref(),
        applications: &shown.applications,
    };
    show::driver(&shown.record, extras)
}

/// An application.
pub(crate) fn application(shown: &ShownApplication) -> v1::Application {
    let profiles = shown.profiles.iter().map(|profile| ProfileShown {
        profile: profile.profile,
        target: profile.target,
        running: profile.running,
        launching: profile.launching,
        pending: profile.pending.as_ref(),
    });
    show::application(&shown.record, shown.session.0, profiles)
}

/// A worker.
pub(crate) fn worker(leading: &Leading, shown: &ShownWorker) -> v1::Worker {
    let extras = WorkerExtras {
        state: shown.state,
        used: &shown.used,
        drivers: shown.drivers,
        executors: shown.executors,
        connected: shown.connected,
        last_heard: leading.links.last_heard(shown.record.uid),
        quarantined: &shown.quarantined,
    };
    show::worker(&shown.record, extras)
}
