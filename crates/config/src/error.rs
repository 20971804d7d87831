//! Errors in the settings of a program.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};

/// The settings cannot be used. The text includes the cause.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag or a variable is wrong, or help or the version was asked for.
    #[error("{}", refusal(.0))]
    Flags(clap::Error),
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    ReadFile(PathBuf, io::Error),
    /// The content of a file cannot be used. The sentence follows the path.
    #[error("{} {}", .0.display(), .1)]
    File(PathBuf, String),
    /// A value is wrong; `expected` says what would be right.
    #[error("--{flag} {value}: {expected}")]
    Value {
        /// The name of the flag, without dashes.
        flag: &'static str,
        /// The value as given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A rule that no value breaks alone, or whose value must not be shown, is broken. The sentence
    /// names the flags.
    #[error("{0}")]
    Rule(String),
}

impl ConfigError {
    /// An error about the value of one flag; `expected` says what would be right.
    pub fn value(flag: &'static str, value: impl Into<String>, expected: impl ToString) -> ConfigError {
        ConfigError::Value { flag, value: value.into(), expected: expected.to_string() }
    }

    /// An error about a rule for more than one value. The sentence names the flags.
    pub fn rule(sentence: impl Into<String>) -> ConfigError {
        ConfigError::Rule(sentence.into())
    }

    /// The whole error in one line, even if a value has several.
    pub fn line(&self) -> String {
        self.to_string().replace('\n', " ")
    }

    /// The text to print if help or the version was asked for, which is no error.
    pub fn shown(&self) -> Option<&clap::Error> {
        match self {
            ConfigError::Flags(error) if !error.use_stderr() => Some(error),
            _ => None,
        }
    }
}

// Written by hand, because `#[from]` would also name a source, and the text includes the cause.
impl From<clap::Error> for ConfigError {
    fn from(error: clap::Error) -> ConfigError {
        ConfigError::Flags(error)
    }
}

/// The text of an error from clap, in the form of [`ConfigError::Value`] if a value is refused.
fn refusal(error: &clap::Error) -> String {
    let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(cause), _) => Some(cause.to_string()),
        (None, Some(ContextValue::Strings(words))) => Some(format!("expected one of {}", words.join(", "))),
        _ => None,
    };
    match (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue), expected) {
        (Some(ContextValue::String(flag)), Some(ContextValue::String(value)), Some(expected)) if !value.is_empty() => {
            let flag = flag.split_whitespace().next().unwrap_or_default();
            format!("{flag} {value}: {expected}")
        }
        _ => first_paragraph(&error.to_string()),
    }
}

/// The first paragraph, which says what is wrong; the rest says how to get help.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}
