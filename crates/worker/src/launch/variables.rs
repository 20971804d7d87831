//! `{{VARIABLE}}` in programs, arguments and environment.

use std::fmt;

/// A variable that nobody defines here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable(pub String);

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the variable {{{{{}}}}} is not known on this worker", self.0)
    }
}

impl std::error::Error for UnknownVariable {}

/// Replaces each `{{NAME}}` by what `lookup` says. What is not a name between the braces stays as
/// it is, so that texts of other template languages pass through. What is put in is not looked at
/// again.
pub fn substitute(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> Result<String, UnknownVariable> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, after) = rest.split_at(start);
        result.push_str(before);
        let Some(end) = after.find("}}") else {
            rest = after;
            break;
        };
        let name = &after[2..end];
        if is_name(name) {
            result.push_str(&lookup(name).ok_or_else(|| UnknownVariable(name.to_owned()))?);
            rest = &after[end + 2..];
        } else {
            // One brace only: what follows may open a variable.
            result.push('{');
            rest = &after[1..];
        }
    }
    result.push_str(rest);
    Ok(result)
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "CORES" => Some("4".into()),
            "WORK_DIR" => Some("/w/{{CORES}}".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_anywhere_and_once() {
        let cases = [
            ("plain", "plain"),
            ("-j{{CORES}} {{CORES}}", "-j4 4"),
            ("{{WORK_DIR}}/x", "/w/{{CORES}}/x"),
            ("{{{CORES}}}", "{4}"),
            ("{{ other }} {{}} {{", "{{ other }} {{}} {{"),
            ("é{{CORES}}é", "é4é"),
        ];
        for (text, expected) in cases {
            assert_eq!(substitute(text, lookup).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_variable_is_named() {
        assert_eq!(substitute("a {{NOPE}}", lookup), Err(UnknownVariable("NOPE".into())));
    }
}
