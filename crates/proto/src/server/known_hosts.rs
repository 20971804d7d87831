//! By which names a server on loopback may be called.
//!
//! A web page can make a browser send requests to a loopback address, and by a name that resolves
//! to one (DNS rebinding) it can even read the answers. Such a request carries that name, and
//! headers that only browsers send.

use std::net::{IpAddr, SocketAddr};

use tonic::codegen::http::header::{HOST, ORIGIN};
use tonic::codegen::http::uri::Authority;
use tonic::codegen::http::{HeaderMap, HeaderName, Uri};

/// Headers that a browser adds and no page can leave out.
const OF_BROWSERS: [HeaderName; 3] =
    [ORIGIN, HeaderName::from_static("sec-fetch-site"), HeaderName::from_static("sec-fetch-mode")];

/// The names by which a server may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownHosts {
    /// Any: the server listens beyond loopback, where a name proves nothing.
    Any,
    /// Loopback addresses, `localhost`, and these.
    Loopback(Vec<String>),
}

impl KnownHosts {
    /// The names of a server that listens on an address, and is called by these names or addresses
    /// (with or without a port) besides.
    pub fn of(listen: SocketAddr, names: impl IntoIterator<Item = String>) -> KnownHosts {
        if !listen.ip().is_loopback() {
            return KnownHosts::Any;
        }
        KnownHosts::Loopback(names.into_iter().map(|name| host_of(&name).to_ascii_lowercase()).collect())
    }

    /// The host by which a request calls the server, if it may not be called so. Ports are not
    /// compared, because tunnels change them. A request without a host comes from no browser.
    pub(super) fn foreign(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let KnownHosts::Loopback(names) = self else { return None };
        if let Some(name) = OF_BROWSERS.iter().find(|name| headers.contains_key(*name)) {
            return Some(format!("a browser ({name})"));
        }
        let header = || headers.get(HOST).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let host = uri.authority().map(|authority| authority.as_str().to_owned()).or_else(header)?;
        let plain = host_of(&host);
        let is_known = plain.eq_ignore_ascii_case("localhost")
            || plain.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || names.iter().any(|name| name.eq_ignore_ascii_case(plain));
        (!is_known).then_some(host)
    }
}

/// The host of `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn host_of(text: &str) -> &str {
    let host = match text.parse::<Authority>() {
        // User information is no part of the name.
        Ok(_) => text.rsplit_once('@').map_or(text, |(_, host)| host),
        Err(_) => text,
    };
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &host[1..=end];
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use tonic::codegen::http::Request;

    use super::*;

    fn loopback() -> KnownHosts {
        KnownHosts::of("127.0.0.1:7077".parse().unwrap(), ["Master.example:7077".to_owned()])
    }

    fn called(uri: &str, header: Option<(&str, &str)>) -> Option<String> {
        let mut request = Request::builder().uri(uri);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(()).unwrap();
        loopback().foreign(request.uri(), request.headers())
    }

    #[test]
    fn a_server_on_loopback_is_called_by_loopback_names_and_its_own() {
        for host in ["127.0.0.1:7077", "127.9.9.9", "localhost", "LOCALHOST:1", "[::1]:7077", "[::1]", "master.example"]
        {
            assert_eq!(called(&format!("http://{host}/x"), None), None, "{host}");
        }
        assert_eq!(called("/x", None), None, "no browser leaves the host out");
        assert_eq!(called("/x", Some(("host", "localhost:7077"))), None);
    }

    #[test]
    fn a_foreign_name_and_a_browser_are_told_apart() {
        for host in [
            "evil.example:7077",
            "10.0.0.1:7077",
            "[2001:db8::1]:7077",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(called(&format!("http://{host}/x"), None).as_deref(), Some(host));
        }
        assert_eq!(called("http://localhost@evil.example/x", None).as_deref(), Some("localhost@evil.example"));
        assert_eq!(called("/x", Some(("host", "evil.example"))).as_deref(), Some("evil.example"));
        for name in ["origin", "sec-fetch-site", "sec-fetch-mode"] {
            let refused = called("http://localhost:7077/x", Some((name, "null")));
            assert_eq!(refused, Some(format!("a browser ({name})")));
        }
    }

    #[test]
    fn beyond_loopback_a_name_proves_nothing() {
        let known = KnownHosts::of("0.0.0.0:7077".parse().unwrap(), []);
        let uri = Uri::from_static("http://any.example/x");
        assert_eq!((known.foreign(&uri, &HeaderMap::new()), known), (None, KnownHosts::Any));
    }
}
