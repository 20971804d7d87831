//! The configuration file.

use std::path::Path;

use clap::Command;
use toml::{Table, Value};

use super::error::ConfigError;

/// The command with what the file says as its defaults.
pub(super) fn as_defaults(mut command: Command, path: &Path) -> Result<Command, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::ReadFile { path: path.to_owned(), source })?;
    let table: Table = toml::from_str(&text)
        .map_err(|error| ConfigError::ParseFile { path: path.to_owned(), error: Box::new(error) })?;
    for (key, value) in table {
        let known = command.get_arguments().any(|arg| arg.get_id().as_str() == key && key != "config");
        if !known {
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key });
        }
        let text = text_of(&value).ok_or_else(|| ConfigError::NotAValue { path: path.to_owned(), key: key.clone() })?;
        command = command.mut_arg(key, |arg| arg.default_value(text));
    }
    Ok(command)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(yes) => Some(yes.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}
