//! Lengths of time: `500ms`, `10s`, `1h30m`, `2d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DurationArg(pub(crate) Duration);

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DurationArgError {
    /// A number is missing before a unit.
    NoNumber,
    /// A number stands without a unit.
    NoUnit(String),
    /// What follows a number is no unit.
    Unit(String),
    /// Longer than can be counted.
    TooLong,
}

impl fmt::Display for DurationArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationArgError::NoNumber => {
                f.write_str("a length of time is whole numbers with units, such as 500ms, 10s or 1h30m")
            }
            DurationArgError::NoUnit(number) => write!(f, "a unit is missing; write {number}s for seconds"),
            DurationArgError::Unit(unit) => {
                write!(f, "unknown unit '{unit}'; write ms, s, m, h or d, such as 10s or 1h30m")
            }
            DurationArgError::TooLong => f.write_str("this is longer than can be counted"),
        }
    }
}

impl std::error::Error for DurationArgError {}

impl FromStr for DurationArg {
    type Err = DurationArgError;

    fn from_str(text: &str) -> Result<DurationArg, DurationArgError> {
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(DurationArg(Duration::ZERO));
        }
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(DurationArgError::NoNumber);
        }
        while !rest.is_empty() {
            let (part, after) = next_part(rest)?;
            total = total.checked_add(part).ok_or(DurationArgError::TooLong)?;
            rest = after;
        }
        Ok(DurationArg(total))
    }
}

/// The first number with its unit, and what follows.
fn next_part(text: &str) -> Result<(Duration, &str), DurationArgError> {
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    if number.is_empty() {
        return Err(DurationArgError::NoNumber);
    }
    let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(DurationArgError::NoUnit(number.to_owned())),
        _ => return Err(DurationArgError::Unit(unit.to_owned())),
    };
    let number: u64 = number.parse().map_err(|_| DurationArgError::TooLong)?;
    let millis = number.checked_mul(millis).ok_or(DurationArgError::TooLong)?;
    Ok((Duration::from_millis(millis), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in
            [("0", 0), ("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h30m", 5_400_000), ("1d", 86_400_000)]
        {
            assert_eq!(text.parse(), Ok(DurationArg(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("".parse::<DurationArg>(), Err(DurationArgError::NoNumber));
        assert_eq!("s".parse::<DurationArg>(), Err(DurationArgError::NoNumber));
        assert_eq!("-1s".parse::<DurationArg>(), Err(DurationArgError::NoNumber));
        assert_eq!("10".parse::<DurationArg>(), Err(DurationArgError::NoUnit("10".into())));
        assert_eq!("1h30".parse::<DurationArg>(), Err(DurationArgError::NoUnit("30".into())));
        assert_eq!("10 s".parse::<DurationArg>(), Err(DurationArgError::Unit(" s".into())));
        assert_eq!("10min".parse::<DurationArg>(), Err(DurationArgError::Unit("min".into())));
        assert_eq!("99999999999999999999d".parse::<DurationArg>(), Err(DurationArgError::TooLong));
    }
}
