//! `KEY=VALUE` in its three uses: environment and labels, secrets, counts.

use std::fmt;
use std::str::FromStr;

use super::is_variable_name;

/// A key with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Before the first `=`; not empty.
    pub(crate) key: String,
    /// After it; may be empty.
    pub(crate) value: String,
}

/// A secret: a value given outright, or the name of a variable of our own environment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretSource {
    /// Name of the variable.
    pub(crate) key: String,
    /// The value; `None`: taken from the environment.
    pub(crate) value: Option<String>,
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}=…)", self.key)
    }
}

/// A name with a count, such as `gpu=1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    /// Name of the resource.
    pub(crate) name: String,
    /// How many; at least 1.
    pub(crate) count: u32,
}

/// Why a text is not such a pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairError {
    /// No `=`, or nothing before it.
    #[error("write KEY=VALUE")]
    NotAPair,
    /// Not a name of a variable.
    #[error("'{0}' cannot name a variable; names are letters, digits and _, and begin with no digit")]
    Name(String),
    /// Not a name with a count of at least 1.
    #[error("write NAME=COUNT with a count of at least 1, such as gpu=1")]
    NotACount,
}

impl FromStr for Pair {
    type Err = PairError;

    fn from_str(text: &str) -> Result<Pair, PairError> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Pair { key: key.to_owned(), value: value.to_owned() }),
            _ => Err(PairError::NotAPair),
        }
    }
}

impl FromStr for SecretSource {
    type Err = PairError;

    fn from_str(text: &str) -> Result<SecretSource, PairError> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if !is_variable_name(key) {
            return Err(PairError::Name(key.to_owned()));
        }
        Ok(SecretSource { key: key.to_owned(), value })
    }
}

impl FromStr for Count {
    type Err = PairError;

    fn from_str(text: &str) -> Result<Count, PairError> {
        let (name, count) = text.split_once('=').ok_or(PairError::NotACount)?;
        match count.parse() {
            Ok(count) if count > 0 && !name.is_empty() => Ok(Count { name: name.to_owned(), count }),
            _ => Err(PairError::NotACount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!("A=b=c".parse(), Ok(Pair { key: "A".into(), value: "b=c".into() }));
        assert_eq!("A=".parse(), Ok(Pair { key: "A".into(), value: String::new() }));
        assert_eq!("A".parse::<Pair>(), Err(PairError::NotAPair));
        assert_eq!("=b".parse::<Pair>(), Err(PairError::NotAPair));
    }

    #[test]
    fn a_secret_is_given_or_named_and_never_shown() {
        let given: SecretSource = "TOKEN=s3cret".parse().expect("a secret");
        assert_eq!(given.value.as_deref(), Some("s3cret"));
        assert!(!format!("{given:?}").contains("s3cret"));
        assert_eq!("TOKEN".parse(), Ok(SecretSource { key: "TOKEN".into(), value: None }));
        assert_eq!("A B".parse::<SecretSource>(), Err(PairError::Name("A B".into())));
    }

    #[test]
    fn a_count_is_at_least_one() {
        assert_eq!("gpu=2".parse(), Ok(Count { name: "gpu".into(), count: 2 }));
        for text in ["gpu", "gpu=0", "gpu=x", "=1"] {
            assert_eq!(text.parse::<Count>(), Err(PairError::NotACount), "{text}");
        }
    }
}
