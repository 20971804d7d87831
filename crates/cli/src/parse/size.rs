//! Sizes: `4096`, `64K`, `256M`, `2GiB`, `1.5G`.

use std::fmt;
use std::str::FromStr;

/// A size in bytes. Suffixes are powers of 1024, as everywhere in Muster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SizeArg(pub(crate) u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SizeError {
    /// It does not begin with a number.
    NoNumber,
    /// What follows the number is no unit.
    Unit(String),
    /// More bytes than a machine can count.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeError::NoNumber => f.write_str("a size begins with a number, such as 256M or 2GiB"),
            SizeError::Unit(unit) => {
                write!(f, "unknown unit '{unit}'; write K, M, G or T (powers of 1024), such as 256M or 2GiB")
            }
            SizeError::TooLarge => f.write_str("this is more than can be counted in bytes"),
        }
    }
}

impl std::error::Error for SizeError {}

impl FromStr for SizeArg {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<SizeArg, SizeError> {
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
            _ if number.is_empty() => return Err(SizeError::NoNumber),
            _ => return Err(SizeError::Unit(unit.to_owned())),
        };
        scaled(number, scale).map(SizeArg)
    }
}

/// A decimal number times a scale, without the rounding of floats for whole numbers.
fn scaled(number: &str, scale: u64) -> Result<u64, SizeError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err(SizeError::NoNumber);
    }
    // Whole digits that do not fit are too large, for nothing else can be wrong with digits.
    let whole: u64 = whole.parse().map_err(|_| SizeError::TooLarge)?;
    let bytes = whole.checked_mul(scale).ok_or(SizeError::TooLarge)?;
    // Nine digits are more than a byte of a tebibyte; the rest cannot matter to anybody.
    let digits = &fraction[..fraction.len().min(9)];
    let numerator: u128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| SizeError::NoNumber)? };
    let rest = numerator * u128::from(scale) / 10u128.pow(digits.len() as u32);
    let rest = u64::try_from(rest).map_err(|_| SizeError::TooLarge)?;
    bytes.checked_add(rest).ok_or(SizeError::TooLarge)
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
            assert_eq!(text.parse(), Ok(SizeArg(bytes)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("256X".parse::<SizeArg>(), Err(SizeError::Unit("X".into())));
        assert_eq!("2GB".parse::<SizeArg>(), Err(SizeError::Unit("GB".into())));
        assert_eq!("".parse::<SizeArg>(), Err(SizeError::NoNumber));
        assert_eq!("M".parse::<SizeArg>(), Err(SizeError::NoNumber));
        assert_eq!("-1M".parse::<SizeArg>(), Err(SizeError::NoNumber));
        assert_eq!("1.M".parse::<SizeArg>(), Err(SizeError::NoNumber));
        assert_eq!("1.2.3M".parse::<SizeArg>(), Err(SizeError::NoNumber));
        assert_eq!("99999999999999999999".parse::<SizeArg>(), Err(SizeError::TooLarge));
        assert_eq!("99999999T".parse::<SizeArg>(), Err(SizeError::TooLarge));
    }
}
