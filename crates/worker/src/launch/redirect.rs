//! Where a redirect leads.

use muster_proto::artifact::check_web;
use ureq::http::Uri;

/// Where a redirect leads: an address of the web, or one relative to the last address (RFC 3986,
/// 5.2). `None` for every other.
pub(super) fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let path_end = location.find(['/', '?']).unwrap_or(location.len());
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let target = if location[..path_end].contains(':') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else {
        let (path, query) = location.split_at(location.find('?').unwrap_or(location.len()));
        let path = match path {
            "" => from.path().to_owned(),
            path if path.starts_with('/') => without_dots(path),
            path => without_dots(&format!("{}{path}", &from.path()[..=from.path().rfind('/')?])),
        };
        let query = if location.is_empty() { from.query().map(|query| format!("?{query}")) } else { None }
            .unwrap_or_else(|| query.to_owned());
        format!("{scheme}://{authority}{path}{query}")
    };
    target.parse().ok().filter(|target| check_web(target).is_ok())
}

/// An absolute path without the segments `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    // What ends in a dot segment names a directory.
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_an_address_of_the_web_or_nowhere() {
        let from: Uri = "http://u:p@h:1/a/b/c?d".parse().expect("an address");
        let to = |location| redirected(&from, location).map(|uri| uri.to_string());
        let cases = [
            ("https://x/y?z#f", "https://x/y?z"),
            ("//x/y", "http://x/y"),
            ("/y", "http://u:p@h:1/y"),
            ("y?z", "http://u:p@h:1/a/b/y?z"),
            ("?z", "http://u:p@h:1/a/b/c?z"),
            ("../y/./z/..", "http://u:p@h:1/a/y/"),
            ("/../../y", "http://u:p@h:1/y"),
            ("/y:z", "http://u:p@h:1/y:z"),
            ("", "http://u:p@h:1/a/b/c?d"),
        ];
        for (location, target) in cases {
            assert_eq!(to(location).as_deref(), Some(target), "{location}");
        }
        for location in ["file:///etc/hostname", "file:/a", "file://h/a", "ftp://h/a", "http://h:99999/", "http:///a"] {
            assert_eq!(to(location), None, "{location}");
        }
    }
}
