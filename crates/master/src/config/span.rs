//! Lengths of time as people write them: `500ms`, `5s`, `2m`, `1h`, `1d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationFlag(pub Duration);

/// The text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSpanError;

impl fmt::Display for ParseSpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time is a whole number with ms, s, m, h or d, such as 500ms or 5s")
    }
}

impl std::error::Error for ParseSpanError {}

impl FromStr for DurationFlag {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<DurationFlag, ParseSpanError> {
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(ParseSpanError)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| ParseSpanError)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(ParseSpanError),
        };
        number.checked_mul(millis).map(|millis| DurationFlag(Duration::from_millis(millis))).ok_or(ParseSpanError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("500ms".parse(), Ok(DurationFlag(Duration::from_millis(500))));
        assert_eq!("45s".parse(), Ok(DurationFlag(Duration::from_secs(45))));
        assert_eq!("24h".parse(), Ok(DurationFlag(Duration::from_secs(86_400))));
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_number() {
        for text in ["", "5", "s", "-1s", "1.5s", "5 s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(text.parse::<DurationFlag>(), Err(ParseSpanError), "{text:?}");
        }
    }
}
