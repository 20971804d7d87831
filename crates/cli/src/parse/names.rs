//! Names of environment variables.

/// Whether a text can name an environment variable on the wire: `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_variable_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_names() {
        assert!(is_variable_name("PATH") && is_variable_name("_x1"));
        assert!(!is_variable_name("") && !is_variable_name("1A") && !is_variable_name("A-B") && !is_variable_name("ä"));
    }
}
