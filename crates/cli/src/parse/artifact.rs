//! Artifacts: `URI[#sha256=HEX][&name=FILE][&executable]`, or a path on the workers' machines.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// A file that the worker fetches first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ArtifactRef {
    /// `file:`, `http:` or `https:`.
    pub(crate) uri: String,
    /// 64 hexadecimal digits, or empty.
    pub(crate) sha256: String,
    /// Name in the work directory, or empty.
    pub(crate) file_name: String,
    /// Make it executable.
    pub(crate) executable: bool,
}

/// Why a text is not an artifact. What was written is not repeated where it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// Nothing before the `#`.
    #[error("write a URI or a path, such as https://host/job.jar#sha256=…")]
    Empty,
    /// Another scheme than the three.
    #[error("unknown scheme '{0}'; use file, http or https")]
    Scheme(String),
    /// A mistyped address, or a file of a strange name.
    #[error(
        "is no address (file:///…, http://…, https://…), and looks too much like one to be a path; for a file of such a name \
         write ./… or file:///…"
    )]
    Unclear,
    /// Not 64 hexadecimal digits.
    #[error("a SHA-256 is 64 hexadecimal digits")]
    Sha256,
    /// Another option than the three.
    #[error("unknown option; after # may stand sha256=HEX, name=FILE and executable, joined by &")]
    Option,
    /// A relative path while the current directory is unknown.
    #[error("the current directory is not known; write an absolute path")]
    Relative,
}

impl FromStr for ArtifactRef {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<ArtifactRef, ArtifactError> {
        let (place, options) = text.split_once('#').unwrap_or((text, ""));
        let mut artifact = ArtifactRef { uri: uri(place)?, ..ArtifactRef::default() };
        for option in options.split(['&', ',']).filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sha256", hex)) => artifact.sha256 = sha256(hex)?,
                Some(("name", name)) if !name.is_empty() => artifact.file_name = name.to_owned(),
                None if option == "executable" => artifact.executable = true,
                _ => return Err(ArtifactError::Option),
            }
        }
        Ok(artifact)
    }
}

/// What stands for itself in the path of an address; everything else of a path becomes `%XX`.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'+').remove(b'@');

fn uri(place: &str) -> Result<String, ArtifactError> {
    if place.is_empty() {
        return Err(ArtifactError::Empty);
    }
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    match place.split_once(":/").filter(|(scheme, _)| is_scheme(scheme)) {
        Some(("file" | "http" | "https", rest)) if rest.starts_with('/') => Ok(place.to_owned()),
        Some(("file", path)) => Ok(format!("file:///{path}")),
        Some((scheme, rest)) if rest.starts_with('/') => Err(ArtifactError::Scheme(scheme.to_owned())),
        Some(_) => Err(ArtifactError::Unclear),
        None if !is_clearly_a_path(place) => Err(ArtifactError::Unclear),
        None => {
            // The path is resolved here, for the worker runs in another folder.
            let path = std::path::absolute(Path::new(place)).map_err(|_| ArtifactError::Relative)?;
            Ok(format!("file://{}", percent_encode(path.as_os_str().as_bytes(), PATH)))
        }
    }
}

/// Whether a word without a scheme is a path. A mistyped address must not be taken as one: paths
/// are shown, and it may hold a password or a token.
fn is_clearly_a_path(place: &str) -> bool {
    let says_so = place.starts_with("./") || place.starts_with("../");
    let is_absolute = place.starts_with('/') && !place.starts_with("//");
    let is_like_an_address = place.contains('?') || (place.contains('@') && place.contains(':'));
    says_so || is_absolute || !(is_like_an_address || place.starts_with(char::is_whitespace))
}

fn sha256(hex: &str) -> Result<String, ArtifactError> {
    if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(hex.to_ascii_lowercase())
    } else {
        Err(ArtifactError::Sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_uris_with_their_options() {
        let hex = "AB".repeat(32);
        let artifact: ArtifactRef = format!("https://h/x.tar#sha256={hex}&name=y&executable").parse().expect("one");
        assert_eq!(artifact.uri, "https://h/x.tar");
        assert_eq!(artifact.sha256, "ab".repeat(32));
        assert_eq!((artifact.file_name.as_str(), artifact.executable), ("y", true));
    }

    #[test]
    fn a_path_becomes_absolute() {
        let artifact: ArtifactRef = "job.sh".parse().expect("a path");
        assert!(artifact.uri.starts_with("file:///") && artifact.uri.ends_with("/job.sh"), "{}", artifact.uri);
    }

    #[test]
    fn a_path_is_written_as_an_address() {
        let artifact: ArtifactRef = "/a b/100%?/é:@.sh".parse().expect("a path");
        assert_eq!(artifact.uri, "file:///a%20b/100%25%3F/%C3%A9%3A@.sh");
    }

    #[test]
    fn a_mistyped_address_is_no_path_and_a_path_can_be_written_plainly() {
        let mistyped = [
            "u:PASS@h/x?token=T",
            "u:PASS@h/x",
            "h/x?token=T",
            "https:/u:PASS@h/x",
            "http:/h/x",
            " http://h/x",
            "\thttps://u:PASS@h/x",
            " x",
            "//u:PASS@h/x",
            "http//u:PASS@h/x",
            "https;//u:PASS@h/x",
        ];
        for text in mistyped {
            assert_eq!(text.parse::<ArtifactRef>(), Err(ArtifactError::Unclear), "{text}");
        }
        for text in ["./u:p@h/x?y", "../a?b", "/a:@b?c", "a b", "user@host.tar", "a:b", "x "] {
            let artifact: ArtifactRef = text.parse().expect(text);
            assert!(artifact.uri.starts_with("file:///"), "{}", artifact.uri);
        }
        let artifact: ArtifactRef = "file:/tmp/x".parse().expect("a file, by RFC 8089");
        assert_eq!(artifact.uri, "file:///tmp/x");
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("".parse::<ArtifactRef>(), Err(ArtifactError::Empty));
        assert_eq!("s3://b/x".parse::<ArtifactRef>(), Err(ArtifactError::Scheme("s3".into())));
        assert_eq!("/x#sha256=12".parse::<ArtifactRef>(), Err(ArtifactError::Sha256));
        assert_eq!("/x#md5=12".parse::<ArtifactRef>(), Err(ArtifactError::Option));
    }
}
