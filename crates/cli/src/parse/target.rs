//! A process on the command line: `ID` or `ID/NUMBER`.

use std::str::FromStr;

/// A driver or application, with an attempt or executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessArg {
    /// Name or uid.
    pub(crate) id: String,
    /// Attempt of a driver, or number of an executor.
    pub(crate) number: Option<u32>,
}

/// Why a text is not a target. Each says what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProcessArgError {
    /// Nothing before the `/`, or nothing at all.
    #[error("the name is missing; write DRIVER, DRIVER/ATTEMPT or APPLICATION/EXECUTOR, such as job-1/2")]
    NoName,
    /// What follows the `/` is no number.
    #[error("'{0}' is not a number; write DRIVER, DRIVER/ATTEMPT or APPLICATION/EXECUTOR, such as job-1/2")]
    NoNumber(String),
}

impl FromStr for ProcessArg {
    type Err = ProcessArgError;

    fn from_str(text: &str) -> Result<ProcessArg, ProcessArgError> {
        let (id, number) = match text.split_once('/') {
            None => (text, None),
            Some((id, number)) => (id, Some(number)),
        };
        if id.is_empty() {
            return Err(ProcessArgError::NoName);
        }
        let read = |number: &str| number.parse().map_err(|_| ProcessArgError::NoNumber(number.to_owned()));
        Ok(ProcessArg { id: id.to_owned(), number: number.map(read).transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ids_with_and_without_a_number() {
        assert_eq!("job".parse(), Ok(ProcessArg { id: "job".into(), number: None }));
        assert_eq!("job/2".parse(), Ok(ProcessArg { id: "job".into(), number: Some(2) }));
        assert_eq!("job/x".parse::<ProcessArg>(), Err(ProcessArgError::NoNumber("x".into())));
        for text in ["/1", "", "/"] {
            assert_eq!(text.parse::<ProcessArg>(), Err(ProcessArgError::NoName), "{text}");
        }
    }
}
