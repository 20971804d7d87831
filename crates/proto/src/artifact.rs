//! Where an artifact may lie and what it may be called: one rule, for the master that takes a
//! submission and for the worker that fetches.

use std::ffi::OsString;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use http::Uri;

/// An address that something can be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactSource {
    /// A file of the worker's machine, by its absolute path.
    File(PathBuf),
    /// An address of `http:` or `https:`.
    Web(Uri),
}

/// Why nothing can ever be fetched from an address, as it is said of the field that holds it. The
/// address itself is not repeated, because it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactSourceError {
    /// Another scheme than the three, a relative path, or characters that no address has.
    #[error(
        "is not file:///absolute/path, http://HOST/PATH or https://HOST/PATH without spaces; \
         write other characters as %XX"
    )]
    Form,
    /// There is nobody to ask.
    #[error("has no host")]
    Host,
    /// What follows the host is no port.
    #[error("has a port that is not between 1 and 65535")]
    Port,
    /// A path that no file can have.
    #[error("is the path of no file when it is percent-decoded, because it has a NUL")]
    Path,
}

impl ArtifactSource {
    /// Reads an address. The path of a file is percent-decoded, and ends before a query.
    pub fn parse(uri: &str) -> Result<ArtifactSource, ArtifactSourceError> {
        if uri.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ArtifactSourceError::Form);
        }
        if let Some(rest) = uri.strip_prefix("file://") {
            return file(rest.strip_prefix("localhost").unwrap_or(rest));
        }
        // One slash is as good as three (RFC 8089).
        if let Some(rest) = uri.strip_prefix("file:").filter(|rest| rest.starts_with('/')) {
            return file(rest);
        }
        let parsed: Uri = uri.parse().map_err(|_| without_host(uri))?;
        check_web(&parsed).map(|()| ArtifactSource::Web(parsed))
    }
}

fn file(rest: &str) -> Result<ArtifactSource, ArtifactSourceError> {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    if !path.starts_with('/') || path.len() == 1 {
        return Err(ArtifactSourceError::Form);
    }
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    if bytes.contains(&0) {
        return Err(ArtifactSourceError::Path);
    }
    Ok(ArtifactSource::File(PathBuf::from(OsString::from_vec(bytes))))
}

/// The parser has one word for every wrong address; a host that is left out is told apart.
fn without_host(uri: &str) -> ArtifactSourceError {
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match authority {
        Some(authority) if authority.rsplit('@').next().is_none_or(str::is_empty) => ArtifactSourceError::Host,
        _ => ArtifactSourceError::Form,
    }
}

/// Checks an address of the web: its scheme, its host and its port. For the target of a redirect,
/// too.
pub fn check_web(uri: &Uri) -> Result<(), ArtifactSourceError> {
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(ArtifactSourceError::Form);
    }
    let authority = uri.authority().ok_or(ArtifactSourceError::Host)?;
    let host = authority.host();
    if host.is_empty() {
        return Err(ArtifactSourceError::Host);
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bare.is_some_and(|address| address.parse::<Ipv6Addr>().is_err()) {
        return Err(ArtifactSourceError::Host);
    }
    // A port that is out of range is none to the parser, and the scheme's own would be asked.
    let with_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    match with_port.strip_prefix(host) {
        Some("") => Ok(()),
        Some(_) if authority.port_u16().is_some_and(|port| port > 0) => Ok(()),
        _ => Err(ArtifactSourceError::Port),
    }
}

/// Whether the text is the name of one file in a directory: no path, and nothing that would tear
/// the lines of a listing or of a log.
pub fn is_file_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c.is_control())
}

/// The last segment of the path, percent-decoded: `a%20b` is the file `a b`. A segment that is not
/// UTF-8 when decoded stays as it is.
pub(crate) fn last_segment(uri: &str) -> String {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = path.rsplit_once('/').map_or("", |(_, last)| last);
    let decoded = percent_encoding::percent_decode_str(last).decode_utf8();
    decoded.map_or_else(|_| last.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_the_last_segment_of_the_path() {
        let cases = [
            ("https://h/a/b.jar?x=/y", "b.jar"),
            ("file:///a", "a"),
            ("file:/a", "a"),
            ("https://h", ""),
            ("https://h/a/", ""),
        ];
        let escaped = [("file:///a%20b.sh", "a b.sh"), ("http://h/%2e%2e%2fx", "../x"), ("http://h/%ff", "%ff")];
        for (uri, name) in cases.into_iter().chain(escaped) {
            assert_eq!(last_segment(uri), name, "{uri}");
        }
    }

    #[test]
    fn a_name_is_one_plain_segment_of_printable_text() {
        for name in ["a", "a b", "é", "...", ".hidden", "%0a", &"n".repeat(255)] {
            assert!(is_file_name(name), "{name:?}");
        }
        let too_long = "n".repeat(256);
        let decoded = ["%0a", "a%0D", "%00", "%1b[2J", "%7f", "%c2%85", "..%2Fx", "%2e%2e", "%2E", ""];
        let decoded = decoded.map(|last| last_segment(&format!("http://h/{last}")));
        for name in decoded.iter().map(String::as_str).chain(["/", "a/b", "/a", too_long.as_str()]) {
            assert!(!is_file_name(name), "{name:?}");
        }
    }

    #[test]
    fn the_path_of_a_file_is_percent_decoded() {
        let cases = [
            ("file:///a/b", "/a/b"),
            ("file://localhost/a", "/a"),
            ("file:/a/b", "/a/b"),
            ("file:///a%20b/100%25", "/a b/100%"),
            ("file:///a%3Fb?c#d", "/a?b"),
            ("file:///100%", "/100%"),
        ];
        for (uri, path) in cases {
            assert_eq!(ArtifactSource::parse(uri), Ok(ArtifactSource::File(PathBuf::from(path))), "{uri}");
        }
        assert_eq!(ArtifactSource::parse("file:///a%00b"), Err(ArtifactSourceError::Path));
    }

    #[test]
    fn an_artifact_comes_from_a_file_or_the_web() {
        for good in ["http://h/a", "https://u:p@h:1/a", "http://[::1]:65535/a?b=%20", "http://127.0.0.1"] {
            assert!(matches!(ArtifactSource::parse(good), Ok(ArtifactSource::Web(_))), "{good}");
        }
        let wrong = [
            (
                ArtifactSourceError::Form,
                [
                    "",
                    "a",
                    "/a",
                    "file://a",
                    "file:///",
                    "file:/",
                    "file:a",
                    "http:/h/a",
                    "file://h/a",
                    "ftp://h/a",
                    "https://h/a b",
                    "s3://b/k",
                ]
                .as_slice(),
            ),
            (
                ArtifactSourceError::Host,
                &[
                    "http:///a",
                    "https://",
                    "http://?a",
                    "http://:80/a",
                    "http://u:p@/a",
                    "http://u@:80/",
                    "http://[x]/",
                ],
            ),
            (
                ArtifactSourceError::Port,
                &["http://h:99999/a", "http://h:0/a", "http://h:/a", "http://h:a/b", "http://u:p@h:65536/"],
            ),
        ];
        for (error, addresses) in wrong {
            for bad in addresses {
                assert_eq!(ArtifactSource::parse(bad), Err(error), "{bad}");
            }
        }
    }
}
