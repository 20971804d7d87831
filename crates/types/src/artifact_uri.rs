//! Where an artifact is fetched from.

use std::fmt;

use crate::REDACTED;

/// The address of an artifact. It may contain credentials: a user and password, or the signature of
/// a presigned address. It is printed without them; only code that fetches or stores the artifact
/// reads the whole address.
#[derive(Clone, PartialEq, Eq)]
pub struct ArtifactUri(String);

impl ArtifactUri {
    /// Wraps an address.
    pub fn new(uri: impl Into<String>) -> ArtifactUri {
        ArtifactUri(uri.into())
    }

    /// The whole address; for the worker that fetches it, and for the store.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Redacts the user part of the authority, the query and the fragment.
impl fmt::Display for ArtifactUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.find(['?', '#']).unwrap_or(self.0.len());
        let (place, rest) = self.0.split_at(end);
        let path = after_scheme(place);
        match user_end(&place[path..]) {
            None if rest.contains('@') && is_unfinished(&place[path..]) => write!(f, "{}{REDACTED}", &place[..path])?,
            Some(at) => write!(f, "{}{REDACTED}{}", &place[..path], &place[path + at..])?,
            None => f.write_str(place)?,
        }
        match rest.chars().next() {
            Some(mark) => write!(f, "{mark}{REDACTED}"),
            None => Ok(()),
        }
    }
}

/// Where the authority begins: after the scheme and the slashes, of which a mistyped address may
/// have one.
fn after_scheme(place: &str) -> usize {
    let Some(colon) = place.find(":/") else { return 0 };
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme(place[..colon].trim_start()) {
        return 0;
    }
    let slashes = place[colon + 1..].bytes().take(2).take_while(|byte| *byte == b'/').count();
    // The one slash of `file:/a` begins a path and no authority.
    if slashes == 1 && place[..colon].trim_start() == "file" { colon + 1 } else { colon + 1 + slashes }
}

/// Whether the text after the scheme may end within a password, which has a `?` or a `#` that
/// should have been encoded.
fn is_unfinished(path: &str) -> bool {
    !path.contains('/') || is_cut(path)
}

/// Whether the text before the first `/` cannot be a host with its port.
fn is_cut(path: &str) -> bool {
    let authority = path.split('/').next().unwrap_or(path);
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The index of the `@` that ends the user part, in the text after the scheme. A password may
/// contain a `/` that should have been encoded: then the text before the `/` cannot be a host with
/// its port.
fn user_end(path: &str) -> Option<usize> {
    let authority = path.split('/').next().unwrap_or(path);
    authority.rfind('@').or_else(|| path.rfind('@').filter(|_| is_cut(path)))
}

impl fmt::Debug for ArtifactUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_one_in_is_not_printed() {
        let cases = [
            ("file:///a/b", "file:///a/b"),
            ("https://h/a", "https://h/a"),
            ("https://u:p@h:1/a@b", "https://[redacted]@h:1/a@b"),
            ("https://h/a?X-Amz-Signature=s", "https://h/a?[redacted]"),
            ("https://u@h/a?b#c", "https://[redacted]@h/a?[redacted]"),
            ("https://h/a#token", "https://h/a#[redacted]"),
            ("https://h?u:p@x", "https://[redacted]?[redacted]"),
            ("https://h/a?u:p@x", "https://h/a?[redacted]"),
            ("http://u:US#ER@h/x", "http://[redacted]#[redacted]"),
            ("http://u:12?34@h/x", "http://[redacted]?[redacted]"),
            ("http://u:hun/t#er@h/x", "http://[redacted]#[redacted]"),
            ("u:US#ER@h/x", "[redacted]#[redacted]"),
            ("https:/u:p@h/x", "https:/[redacted]@h/x"),
            (" https://u:p@h/x", " https://[redacted]@h/x"),
            ("file:/a@b/c", "file:/a@b/c"),
            ("h:1/https://u@x", "h:1/https://u@x"),
            ("https://u:hun/t@er@h/a", "https://[redacted]@h/a"),
            ("https://h:1/a:b@c", "https://h:1/a:b@c"),
            ("https://[::1]:80/a@b", "https://[::1]:80/a@b"),
            ("u:p@h/a?b", "[redacted]@h/a?[redacted]"),
            ("file:///a@b/c", "file:///a@b/c"),
        ];
        for (uri, shown) in cases {
            assert_eq!(ArtifactUri::new(uri).to_string(), shown);
            assert_eq!(format!("{:?}", ArtifactUri::new(uri)), format!("{shown:?}"));
        }
    }
}
