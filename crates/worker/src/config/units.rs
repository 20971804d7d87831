//! Amounts as people write them.

use std::fmt;
use std::time::Duration;

/// Not an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseAmountError(&'static str);

impl fmt::Display for ParseAmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ParseAmountError {}

/// Bytes of `1024`, `512M`, `512MiB`, `2GiB`, `2GB`. A letter without `iB` counts in powers of
/// 1,024 as tools of this field do; `kB`, `MB` and `GB` count in powers of 1,000.
pub fn parse_bytes(text: &str) -> Result<u64, ParseAmountError> {
    const WRONG: ParseAmountError = ParseAmountError("expected bytes such as 1073741824, 512M, 2GiB");
    let (number, unit) = split(text).ok_or(WRONG)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(WRONG),
    };
    number.checked_mul(factor).ok_or(WRONG)
}

/// A length of `1800`, `1800s`, `30m`, `500ms`, `7d`. A bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, ParseAmountError> {
    const WRONG: ParseAmountError = ParseAmountError("expected a length such as 500ms, 30s, 10m, 12h, 7d");
    let (number, unit) = split(text).ok_or(WRONG)?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs).ok_or(WRONG);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3_600),
        "d" | "days" => seconds(86_400),
        _ => Err(WRONG),
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_people_write_them() {
        let cases =
            [("1024", 1024), ("512M", 512 << 20), ("2GiB", 2 << 30), ("2 gib", 2 << 30), ("1GB", 1_000_000_000)];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "5X", "99999999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_as_people_write_them() {
        let cases = [("1800", 1_800_000), ("500ms", 500), ("30m", 1_800_000), ("7d", 604_800_000), ("12h", 43_200_000)];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1y", "-3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
