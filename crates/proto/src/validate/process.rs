//! Programs and the files they need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{Artifact, ArtifactUri, Command, Secret};

use super::checks::{count, plain_text};
use crate::process::{is_file_name, sha256_of};
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
    if !wire.work_dir.is_empty() && !wire.work_dir.starts_with('/') {
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
    if !is_artifact_uri(&wire.uri) {
        violations.add(&uri, "is not file:///absolute/path, http://HOST/PATH or https://HOST/PATH without spaces");
    }
    let sha256 = sha256_of(&wire.sha256);
    if sha256.is_none() && !wire.sha256.is_empty() {
        violations.add(&path.field("sha256"), "is not 64 hexadecimal digits");
    }
    let file_name = if wire.file_name.is_empty() { last_segment(&wire.uri) } else { wire.file_name };
    if !is_file_name(&file_name) {
        violations.add(
            &path.field("file_name"),
            "is not a plain file name of at most 255 bytes (empty: the last segment of the URI's path, which must be one)",
        );
    }
    Artifact { uri: ArtifactUri::new(wire.uri), sha256, file_name, executable: wire.executable }
}

fn is_artifact_uri(uri: &str) -> bool {
    if uri.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return false;
    }
    match uri.split_once("://") {
        Some(("file", path)) => path.starts_with('/') && path.len() > 1,
        Some(("http" | "https", rest)) => !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']),
        _ => false,
    }
}

/// The last segment of the path, percent-decoded: `a%20b` is the file `a b`. A segment that is not
/// UTF-8 when decoded stays as it is.
fn last_segment(uri: &str) -> String {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = path.rsplit_once('/').map_or("", |(_, last)| last);
    let decoded = percent_encoding::percent_decode_str(last).decode_utf8();
    decoded.map_or_else(|_| last.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_the_last_segment_of_the_path() {
        let cases = [("https://h/a/b.jar?x=/y", "b.jar"), ("file:///a", "a"), ("https://h", ""), ("https://h/a/", "")];
        let escaped = [("file:///a%20b.sh", "a b.sh"), ("http://h/%2e%2e%2fx", "../x"), ("http://h/%ff", "%ff")];
        let cases = cases.into_iter().chain(escaped);
        for (uri, name) in cases {
            assert_eq!(last_segment(uri), name, "{uri}");
        }
    }

    #[test]
    fn an_artifact_comes_from_a_file_or_the_web() {
        for good in ["file:///a", "http://h/a", "https://u:p@h:1/a"] {
            assert!(is_artifact_uri(good), "{good}");
        }
        for bad in ["", "a", "/a", "file://a", "file:///", "ftp://h/a", "http:///a", "https://h/a b", "s3://b/k"] {
            assert!(!is_artifact_uri(bad), "{bad}");
        }
    }
}
