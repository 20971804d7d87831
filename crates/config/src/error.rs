//! What is wrong with the settings of a program.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};

/// The settings cannot be used. Its text says the cause as well.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag or variable; or help was asked for.
    #[error("{}", refusal(.0))]
    Flags(clap::Error),
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    ReadFile(PathBuf, io::Error),
    /// What stands in the file cannot be used, as the sentence after its path says.
    #[error("{} {}", .0.display(), .1)]
    File(PathBuf, String),
    /// A value is wrong; what would be right is said.
    #[error("--{flag} {value}: {expected}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A rule that no value breaks alone, or whose value must not be shown. The sentence names the
    /// flags.
    #[error("{0}")]
    Rule(String),
}

impl ConfigError {
    /// A value is wrong; what would be right is said.
    pub fn value(flag: &'static str, value: impl Into<String>, expected: impl ToString) -> ConfigError {
        ConfigError::Value { flag, value: value.into(), expected: expected.to_string() }
    }

    /// A rule of more than one value is broken; the sentence names the flags.
    pub fn rule(sentence: impl Into<String>) -> ConfigError {
        ConfigError::Rule(sentence.into())
    }

    /// The whole error in one line, whatever the values hold.
    pub fn line(&self) -> String {
        self.to_string().replace('\n', " ")
    }

    /// Whether it is what was asked for rather than an error: help, or the version.
    pub fn shown(&self) -> Option<&clap::Error> {
        match self {
            ConfigError::Flags(error) if !error.use_stderr() => Some(error),
            _ => None,
        }
    }
}

// Its text holds the text of its cause, which is why it names none.
impl From<clap::Error> for ConfigError {
    fn from(error: clap::Error) -> ConfigError {
        ConfigError::Flags(error)
    }
}

/// What clap refuses, in the words of [`ConfigError::Value`] where it is a value.
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

/// What is wrong, without how to ask for help.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}
