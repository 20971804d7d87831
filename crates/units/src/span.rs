//! Lengths of time: `500ms`, `10s`, `1h30m`, `2d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

/// Writes whole milliseconds in the largest unit that loses none of them: what one program writes,
/// another reads as the same length. A length above 0 stays above 0.
impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_nanos().div_ceil(1_000_000);
        let unit = UNITS.iter().find(|(_, length)| millis.is_multiple_of(u128::from(*length)));
        match unit.filter(|_| millis > 0) {
            Some((unit, length)) => write!(f, "{}{unit}", millis / u128::from(*length)),
            None => f.write_str("0"),
        }
    }
}

/// The units with their lengths in milliseconds, from the largest to one that divides everything.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseTimeSpanError {
    /// A number is missing before a unit.
    NoNumber,
    /// A number has no unit.
    NoUnit(String),
    /// A number is not whole.
    Fraction,
    /// The text after a number is not a unit.
    Unit(String),
    /// Longer than can be counted.
    TooLong,
}

impl fmt::Display for ParseTimeSpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseTimeSpanError::NoNumber => {
                f.write_str("a length of time is whole numbers with units, such as 500ms, 10s or 1h30m")
            }
            ParseTimeSpanError::NoUnit(number) => {
                write!(f, "a unit is missing; write {number}s for seconds, or a length of time such as 1h30m")
            }
            ParseTimeSpanError::Fraction => {
                f.write_str("the numbers of a length of time are whole; write 1h30m for one and a half hours")
            }
            ParseTimeSpanError::Unit(unit) => {
                write!(f, "unknown unit '{unit}'; write ms, s, m, h or d, such as 10s or 1h30m")
            }
            ParseTimeSpanError::TooLong => {
                f.write_str("longer than can be counted; write a length of time such as 10s or 1h30m")
            }
        }
    }
}

impl std::error::Error for ParseTimeSpanError {}

impl FromStr for TimeSpan {
    type Err = ParseTimeSpanError;

    fn from_str(text: &str) -> Result<TimeSpan, ParseTimeSpanError> {
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(TimeSpan(Duration::ZERO));
        }
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(ParseTimeSpanError::NoNumber);
        }
        while !rest.is_empty() {
            let (part, after) = next_part(rest)?;
            total = total.checked_add(part).ok_or(ParseTimeSpanError::TooLong)?;
            rest = after;
        }
        Ok(TimeSpan(total))
    }
}

/// Splits off the first number with its unit; returns its length and the rest of the text.
fn next_part(text: &str) -> Result<(Duration, &str), ParseTimeSpanError> {
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    if number.is_empty() {
        return Err(ParseTimeSpanError::NoNumber);
    }
    if rest.starts_with(['.', ',']) {
        return Err(ParseTimeSpanError::Fraction);
    }
    let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let millis = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, millis)) => *millis,
        None if unit.is_empty() => return Err(ParseTimeSpanError::NoUnit(number.to_owned())),
        None => return Err(ParseTimeSpanError::Unit(unit.to_owned())),
    };
    let number: u64 = number.parse().map_err(|_| ParseTimeSpanError::TooLong)?;
    let millis = number.checked_mul(millis).ok_or(ParseTimeSpanError::TooLong)?;
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
            assert_eq!(text.parse(), Ok(TimeSpan(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same_length() {
        let cases = [(0, "0"), (1, "1ms"), (1_500, "1500ms"), (10_000, "10s"), (90_000, "90s"), (600_000, "10m")];
        for (millis, text) in cases.into_iter().chain([(5_400_000, "90m"), (86_400_000, "1d")]) {
            let span = TimeSpan(Duration::from_millis(millis));
            assert_eq!(span.to_string(), text);
            assert_eq!(text.parse(), Ok(span));
        }
        assert_eq!(TimeSpan(Duration::from_nanos(1)).to_string(), "1ms");
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("".parse::<TimeSpan>(), Err(ParseTimeSpanError::NoNumber));
        assert_eq!("s".parse::<TimeSpan>(), Err(ParseTimeSpanError::NoNumber));
        assert_eq!("-1s".parse::<TimeSpan>(), Err(ParseTimeSpanError::NoNumber));
        assert_eq!("10".parse::<TimeSpan>(), Err(ParseTimeSpanError::NoUnit("10".into())));
        assert_eq!("1h30".parse::<TimeSpan>(), Err(ParseTimeSpanError::NoUnit("30".into())));
        assert_eq!("10 s".parse::<TimeSpan>(), Err(ParseTimeSpanError::Unit(" s".into())));
        for text in ["1.5h", "1h0.5m", "1,5h"] {
            assert_eq!(text.parse::<TimeSpan>(), Err(ParseTimeSpanError::Fraction), "{text}");
        }
        assert_eq!("10min".parse::<TimeSpan>(), Err(ParseTimeSpanError::Unit("min".into())));
        assert_eq!("99999999999999999999d".parse::<TimeSpan>(), Err(ParseTimeSpanError::TooLong));
    }
}
