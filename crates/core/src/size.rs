//! Estimates of encoded sizes, rather too large than too small. They keep groups within the limits
//! of any store's transaction.

use std::collections::BTreeMap;

use muster_types::{
    AllocatedResources, ApplicationRecord, Artifact, Command, DriverRecord, ExecutorRecord, ExecutorTemplate, Outcome,
    Write,
};

/// A request id: at most 64 bytes, and what encodes them.
const REQUEST: usize = 72;

fn texts(map: &BTreeMap<String, String>) -> usize {
    map.iter().map(|(key, value)| key.len() + value.len() + 8).sum()
}

fn command(command: &Command) -> usize {
    let secrets: usize = command.secret_env.iter().map(|(key, value)| key.len() + value.expose().len() + 8).sum();
    let args: usize = command.args.iter().map(|arg| arg.len() + 4).sum();
    command.program.len() + args + texts(&command.env) + secrets + command.work_dir.as_ref().map_or(0, String::len) + 64
}

fn addresses(resources: &AllocatedResources) -> usize {
    let lists = resources.addresses.iter();
    32 + lists
        .map(|(name, list)| name.len() + list.iter().map(|address| address.len() + 4).sum::<usize>() + 8)
        .sum::<usize>()
}

fn outcome(outcome: Option<&Outcome>) -> usize {
    outcome.map_or(0, |outcome| 48 + outcome.message.len())
}

fn artifacts(artifacts: &[Artifact]) -> usize {
    artifacts.iter().map(|artifact| artifact.uri.expose().len() + artifact.file_name.len() + 64).sum()
}

fn template(template: &ExecutorTemplate) -> usize {
    command(&template.command) + artifacts(&template.artifacts) + 64
}

fn driver(record: &DriverRecord) -> usize {
    let spec = &record.spec;
    let attempts: usize = record
        .attempts
        .iter()
        .map(|attempt| 256 + addresses(&attempt.resources) + outcome(attempt.outcome.as_ref()))
        .sum();
    let kill = record.kill.iter().map(|kill| kill.requests.len() * REQUEST).sum::<usize>();
    512 + command(&spec.command)
        + artifacts(&spec.artifacts)
        + texts(&spec.labels)
        + texts(&spec.worker_selector)
        + attempts
        + record.failures.len() * 10
        + kill
}

fn application(record: &ApplicationRecord) -> usize {
    let spec = &record.spec;
    let profiles: usize = spec
        .profiles
        .values()
        .chain(record.added_profiles.values())
        .map(|profile| 128 + texts(&profile.variables) + profile.template.as_deref().map_or(0, template))
        .sum();
    let hosts: usize = record.preferred_hosts.values().flatten().map(|(host, _)| host.len() + 16).sum();
    let excluded: usize = record.excluded_hosts.iter().map(|host| host.len() + 8).sum();
    let other = record.requests.len() * REQUEST + record.failures.len() * 10 + record.targets.len() * 16;
    1024 + template(&spec.template)
        + texts(&spec.labels)
        + texts(&spec.worker_selector)
        + profiles
        + hosts
        + excluded
        + other
}

/// One executor within a record.
pub(crate) fn executor(record: &ExecutorRecord) -> usize {
    192 + record.host.len()
        + record.worker_name.as_str().len()
        + addresses(&record.resources)
        + outcome(record.outcome.as_ref())
}

pub(crate) fn write(write: &Write) -> usize {
    match write {
        Write::PutDriver(record) => driver(record),
        Write::PutApplication(record) => application(record),
        Write::PutExecutors(record) => 96 + record.executors.iter().map(executor).sum::<usize>(),
        Write::PutWorker(record) => {
            let variables: usize = record.variables.iter().map(|name| name.len() + 4).sum();
            1024 + addresses(&record.total)
                + texts(&record.labels)
                + variables
                + record.host.len()
                + record.requests.len() * REQUEST
        }
        Write::PutToken(record) => 256 + record.name.len() + record.created_by.len(),
        Write::PutRoles(roles) => roles.0.keys().map(|principal| 32 + principal.name().len()).sum(),
        Write::PutEvents(record) => 256 * record.events.len(),
        Write::DeleteDriver(_)
        | Write::DeleteApplication(_)
        | Write::DeleteExecutors(..)
        | Write::DeleteWorker(_)
        | Write::DeleteToken(_)
        | Write::DeleteEvents(_) => 64,
    }
}
