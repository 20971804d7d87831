//! Renders the core's views as messages of the API.

use muster_core::{ApplicationView, DriverView, WorkerView};
use muster_proto::render::{self, DriverExtras, ProfileStatus, WorkerExtras};
use muster_proto::v1;

use crate::leader::LeaderContext;

pub(crate) fn driver(shown: &DriverView) -> v1::Driver {
    let extras = DriverExtras {
        pid: shown.pid,
        retry: shown.retry,
        pending: shown.pending.as_ref(),
        wait_channel: shown.wait_channel.as_deref(),
        applications: &shown.applications,
    };
    render::driver(&shown.record, extras)
}

pub(crate) fn application(shown: &ApplicationView) -> v1::Application {
    let profiles = shown.profiles.iter().map(|profile| ProfileStatus {
        profile: profile.profile,
        target: profile.target,
        running: profile.running,
        launching: profile.launching,
        pending: profile.pending.as_ref(),
    });
    render::application(&shown.record, shown.session.0, profiles)
}

pub(crate) fn worker(leading: &LeaderContext, shown: &WorkerView) -> v1::Worker {
    let extras = WorkerExtras {
        state: shown.state,
        used: &shown.used,
        drivers: shown.drivers,
        executors: shown.executors,
        connected: shown.connected,
        last_heard: leading.links.last_heard(shown.record.uid),
        quarantined: &shown.quarantined,
    };
    render::worker(&shown.record, extras)
}
