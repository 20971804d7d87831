//! The names in certificates. Those of roles are within `.internal`, which no public CA may sign.

use rustls::pki_types::ServerName;

/// What every master's certificate holds.
pub const MASTER: &str = "master.muster.internal";

/// Whether a text can stand in a certificate: a DNS name or an address, without a port.
pub fn is_name(text: &str) -> bool {
    let is_numeric = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    match ServerName::try_from(text) {
        Ok(ServerName::IpAddress(_)) => true,
        // The last label of a name has letters; a text that has none there is a mistyped address.
        Ok(ServerName::DnsName(_)) => !text.rsplit('.').next().is_some_and(is_numeric),
        Ok(_) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_from_what_is_neither() {
        for name in ["localhost", "master-0.masters", "10.0.0.1", "::1", "a.b.example"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "x:7077", "http://x", "a b", "10.0.0.300", "[::1]", "ä.example"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
