//! Renders the core's views as messages of the API.

use std::collections::BTreeMap;

use muster_core::{ApplicationView, DriverView, WorkerView};
use muster_proto::render::{self, DriverExtras, ProfileStatus, WorkerExtras};
use muster_proto::v1;
use muster_types::{Caller, REDACTED};

use crate::leader::LeaderContext;

/// A driver, as this caller may see it: values of environments are for its owner and operators.
pub(crate) fn driver(shown: &DriverView, caller: &Caller) -> v1::Driver {
    let extras = DriverExtras {
        pid: shown.pid,
        retry: shown.retry,
        pending: shown.pending.as_ref(),
        wait_channel: shown.wait_channel.as_deref(),
        applications: &shown.applications,
    };
    let mut driver = render::driver(&shown.record, extras);
    if !caller.commands(shown.record.owner.as_deref())
        && let Some(command) = driver.spec.as_mut().and_then(|spec| spec.command.as_mut())
    {
        hide_values(&mut command.env);
    }
    driver
}

fn hide_values(environment: &mut BTreeMap<String, String>) {
    for value in environment.values_mut() {
        REDACTED.clone_into(value);
    }
}

/// An application, as this caller may see it, as a driver.
pub(crate) fn application(shown: &ApplicationView, caller: &Caller) -> v1::Application {
    let profiles = shown.profiles.iter().map(|profile| ProfileStatus {
        profile: profile.profile,
        target: profile.target,
        running: profile.running,
        launching: profile.launching,
        pending: profile.pending.as_ref(),
    });
    let mut application = render::application(&shown.record, shown.session.0, profiles);
    if !caller.commands(shown.record.owner.as_deref())
        && let Some(spec) = &mut application.spec
    {
        for profile in &mut spec.profiles {
            hide_values(&mut profile.variables);
            if let Some(command) = profile.template.as_mut().and_then(|template| template.command.as_mut()) {
                hide_values(&mut command.env);
            }
        }
        if let Some(command) = spec.template.as_mut().and_then(|template| template.command.as_mut()) {
            hide_values(&mut command.env);
        }
    }
    application
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
