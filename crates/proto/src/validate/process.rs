//! Programs and the files they need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{Artifact, ArtifactUri, Command, Secret, TemplatePart, template_parts};

use super::checks::{count, plain_text};
use crate::artifact::{ArtifactSource, is_file_name, last_segment};
use crate::process::sha256_of;
use crate::{FieldViolations, Path, text, v1};

const MAX_PROGRAM: usize = 4096;
const MAX_ARGS: usize = 4096;
const MAX_WORK_DIR: usize = 4096;
const MAX_URI: usize = 2048;
const MAX_ARTIFACTS: usize = 64;

/// No bound of its own: the size of the spec bounds the text.
const BOUNDED_BY_SPEC: usize = usize::MAX;

/// A program.
pub(super) fn command(wire: v1::Command, path: &Path<'_>, violations: &mut FieldViolations) -> Command {
    let program = path.field("program");
    if wire.program.is_empty() {
        violations.add(&program, "is required");
    }
    plain_text(&wire.program, MAX_PROGRAM, &program, violations);

    let args = path.field("args");
    count(wire.args.len(), MAX_ARGS, &args, violations);
    for (index, arg) in wire.args.iter().enumerate() {
        plain_text(arg, BOUNDED_BY_SPEC, &args.index(index), violations);
    }
    environment(&wire.env, &path.field("env"), violations);
    environment(&wire.secret_env, &path.field("secret_env"), violations);
    for name in wire.secret_env.keys().filter(|name| wire.env.contains_key(*name)) {
        violations.add(&path.field("secret_env").key(name), "is in env too; give it once");
    }
    let work_dir = path.field("work_dir");
    plain_text(&wire.work_dir, MAX_WORK_DIR, &work_dir, violations);
    if !wire.work_dir.is_empty() && !may_be_absolute(&wire.work_dir) {
        violations.add(&work_dir, "is not an absolute path; leave it empty for a fresh directory");
    }
    Command {
        program: wire.program,
        args: wire.args,
        env: wire.env,
        secret_env: wire.secret_env.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        work_dir: Some(wire.work_dir).filter(|work_dir| !work_dir.is_empty()),
    }
}

/// Whether the path is absolute, or begins with a variable: what that stands for is known to the
/// worker, which checks the path again.
fn may_be_absolute(path: &str) -> bool {
    path.starts_with('/') || matches!(template_parts(path).next(), Some(TemplatePart::Variable(_)))
}

fn environment(env: &BTreeMap<String, String>, path: &Path<'_>, violations: &mut FieldViolations) {
    for (name, value) in env {
        let entry = path.key(name);
        if !text::is_env_name(name) {
            violations.add(&entry, "the name does not match [A-Za-z_][A-Za-z0-9_]* or is longer than 255 bytes");
        } else if name.starts_with("MUSTER_") {
            violations.add(&entry, "names that start with MUSTER_ are given by the worker");
        }
        plain_text(value, BOUNDED_BY_SPEC, &entry, violations);
    }
}

/// Files to fetch first.
pub(super) fn artifacts(wire: Vec<v1::Artifact>, path: &Path<'_>, violations: &mut FieldViolations) -> Arc<[Artifact]> {
    count(wire.len(), MAX_ARTIFACTS, path, violations);
    let mut names = BTreeSet::new();
    let mut list = Vec::with_capacity(wire.len().min(MAX_ARTIFACTS));
    for (index, wire) in wire.into_iter().take(MAX_ARTIFACTS).enumerate() {
        let path = path.index(index);
        let artifact = artifact(wire, &path, violations);
        if !names.insert(artifact.file_name.clone()) {
            violations.add(&path.field("file_name"), "another artifact has this file name");
        }
        list.push(artifact);
    }
    list.into()
}

fn artifact(wire: v1::Artifact, path: &Path<'_>, violations: &mut FieldViolations) -> Artifact {
    let uri = path.field("uri");
    plain_text(&wire.uri, MAX_URI, &uri, violations);
    if let Err(error) = ArtifactSource::parse(&wire.uri) {
        violations.add(&uri, error.to_string());
    }
    let sha256 = sha256_of(&wire.sha256);
    if sha256.is_none() && !wire.sha256.is_empty() {
        violations.add(&path.field("sha256"), "is not 64 hexadecimal digits");
    }
    let file_name = if wire.file_name.is_empty() { last_segment(&wire.uri) } else { wire.file_name };
    if !is_file_name(&file_name) {
        violations.add(
            &path.field("file_name"),
            "is not a plain file name of at most 255 bytes without control characters (empty: the last segment of the \
             URI's path, percent-decoded, which must be one)",
        );
    }
    Artifact { uri: ArtifactUri::new(wire.uri), sha256, file_name, executable: wire.executable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_directory_is_absolute_or_begins_with_a_variable() {
        for good in ["/a", "/a/{{DRIVER_ID}}", "{{SCRATCH_DIR}}/x", "{{LABEL_zone-a}}"] {
            assert!(may_be_absolute(good), "{good}");
        }
        for bad in ["a", "./a", "a/{{DRIVER_ID}}", r"\{{SCRATCH_DIR}}/x", "{{name}}/x", "{{ SCRATCH_DIR }}", "{{"] {
            assert!(!may_be_absolute(bad), "{bad}");
        }
    }
}
