//! Sizes: `4096`, `64K`, `256M`, `2GiB`, `1.5G`.

use std::fmt;
use std::str::FromStr;

/// A size in bytes. Suffixes are powers of 1024, as everywhere in Muster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseByteSizeError {
    /// It does not begin with a number.
    NoNumber,
    /// The text after the number is not a unit.
    Unit(String),
    /// More bytes than a `u64` holds.
    TooLarge,
}

impl fmt::Display for ParseByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseByteSizeError::NoNumber => f.write_str("a size begins with a number, such as 256M or 2GiB"),
            ParseByteSizeError::Unit(unit) => {
                write!(f, "unknown unit '{unit}'; write K, M, G or T (powers of 1024), such as 256M or 2GiB")
            }
            ParseByteSizeError::TooLarge => {
                f.write_str("more than can be counted in bytes; write a size such as 256M or 2GiB")
            }
        }
    }
}

impl std::error::Error for ParseByteSizeError {}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<ByteSize, ParseByteSizeError> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim_start();
        let scale: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "ki" | "kib" => 1 << 10,
            "m" | "mi" | "mib" => 1 << 20,
            "g" | "gi" | "gib" => 1 << 30,
            "t" | "ti" | "tib" => 1 << 40,
            _ if number.is_empty() => return Err(ParseByteSizeError::NoNumber),
            _ => return Err(ParseByteSizeError::Unit(unit.to_owned())),
        };
        scaled(number, scale).map(ByteSize)
    }
}

/// Multiplies a decimal number by a scale. The arithmetic is in integers because floats would round
/// large whole numbers.
fn scaled(number: &str, scale: u64) -> Result<u64, ParseByteSizeError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err(ParseByteSizeError::NoNumber);
    }
    // `whole` holds only digits, so the one possible error is that the number is too large.
    let whole: u64 = whole.parse().map_err(|_| ParseByteSizeError::TooLarge)?;
    let bytes = whole.checked_mul(scale).ok_or(ParseByteSizeError::TooLarge)?;
    // The ninth digit of a tebibyte is about a kibibyte; further digits do not matter.
    let digits = &fraction[..fraction.len().min(9)];
    let numerator: u128 =
        if digits.is_empty() { 0 } else { digits.parse().map_err(|_| ParseByteSizeError::NoNumber)? };
    let rest = numerator * u128::from(scale) / 10u128.pow(digits.len() as u32);
    let rest = u64::try_from(rest).map_err(|_| ParseByteSizeError::TooLarge)?;
    bytes.checked_add(rest).ok_or(ParseByteSizeError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64K", 64 << 10),
            ("256M", 256 << 20),
            ("256m", 256 << 20),
            ("256 MiB", 256 << 20),
            ("2GiB", 2 << 30),
            ("2Gi", 2 << 30),
            ("1T", 1 << 40),
            ("0.5K", 512),
            ("1.5G", (1 << 30) + (1 << 29)),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("256X".parse::<ByteSize>(), Err(ParseByteSizeError::Unit("X".into())));
        assert_eq!("2GB".parse::<ByteSize>(), Err(ParseByteSizeError::Unit("GB".into())));
        assert_eq!("".parse::<ByteSize>(), Err(ParseByteSizeError::NoNumber));
        assert_eq!("M".parse::<ByteSize>(), Err(ParseByteSizeError::NoNumber));
        assert_eq!("-1M".parse::<ByteSize>(), Err(ParseByteSizeError::NoNumber));
        assert_eq!("1.M".parse::<ByteSize>(), Err(ParseByteSizeError::NoNumber));
        assert_eq!("1.2.3M".parse::<ByteSize>(), Err(ParseByteSizeError::NoNumber));
        assert_eq!("99999999999999999999".parse::<ByteSize>(), Err(ParseByteSizeError::TooLarge));
        assert_eq!("99999999T".parse::<ByteSize>(), Err(ParseByteSizeError::TooLarge));
    }
}
