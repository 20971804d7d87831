//! `{{VARIABLE}}` in programs, arguments and environment: only what can be a variable somewhere is
//! taken.

use crate::text::{excerpt, is_label_key, is_variable_name};
use crate::{FieldViolations, Path};

/// Variables that every executor has, with the drivers' own: a profile cannot define them anew.
pub(super) const BUILT_IN: [&str; 14] = [
    "EXECUTOR_ID",
    "APP_ID",
    "PROFILE_ID",
    "DRIVER_ID",
    "ATTEMPT",
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

/// Begins the variable of a worker's label; the label's key follows as it is.
pub(super) const LABEL_PREFIX: &str = "LABEL_";

/// Notes every `{{name}}` that can never be a variable. Braces around something that is no name at
/// all (`{{.Names}}`, `{{ x }}`) are another language's and pass through, here and on the worker.
/// Nothing of the text is shown when `secret`.
pub(super) fn check(text: &str, secret: bool, path: &Path<'_>, violations: &mut FieldViolations) {
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let inner = &rest[start + 2..];
        let Some(end) = inner.find("}}") else { return };
        let name = &inner[..end];
        if !looks_like_name(name) {
            // One brace only: what follows may open a variable.
            rest = &rest[start + 1..];
            continue;
        }
        let label = name.strip_prefix(LABEL_PREFIX).is_some_and(is_label_key);
        if !is_variable_name(name) && !label {
            let shown = if secret { "a variable" } else { excerpt(name, 64) };
            violations.add(path, format!("{{{{{shown}}}}} can be no variable: names match [A-Z][A-Z0-9_]*"));
        }
        rest = &inner[end + 2..];
    }
}

fn looks_like_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_variable_is_taken() {
        let wrong = |text: &str| {
            let mut violations = FieldViolations::new();
            check(text, false, &Path::root("x"), &mut violations);
            violations.list().len()
        };
        for good in
            ["", "{{CORES}}", "a{{A_1}}b{{B}}", "{{LABEL_example.com/zone}}", "{{.Names}}", "{{ x }}", "{{", "{{{A}}}"]
        {
            assert_eq!(wrong(good), 0, "{good}");
        }
        assert_eq!(wrong("{{cores}} and {{_A}} and {{OK}}"), 2);
    }
}
