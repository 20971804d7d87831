//! The violations of a request: every bad field at once, each with its path.

use std::fmt;

use crate::text::{excerpt, shorten};

/// The most violations that are kept of one request; further ones are only counted. This bounds the
/// answer to a request that is wrong everywhere.
pub const MAX_VIOLATIONS: usize = 32;

/// The path of a field during the checks of a request. It is built on the stack and written out
/// only for a violation.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: PathStep<'a>,
}

#[derive(Debug, Clone, Copy)]
enum PathStep<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

/// The most bytes of a map key that a path shows: a path must not carry a whole request back.
const SHOWN_KEY_BYTES: usize = 64;

impl<'a> Path<'a> {
    /// A field of the request itself.
    pub fn root(field: &'a str) -> Path<'a> {
        Path { parent: None, step: PathStep::Field(field) }
    }

    /// A field of this one.
    pub fn field(&'a self, field: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: PathStep::Field(field) }
    }

    /// An element of this repeated field.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: PathStep::Index(index) }
    }

    /// An entry of this map.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: PathStep::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match (self.step, self.parent.is_some()) {
            (PathStep::Field(field), false) => f.write_str(field),
            (PathStep::Field(field), true) => write!(f, ".{field}"),
            (PathStep::Index(index), _) => write!(f, "[{index}]"),
            (PathStep::Key(key), _) => write!(f, "[{:?}]", excerpt(key, SHOWN_KEY_BYTES)),
        }
    }
}

/// The most bytes of a message: some show what was sent, and an answer must not carry it all back.
const MAX_MESSAGE_BYTES: usize = 512;

fn bounded(mut message: String) -> String {
    shorten(&mut message, MAX_MESSAGE_BYTES);
    message
}

/// One bad field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Its path, such as `driver.command.args[3]`.
    pub field: String,
    /// The problem, and what would be right. It never holds an environment value.
    pub message: String,
}

/// All that is wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldViolations {
    list: Vec<FieldViolation>,
    more: usize,
}

impl FieldViolations {
    /// No violations yet.
    pub fn new() -> FieldViolations {
        FieldViolations::default()
    }

    /// A single bad field.
    pub fn of(field: impl Into<String>, message: impl Into<String>) -> FieldViolations {
        let violation = FieldViolation { field: field.into(), message: bounded(message.into()) };
        FieldViolations { list: vec![violation], more: 0 }
    }

    /// Notes a bad field.
    pub fn add(&mut self, path: &Path<'_>, message: impl Into<String>) {
        if self.list.len() < MAX_VIOLATIONS {
            self.list.push(FieldViolation { field: path.to_string(), message: bounded(message.into()) });
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The bad fields, in the order of the request; at most [`MAX_VIOLATIONS`].
    pub fn list(&self) -> &[FieldViolation] {
        &self.list
    }

    /// Bad fields that are not listed.
    pub fn more(&self) -> usize {
        self.more
    }

    /// The value if there are no violations, else the violations.
    pub fn unless_any<T>(self, value: T) -> Result<T, FieldViolations> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for FieldViolations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldViolation { field, message }) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {message}")?;
        }
        if self.more > 0 {
            write!(f, "; and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldViolations {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_request() {
        let driver = Path::root("driver");
        let command = driver.field("command");
        let args = command.field("args");
        assert_eq!(args.index(3).to_string(), "driver.command.args[3]");
        assert_eq!(command.field("env").key("A\"B").to_string(), r#"driver.command.env["A\"B"]"#);
    }

    #[test]
    fn what_is_wrong_everywhere_is_bounded() {
        let mut violations = FieldViolations::new();
        for index in 0..MAX_VIOLATIONS + 5 {
            violations.add(&Path::root("list").index(index), "bad");
        }
        assert_eq!((violations.list().len(), violations.more()), (MAX_VIOLATIONS, 5));
        assert!(violations.to_string().ends_with("and 5 more"));
    }
}
