//! The patterns of texts: names, labels, variables.

pub use muster_types::{is_label_key, is_variable_name};

/// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`: also a DNS label, so that a name can be part of a host
/// name.
pub fn is_dns_name(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// `[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?`: names of workers, which are often host names.
pub fn is_worker_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// 1 to 64 bytes of `[A-Za-z0-9._-]`.
pub fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// `[a-z][a-z0-9_-]{0,62}`.
pub fn is_resource_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// `[A-Za-z_][A-Za-z0-9_]*`, at most 255 bytes.
pub fn is_env_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// At most 63 bytes without control characters.
pub fn is_label_value(text: &str) -> bool {
    text.len() <= 63 && !text.chars().any(char::is_control)
}

/// The beginning of a text, at most this many bytes, cut at a character.
pub(crate) fn excerpt(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Cuts a text to at most this many bytes, at a character.
pub fn shorten(text: &mut String, most: usize) {
    text.truncate(excerpt(text, most).len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_patterns() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "a-b", "driver-018f3c", longest.as_str()] {
            assert!(is_dns_name(good), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", too_long.as_str()] {
            assert!(!is_dns_name(bad), "{bad}");
        }
        assert!(is_worker_name("Host-1.example_net") && !is_worker_name(".a") && !is_worker_name("a/b"));
        assert!(is_env_name("_A1") && !is_env_name("1A") && !is_env_name("A=B") && !is_env_name(""));
        assert!(is_variable_name("A_1") && !is_variable_name("a") && !is_variable_name("_A"));
        assert!(is_resource_name("gpu") && !is_resource_name("GPU") && !is_resource_name("-gpu"));
        assert!(is_label_key("example.com/zone") && !is_label_key("a=b") && !is_label_key("a b"));
    }
}
