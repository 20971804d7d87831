//! Numbers of cores.

use std::fmt;

/// Why a text is not a number of cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseCoresError;

impl fmt::Display for ParseCoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of cores is expected, such as 2")
    }
}

impl std::error::Error for ParseCoresError {}

/// Reads a number of cores. Cores are given whole, so `1.5` is refused.
pub fn whole_cores(text: &str) -> Result<u32, ParseCoresError> {
    text.trim().parse().map_err(|_| ParseCoresError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_whole() {
        assert_eq!(whole_cores("2"), Ok(2));
        for text in ["1.5", "", "-1", "two", "4294967296"] {
            assert_eq!(whole_cores(text), Err(ParseCoresError), "{text}");
        }
    }
}
