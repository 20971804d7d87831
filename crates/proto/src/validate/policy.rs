//! Restart rules.

use std::time::Duration;

use muster_types::{RestartCondition, RestartPolicy};

use super::checks::{bounded_length, known};
use crate::{FieldViolations, Path, v1};

const MAX_ATTEMPTS: u32 = 10_000;
const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(31 * 24 * 3600);

/// Restart rules with their defaults.
pub(super) fn restart(
    wire: Option<v1::RestartPolicy>,
    path: &Path<'_>,
    violations: &mut FieldViolations,
) -> RestartPolicy {
    let defaults = RestartPolicy::default();
    let Some(wire) = wire else { return defaults };
    let condition = known::<v1::RestartCondition>(
        wire.condition,
        "NEVER, ON_FAILURE or ALWAYS",
        &path.field("condition"),
        violations,
    );
    if wire.max_attempts > MAX_ATTEMPTS {
        violations.add(&path.field("max_attempts"), format!("is {}; at most {MAX_ATTEMPTS}", wire.max_attempts));
    }
    let mut length =
        |wire, default, bounds, field| bounded_length(wire, default, bounds, &path.field(field), violations);
    let window = length(wire.window, defaults.window, MILLISECOND..=MONTH, "window");
    let initial = length(wire.backoff_initial, defaults.backoff_initial, MILLISECOND..=DAY, "backoff_initial");
    // An unset longest delay never contradicts a chosen first one.
    let longest = length(wire.backoff_max, defaults.backoff_max.max(initial), MILLISECOND..=DAY, "backoff_max");
    let reset =
        length(wire.backoff_reset_after, defaults.backoff_reset_after, Duration::ZERO..=MONTH, "backoff_reset_after");
    if longest < initial {
        violations
            .add(&path.field("backoff_max"), format!("is {longest:?}, shorter than backoff_initial, {initial:?}"));
    }
    RestartPolicy {
        condition: condition.and_then(|wire| wire.try_into().ok()).unwrap_or(RestartCondition::Never),
        max_attempts: if wire.max_attempts == 0 { defaults.max_attempts } else { wire.max_attempts },
        window,
        backoff_initial: initial,
        backoff_max: longest,
        backoff_reset_after: reset,
    }
}
