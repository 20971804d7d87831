//! Sizes as people write them: `4096`, `64K`, `512M`, `2GiB`.

use std::fmt;
use std::str::FromStr;

/// A size in bytes on a command line. Suffixes are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeFlag(pub u64);

/// The text is not a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSizeError;

impl fmt::Display for ParseSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size is a whole number of bytes, or one with K, M or G, such as 512M or 2GiB")
    }
}

impl std::error::Error for ParseSizeError {}

impl FromStr for SizeFlag {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<SizeFlag, ParseSizeError> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| ParseSizeError)?;
        let bytes = match unit {
            "" | "B" => 1,
            "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            _ => return Err(ParseSizeError),
        };
        number.checked_mul(bytes).map(SizeFlag).ok_or(ParseSizeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("4096".parse(), Ok(SizeFlag(4096)));
        assert_eq!("512M".parse(), Ok(SizeFlag(512 << 20)));
        assert_eq!("2GiB".parse(), Ok(SizeFlag(2 << 30)));
        assert_eq!("2GB".parse::<SizeFlag>(), Err(ParseSizeError));
    }
}
