//! The credential that a caller sends with each call.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

/// The text cannot be sent as a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is one word of visible characters")]
pub struct NotAToken;

/// A token that is sent as `authorization: Bearer TOKEN`. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(MetadataValue<Ascii>);

impl BearerToken {
    /// From its text; spaces and line ends around it are left out.
    pub fn new(text: &str) -> Result<BearerToken, NotAToken> {
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotAToken);
        }
        let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| NotAToken)?;
        // It is left out of the tables of compressed headers, and of debug output.
        value.set_sensitive(true);
        Ok(BearerToken(value))
    }

    /// From a file that holds nothing else.
    ///
    /// # Errors
    /// Those of reading, and [`io::ErrorKind::InvalidData`] for what is no token.
    pub fn in_file(path: &Path) -> io::Result<BearerToken> {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        io::Read::read_to_string(&mut io::Read::take(file, 64 << 10), &mut text)?;
        BearerToken::new(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The token itself, for the file that remembers it.
    pub fn expose(&self) -> &str {
        self.0.to_str().unwrap_or_default().trim_start_matches("Bearer ")
    }

    /// Adds it to a request to an address, `HOST:PORT`, unless it would cross a network in the
    /// clear: no master asks for a token there, and others would read it.
    pub fn attach_where_private<T>(&self, request: &mut Request<T>, address: &str, over_tls: bool) {
        if over_tls || is_loopback(address) {
            request.metadata_mut().insert("authorization", self.0.clone());
        }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}

/// Whether an address, `HOST:PORT`, is of this machine, so that what is sent there in the clear
/// crosses no network.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_and_never_shown() {
        let token = BearerToken::new(" mst_1_2\n").unwrap();
        let mut request = Request::new(());
        token.attach_where_private(&mut request, "127.0.0.1:7077", false);
        assert_eq!(token.expose(), "mst_1_2");
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer mst_1_2");
        assert!(!format!("{token:?} {request:?}").contains("mst_1_2"));
        for text in ["", " \n", "two words", "tök", "line\nline"] {
            assert_eq!(BearerToken::new(text), Err(NotAToken), "{text:?}");
        }
    }

    #[test]
    fn a_token_crosses_no_network_in_the_clear() {
        let token = BearerToken::new("mst_1_2").unwrap();
        for (address, over_tls, sent) in [
            ("127.0.0.1:7077", false, true),
            ("127.0.0.1:7077", true, true),
            ("10.0.0.1:7077", false, false),
            ("0.0.0.0:7077", false, false),
            ("10.0.0.1:7077", true, true),
        ] {
            let mut request = Request::new(());
            token.attach_where_private(&mut request, address, over_tls);
            assert_eq!(request.metadata().contains_key("authorization"), sent, "{address} {over_tls}");
        }
    }

    #[test]
    fn loopback_is_told_by_the_address_alone() {
        for address in ["127.0.0.1:7077", "localhost:1", "[::1]:7077", "127.1.2.3"] {
            assert!(is_loopback(address), "{address}");
        }
        for address in ["10.0.0.1:7077", "localhost.example:1", "[2001:db8::1]:7077", "a:1"] {
            assert!(!is_loopback(address), "{address}");
        }
    }
}
