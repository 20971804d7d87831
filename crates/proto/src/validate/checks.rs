//! Checks that many fields share. Each adds its violations and continues.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_types::{MAX_SPEC_BYTES, RequestId, Secret, is_uid};
use muster_units::TimeSpan;

use crate::text::{self, excerpt};
use crate::time::{BAD_LENGTH, length};
use crate::{FieldViolations, Path};

/// The most bytes of a wrong value that a message shows.
pub(super) const SHOWN_BYTES: usize = 64;

/// The message of a required field.
pub(super) fn required<T>(value: Option<T>, path: &Path<'_>, violations: &mut FieldViolations) -> Option<T> {
    if value.is_none() {
        violations.add(path, "is required");
    }
    value
}

/// A text without NUL, of at most `most` bytes. The value is not shown: it may be a secret.
pub(super) fn plain_text(value: &str, most: usize, path: &Path<'_>, violations: &mut FieldViolations) {
    if value.len() > most {
        violations.add(path, format!("has {} bytes; at most {most}", value.len()));
    }
    if value.contains('\0') {
        violations.add(path, "has a NUL byte");
    }
}

/// A text of one line for people.
pub(super) fn shown_text(value: &str, most: usize, path: &Path<'_>, violations: &mut FieldViolations) {
    plain_text(value, most, path, violations);
    if value.chars().any(|c| c.is_control() && c != '\0') {
        violations.add(path, "has a control character");
    }
}

/// Refuses more than `most` elements.
pub(super) fn count(found: usize, most: usize, path: &Path<'_>, violations: &mut FieldViolations) {
    if found > most {
        violations.add(path, format!("has {found} entries; at most {most}"));
    }
}

/// A length within bounds; `default` when it is unset.
pub(super) fn bounded_length(
    wire: Option<prost_types::Duration>,
    default: Duration,
    bounds: std::ops::RangeInclusive<Duration>,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> Duration {
    let Some(wire) = wire else { return default };
    match length(&wire) {
        None => violations.add(path, BAD_LENGTH),
        Some(length) if length < *bounds.start() => {
            violations
                .add(path, format!("must be at least {}, and is {}", TimeSpan(*bounds.start()), TimeSpan(length)));
        }
        Some(length) if length > *bounds.end() => {
            violations.add(path, format!("must be at most {}, and is {}", TimeSpan(*bounds.end()), TimeSpan(length)));
        }
        Some(length) => return length,
    }
    default
}

/// Labels: at most `most`, keys and values within their patterns.
pub(super) fn labels(
    labels: &BTreeMap<String, String>,
    most: usize,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) {
    count(labels.len(), most, path, violations);
    for (key, value) in labels {
        if !text::is_label_key(key) {
            violations.add(&path.key(key), "the key does not match [A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?");
        }
        if !text::is_label_value(value) {
            violations.add(&path.key(key), "the value is longer than 63 bytes, or has a control character");
        }
    }
}

/// A name that the caller chooses; empty lets the master make one.
pub(super) fn chosen_name(value: &str, path: &Path<'_>, violations: &mut FieldViolations) -> bool {
    if !value.is_empty() && !text::is_dns_name(value) {
        let shown = excerpt(value, SHOWN_BYTES);
        violations.add(path, format!("{shown:?} does not match [a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?"));
    }
    if is_uid(value) {
        violations.add(path, format!("{value:?} has 32 hexadecimal digits: that is a uid, and no name"));
    }
    !value.is_empty()
}

/// A name or uid of something that exists. Only its text is checked; a later look-up reports a name
/// that does not exist.
pub(super) fn existing_name(value: &str, path: &Path<'_>, violations: &mut FieldViolations) {
    if value.is_empty() {
        violations.add(path, "is required: a name or uid");
    }
    shown_text(value, 253, path, violations);
}

/// The request id of a mutation; an empty text is none.
pub(super) fn request_id(value: String, violations: &mut FieldViolations) -> Option<RequestId> {
    if value.is_empty() {
        return None;
    }
    if !text::is_request_id(&value) {
        violations.add(&Path::root("request_id"), "is not 1 to 64 bytes of [A-Za-z0-9._-]");
        return None;
    }
    Some(RequestId::new(value))
}

/// The token of a cluster-mode driver; an empty text means client mode.
pub(super) fn driver_token(value: String, violations: &mut FieldViolations) -> Option<Secret> {
    plain_text(&value, 256, &Path::root("driver_token"), violations);
    Some(value).filter(|token| !token.is_empty()).map(Secret::new)
}

/// The encoded size of a spec. `parts` are its fields with their sizes: the largest is named.
pub(super) fn encoded_size(size: usize, parts: &[(&str, usize)], path: &Path<'_>, violations: &mut FieldViolations) {
    if size <= MAX_SPEC_BYTES {
        return;
    }
    let message = format!("the spec has {size} bytes encoded; at most {MAX_SPEC_BYTES}");
    match parts.iter().max_by_key(|(_, size)| *size) {
        Some((field, part)) => {
            violations.add(&path.field(field), format!("{message}; this is its largest part with {part}"));
        }
        None => violations.add(path, message),
    }
}

/// A wire enum: its number must be known here.
pub(super) fn known<E: TryFrom<i32>>(
    number: i32,
    words: &str,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> Option<E> {
    let value = E::try_from(number).ok();
    if value.is_none() {
        violations.add(path, format!("{number} is not known here: {words}"));
    }
    value
}
