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

/// Why a text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a number; write DRIVER, DRIVER/ATTEMPT or APPLICATION/EXECUTOR, such as job-1/2")]
pub(crate) struct ProcessArgError(String);

impl FromStr for ProcessArg {
    type Err = ProcessArgError;

    fn from_str(text: &str) -> Result<ProcessArg, ProcessArgError> {
        match text.split_once('/') {
            None => Ok(ProcessArg { id: text.to_owned(), number: None }),
            Some((id, number)) => match number.parse() {
                Ok(number) if !id.is_empty() => Ok(ProcessArg { id: id.to_owned(), number: Some(number) }),
                _ => Err(ProcessArgError(number.to_owned())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ids_with_and_without_a_number() {
        assert_eq!("job".parse(), Ok(ProcessArg { id: "job".into(), number: None }));
        assert_eq!("job/2".parse(), Ok(ProcessArg { id: "job".into(), number: Some(2) }));
        assert!("job/x".parse::<ProcessArg>().is_err() && "/1".parse::<ProcessArg>().is_err());
    }
}
