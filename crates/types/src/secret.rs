//! Values that are never shown.

use std::fmt;
use std::sync::Arc;

/// A value that must not reach a log, an event or an answer. It prints as `[redacted]`, so the
/// `Debug` output of a type that contains it does not leak it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<Arc<str>>) -> Secret {
        Secret(value.into())
    }

    /// The value; for the process that it is meant for, and for the store.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The text that is shown in place of a value.
pub const REDACTED: &str = "[redacted]";

/// Whether the value of an environment variable of this name is shown redacted: the name contains a
/// word that is usual in the names of secrets.
pub fn name_looks_secret(name: &str) -> bool {
    const WORDS: [&str; 7] = ["secret", "password", "passwd", "token", "credential", "apikey", "key"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}
