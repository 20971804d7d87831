//! `{{VARIABLE}}` in programs, arguments and environment.

use muster_types::{TemplatePart, template_parts};

/// A variable that is not defined here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable {{{{{0}}}}} is not known on this worker")]
pub struct UnknownVariable(pub String);

/// Replaces each `{{NAME}}` by the value that `lookup` returns. The value is not searched again.
pub fn substitute(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> Result<String, UnknownVariable> {
    let fill = |part| match part {
        TemplatePart::Text(text) => Ok(text.to_owned()),
        TemplatePart::Variable(name) => lookup(name).ok_or_else(|| UnknownVariable(name.to_owned())),
    };
    template_parts(text).map(fill).collect()
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
