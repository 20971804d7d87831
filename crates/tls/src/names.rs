//! The names in certificates. Those of roles are within `.internal`, which no public CA may sign.

use rustls::pki_types::ServerName;

/// What every master's certificate holds.
pub const MASTER: &str = "master.muster.internal";

/// Whether a text can stand in a certificate: a DNS name or an address, without a port.
pub fn is_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
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
