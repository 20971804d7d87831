//! Addresses of masters.

use std::fmt;
use std::str::FromStr;

/// The port of an address that names none.
pub const DEFAULT_PORT: u16 = 7077;

/// The known masters of one cluster; never empty. Parses `host[:port][,host[:port]]…`; an IPv6
/// address is written in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterAddresses(Vec<String>);

/// The text is not a list of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is not host:port (several are separated by commas)")]
pub struct ParseMastersError {
    address: String,
}

impl MasterAddresses {
    /// The addresses, each as `host:port`.
    pub fn addresses(&self) -> &[String] {
        &self.0
    }
}

impl Default for MasterAddresses {
    /// A master on this machine.
    fn default() -> Self {
        MasterAddresses(vec![format!("127.0.0.1:{DEFAULT_PORT}")])
    }
}

impl FromStr for MasterAddresses {
    type Err = ParseMastersError;

    fn from_str(text: &str) -> Result<Self, ParseMastersError> {
        let mut addresses: Vec<String> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let address = normal(part).ok_or_else(|| ParseMastersError { address: part.to_owned() })?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(ParseMastersError { address: text.to_owned() });
        }
        Ok(MasterAddresses(addresses))
    }
}

impl fmt::Display for MasterAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// One address as `host:port`; `None` if the text is not an address.
pub(crate) fn normal(text: &str) -> Option<String> {
    let text = text.strip_prefix("http://").unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (format!("[{host}]"), rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            if host.is_empty() || host.len() > 253 || !host.bytes().all(good) || text.ends_with(':') {
                return None;
            }
            (host.to_owned(), port)
        }
    };
    let port: u16 = if port.is_empty() { DEFAULT_PORT } else { port.parse().ok().filter(|port| *port != 0)? };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_addresses_is_read() {
        let cases = [
            ("localhost", "localhost:7077"),
            ("a:1, b:2,a:1,", "a:1,b:2"),
            ("http://m-1.example:9/", "m-1.example:9"),
            ("[::1]:5,[fe80::1]", "[::1]:5,[fe80::1]:7077"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<MasterAddresses>().unwrap().to_string(), expected, "{text}");
        }
        for text in ["", ",", "a:b", "a:0", "a:", ":1", "a:70000", "::1", "[x]:1", "https://a:1", "a b:1", "[::1]x"] {
            assert!(text.parse::<MasterAddresses>().is_err(), "{text}");
        }
    }
}
