//! The error of a message of a peer that is incomplete or contradicts itself.

/// A field of a message between our own parts is missing or invalid. The stream that carried it
/// cannot be used further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WireError {
    /// The path of the field.
    pub field: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl WireError {
    /// A problem with a field.
    pub fn new(field: &str, problem: &'static str) -> WireError {
        WireError { field: field.to_owned(), problem }
    }

    /// The same error with the path from the message that holds this one.
    #[must_use]
    pub fn within(mut self, parent: &str) -> WireError {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// The message in a required field.
pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, WireError> {
    value.ok_or_else(|| WireError::new(field, "is missing"))
}
