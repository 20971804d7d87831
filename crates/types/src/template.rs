//! `{{NAME}}` in the texts of a program: one grammar and one table of names, for the code that
//! checks a submission, places it, or substitutes the values.
//!
//! A variable is `{{NAME}}`, where the name is an upper-case identifier (`[A-Z][A-Z0-9_]*`, at most
//! 63 bytes), or `{{LABEL_key}}`, where the key is that of a worker's label. Everything else
//! between braces (`{{.Names}}`, `{{ x }}`, `{{name}}`) belongs to another language and is left as
//! it is. A backslash directly before a variable makes it a literal: `\{{NAME}}` stands for
//! `{{NAME}}`.

/// The prefix of the variable of a worker's label; the label's key follows unchanged.
pub const LABEL_PREFIX: &str = "LABEL_";

/// The key of a label in the form of a variable's name: in upper case, with `_` for `-`, `.` and
/// `/`.
pub fn plain_label(key: &str) -> String {
    key.to_ascii_uppercase().replace(['-', '.', '/'], "_")
}

/// Variables that every program is given.
const OF_ALL: [&str; 6] = ["CORES", "MEMORY_BYTES", "HOSTNAME", "WORKER_ID", "WORK_DIR", "RESOURCES_FILE"];
const OF_DRIVERS: [&str; 2] = ["DRIVER_ID", "ATTEMPT"];
const OF_EXECUTORS: [&str; 4] = ["EXECUTOR_ID", "APP_ID", "PROFILE_ID", "SCRATCH_DIR"];

/// The kind of program that a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateOf {
    /// A driver's.
    Driver,
    /// An executor's.
    Executor,
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableKind {
    /// Muster gives it to every program of this kind.
    BuiltIn,
    /// Muster gives it to programs of the other kind only.
    OfOthers,
    /// It is a label of the worker.
    Label,
    /// The profile or the worker defines it, or it is undefined.
    Defined,
}

impl TemplateOf {
    /// Where a variable of these texts comes from.
    pub fn kind_of(self, name: &str) -> VariableKind {
        let (own, others): (&[&str], &[&str]) = match self {
            TemplateOf::Driver => (&OF_DRIVERS, &OF_EXECUTORS),
            TemplateOf::Executor => (&OF_EXECUTORS, &OF_DRIVERS),
        };
        if OF_ALL.contains(&name) || own.contains(&name) {
            VariableKind::BuiltIn
        } else if others.contains(&name) {
            VariableKind::OfOthers
        } else if name.starts_with(LABEL_PREFIX) {
            VariableKind::Label
        } else {
            VariableKind::Defined
        }
    }
}

/// Whether Muster defines this name, so that profiles and workers must not.
pub fn is_reserved_variable(name: &str) -> bool {
    [TemplateOf::Driver, TemplateOf::Executor].iter().any(|of| of.kind_of(name) != VariableKind::Defined)
}

/// `[A-Z][A-Z0-9_]*`, at most 63 bytes.
pub fn is_variable_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The key of a label: `[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?`.
pub fn is_label_key(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePart<'a> {
    /// Literal text.
    Text(&'a str),
    /// The name of a variable.
    Variable(&'a str),
}

/// Splits a text into its parts, in order. The parts of a text without variables, joined, are that
/// text.
pub fn template_parts(text: &str) -> impl Iterator<Item = TemplatePart<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if let Some((name, after)) = variable_at(rest) {
            rest = after;
            return Some(TemplatePart::Variable(name));
        }
        // A literal variable: without the backslash, and with its braces.
        if let Some(literal) = rest.strip_prefix('\\')
            && let Some((_, after)) = variable_at(literal)
        {
            rest = after;
            return Some(TemplatePart::Text(&literal[..literal.len() - after.len()]));
        }
        let end = rest.char_indices().skip(1).map(|(at, _)| at).find(|at| begins(&rest[*at..]));
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!part.is_empty()).then_some(TemplatePart::Text(part))
    })
}

/// Whether the text begins with a variable or an escaped one.
fn begins(text: &str) -> bool {
    variable_at(text).is_some() || text.strip_prefix('\\').is_some_and(|literal| variable_at(literal).is_some())
}

/// The length of the longest name: the prefix with the longest key of a label.
const LONGEST_NAME: usize = LABEL_PREFIX.len() + 63;

/// The name of the variable that a text begins with, and the text after it. The search stops at the
/// length of the longest name, so that a text of many braces takes linear time.
fn variable_at(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("{{")?;
    let end = inner.bytes().take(LONGEST_NAME + 1).position(|byte| byte == b'}')?;
    let (name, after) = (&inner[..end], inner[end..].strip_prefix("}}")?);
    let is_label = name.strip_prefix(LABEL_PREFIX).is_some_and(is_label_key);
    (is_variable_name(name) || is_label).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let fill = |part| match part {
            TemplatePart::Text(text) => text.to_owned(),
            TemplatePart::Variable(name) => format!("<{name}>"),
        };
        template_parts(text).map(fill).collect()
    }

    #[test]
    fn only_upper_case_names_between_braces_are_variables() {
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("-j{{CORES}} {{A_1}}", "-j<CORES> <A_1>"),
            ("{{LABEL_example.com/zone}}", "<LABEL_example.com/zone>"),
            ("{{.Names}} {{ x }} {{name}} {{}} {{", "{{.Names}} {{ x }} {{name}} {{}} {{"),
            ("{{{CORES}}}", "{<CORES>}"),
            ("{{a{{B}}", "{{a<B>"),
            ("é{{B}}é", "é<B>é"),
            (r"\{{B}} \{{b}} \\", r"{{B}} \{{b}} \\"),
            (r"\\{{B}}", r"\{{B}}"),
            ("{{A}B}} {{A}", "{{A}B}} {{A}"),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_taken_up_to_their_longest_and_no_further() {
        for (length, is_one) in [(63, true), (64, false)] {
            let name = "N".repeat(length);
            let label = format!("{LABEL_PREFIX}{}", "k".repeat(length));
            for name in [name, label] {
                let text = format!("{{{{{name}}}}}");
                let expected = if is_one { format!("<{name}>") } else { text.clone() };
                assert_eq!(filled(&text), expected);
            }
        }
        let braces = "{".repeat(100_000);
        assert_eq!(filled(&braces), braces);
    }

    #[test]
    fn drivers_and_executors_have_names_of_their_own() {
        use VariableKind::{BuiltIn, Defined, Label, OfOthers};
        let kinds = |name| [TemplateOf::Driver, TemplateOf::Executor].map(|of| of.kind_of(name));
        assert_eq!(kinds("WORK_DIR"), [BuiltIn, BuiltIn]);
        assert_eq!(kinds("SCRATCH_DIR"), [OfOthers, BuiltIn]);
        assert_eq!(kinds("ATTEMPT"), [BuiltIn, OfOthers]);
        assert_eq!(kinds("LABEL_zone"), [Label, Label]);
        assert_eq!(kinds("JAVA_HOME"), [Defined, Defined]);
        assert!(is_reserved_variable("APP_ID") && !is_reserved_variable("JAVA_HOME"));
    }
}
