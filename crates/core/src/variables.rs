//! The variables in a program's texts that its worker must define, and the shapes that placement
//! needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_types::{
    ApplicationSpec, Command, DriverSpec, ExecutorProfile, TemplateOf, TemplatePart, VariableKind, template_parts,
};

use crate::Rejection;
use crate::core::Core;
use crate::placement::Shape;
use crate::state::Application;

fn names_in(text: &str, found: &mut BTreeSet<String>) {
    found.extend(template_parts(text).filter_map(|part| match part {
        TemplatePart::Variable(name) => Some(name.to_owned()),
        TemplatePart::Text(_) => None,
    }));
}

fn names_of(command: &Command) -> BTreeSet<String> {
    let mut found = secret_names_of(command);
    names_in(&command.program, &mut found);
    command.args.iter().for_each(|text| names_in(text, &mut found));
    command.env.values().for_each(|text| names_in(text, &mut found));
    command.work_dir.iter().for_each(|text| names_in(text, &mut found));
    found
}

fn secret_names_of(command: &Command) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    command.secret_env.values().for_each(|text| names_in(text.expose(), &mut found));
    found
}

/// The names that a worker must define, or carry as labels.
fn needed(of: TemplateOf, command: &Command, defined: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut names = names_of(command);
    names.retain(|name| match of.kind_of(name) {
        VariableKind::BuiltIn => false,
        VariableKind::OfOthers | VariableKind::Label => true,
        VariableKind::Defined => !defined(name),
    });
    names
}

/// The shape of a driver.
pub(crate) fn shape_of_driver(spec: &DriverSpec, owner: Option<&Arc<str>>) -> Arc<Shape> {
    Arc::new(Shape {
        resources: spec.resources.clone(),
        selector: spec.worker_selector.clone(),
        variables: needed(TemplateOf::Driver, &spec.command, |_| false),
        excluded_hosts: BTreeSet::new(),
        leased: spec.on_worker_lost.is_leased(),
        owner: owner.cloned(),
    })
}

/// The shape of a profile's executors.
pub(crate) fn shape_of_profile(application: &Application, profile: &ExecutorProfile) -> Arc<Shape> {
    let spec = &application.record.spec;
    Arc::new(Shape {
        resources: profile.resources.clone(),
        selector: spec.worker_selector.clone(),
        variables: needed_by_profile(spec, profile),
        excluded_hosts: application.record.excluded_hosts.clone(),
        leased: application.leased,
        owner: application.record.owner.clone(),
    })
}

fn needed_by_profile(spec: &ApplicationSpec, profile: &ExecutorProfile) -> BTreeSet<String> {
    let template = profile.template.as_ref().unwrap_or(&spec.template);
    needed(TemplateOf::Executor, &template.command, |name| profile.variables.contains_key(name))
}

impl Core {
    /// Refuses a driver that uses an undefined variable.
    pub(crate) fn refuse_variables_of_driver(&self, spec: &DriverSpec) -> Option<Rejection> {
        let needed = needed(TemplateOf::Driver, &spec.command, |_| false);
        self.refuse_variables(TemplateOf::Driver, needed, &spec.command, "driver.command")
    }

    /// Refuses a profile that uses an undefined variable.
    pub(crate) fn refuse_variables_of_profile(
        &self,
        spec: &ApplicationSpec,
        profile: &ExecutorProfile,
        field: &str,
    ) -> Option<Rejection> {
        let template = profile.template.as_ref().unwrap_or(&spec.template);
        self.refuse_variables(TemplateOf::Executor, needed_by_profile(spec, profile), &template.command, field)
    }

    /// A name must be built in, or be defined by a known worker. While no worker is known, any name
    /// that a worker may define is accepted, and the work waits for such a worker. A name inside a
    /// secret is not repeated in the message.
    fn refuse_variables(
        &self,
        of: TemplateOf,
        names: BTreeSet<String>,
        command: &Command,
        field: &str,
    ) -> Option<Rejection> {
        let workers = || self.workers.iter().filter(|worker| !worker.record.forgotten);
        let is_known = |name: &str| workers().any(|worker| worker.defines().any(|defined| defined == name));
        let is_first = workers().next().is_none();
        let name = names.into_iter().find(|name| match of.kind_of(name) {
            VariableKind::OfOthers => true,
            VariableKind::BuiltIn => false,
            VariableKind::Label | VariableKind::Defined => !is_first && !is_known(name),
        })?;
        let (whose, other) = match of {
            TemplateOf::Driver => ("a driver", "executors have it, drivers do not"),
            TemplateOf::Executor => ("an executor", "drivers have it, executors do not"),
        };
        let reason = match of.kind_of(&name) {
            VariableKind::OfOthers => other.to_owned(),
            VariableKind::Label => "no worker carries that label".to_owned(),
            _ => format!("it is none of those that {whose} is given, and no worker defines it"),
        };
        let shown = if secret_names_of(command).contains(&name) { "…" } else { &name };
        let message = format!("unknown variable {{{{{shown}}}}}: {reason}; \\{{{{{shown}}}}} is taken literally");
        Some(Rejection::BadField { field: field.to_owned(), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_anywhere_in_a_text() {
        let mut found = BTreeSet::new();
        names_in("-Dx={{JAVA_HOME}}/{{CORES}}:{{.Names}}{{open", &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["CORES", "JAVA_HOME"]);
    }
}
