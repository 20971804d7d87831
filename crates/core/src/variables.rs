//! Which worker-defined variables a program uses, and what placement needs to know of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_types::{Command, DriverSpec, ExecutorProfile};

use crate::placement::Shape;
use crate::state::Application;

/// What every worker knows of a driver without having been told.
const OF_DRIVERS: [&str; 11] = [
    "DRIVER_ID",
    "ATTEMPT",
    "CORES",
    "MEMORY_BYTES",
    "HOSTNAME",
    "WORKER_ID",
    "WORK_DIR",
    "RESOURCES_FILE",
    "LOG_URL_STDOUT",
    "LOG_URL_STDERR",
    "SCRATCH_DIR",
];
/// And of an executor.
const OF_EXECUTORS: [&str; 12] = [
    "EXECUTOR_ID",
    "APP_ID",
    "PROFILE_ID",
    "CORES",
    "MEMORY_BYTES",
    "HOSTNAME",
    "WORKER_ID",
    "WORK_DIR",
    "SCRATCH_DIR",
    "RESOURCES_FILE",
    "LOG_URL_STDOUT",
    "LOG_URL_STDERR",
];

/// Names in `{{…}}` within a text.
fn names_in(text: &str, found: &mut BTreeSet<String>) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { return };
        found.insert(name.to_owned());
        rest = after;
    }
}

fn names_of(command: &Command) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    names_in(&command.program, &mut found);
    command.args.iter().for_each(|text| names_in(text, &mut found));
    command.env.values().for_each(|text| names_in(text, &mut found));
    command.secret_env.values().for_each(|text| names_in(text.expose(), &mut found));
    command.work_dir.iter().for_each(|text| names_in(text, &mut found));
    found
}

/// Worker labels are substituted as `LABEL_<name>`; that a worker carries one is not a variable
/// that it defines.
fn is_label(name: &str) -> bool {
    name.starts_with("LABEL_")
}

/// What a driver needs of a worker.
pub(crate) fn shape_of_driver(spec: &DriverSpec) -> Arc<Shape> {
    let mut variables = names_of(&spec.command);
    variables.retain(|name| !OF_DRIVERS.contains(&name.as_str()) && !is_label(name));
    Arc::new(Shape {
        resources: spec.resources.clone(),
        selector: spec.worker_selector.clone(),
        variables,
        excluded_hosts: BTreeSet::new(),
        leased: spec.on_worker_lost.is_leased(),
    })
}

/// What an executor of a profile needs of a worker.
pub(crate) fn shape_of_profile(application: &Application, profile: &ExecutorProfile) -> Arc<Shape> {
    let spec = &application.record.spec;
    let template = profile.template.as_ref().unwrap_or(&spec.template);
    let mut variables = names_of(&template.command);
    variables.retain(|name| {
        !OF_EXECUTORS.contains(&name.as_str()) && !profile.variables.contains_key(name) && !is_label(name)
    });
    Arc::new(Shape {
        resources: profile.resources.clone(),
        selector: spec.worker_selector.clone(),
        variables,
        excluded_hosts: application.record.excluded_hosts.clone(),
        leased: application.leased,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_anywhere_in_a_text() {
        let mut found = BTreeSet::new();
        names_in("-Dx={{JAVA_HOME}}/{{CORES}}:{{open", &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["CORES", "JAVA_HOME"]);
    }
}
