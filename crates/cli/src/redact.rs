//! Takes secrets out of what is said about a wrong command line, which repeats what was written.

use clap::error::{ContextKind, ContextValue};
use muster_client::{ArtifactUri, REDACTED};

/// The same error without the secrets of the values that it names: the password and the query of an
/// address, and whatever was to be the value of a variable.
pub(crate) fn redacted(mut error: clap::Error) -> clap::Error {
    let option = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => option.clone(),
        _ => String::new(),
    };
    let named: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in named {
        let of = if kind == ContextKind::InvalidValue { option.as_str() } else { "" };
        let value = match value {
            ContextValue::String(text) => ContextValue::String(shown(of, &text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(|text| shown(of, text)).collect()),
            // Everything else is made of the names of options and commands.
            _ => continue,
        };
        error.insert(kind, value);
    }
    error
}

/// What may be shown of the value of an option, or of a word that belongs to none.
fn shown(option: &str, text: &str) -> String {
    match option.split_ascii_whitespace().next() {
        Some("--secret-env" | "--env") => match text.split_once('=') {
            Some((name, _)) => format!("{name}={REDACTED}"),
            None => text.to_owned(),
        },
        Some("--artifact") => ArtifactUri::new(text).to_string(),
        _ if text.contains("://") => ArtifactUri::new(text).to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    /// What is said of a wrong command line.
    fn said(words: &[&str]) -> String {
        let error = Cli::try_parse_from([&["muster"], words].concat()).expect_err("it is wrong");
        redacted(error).render().to_string()
    }

    #[test]
    fn a_wrong_artifact_is_named_without_what_lets_one_in() {
        for (address, expected) in [
            ("https://u:hunter2@h/a#md5=hunter2", "https://[redacted]@h/a#[redacted]"),
            ("https://h/a?sig=hunter2#sha256=hunter2", "https://h/a?[redacted]"),
            ("s3://u:hunter2@b/a", "s3://[redacted]@b/a"),
            ("u:hunter2@h/a#hunter2", "[redacted]@h/a#[redacted]"),
            ("u:hunter2@h/a?token=hunter2", "[redacted]@h/a?[redacted]"),
            ("https:/u:hunter2@h/a", "https:/[redacted]@h/a"),
            (" http://u:hunter2@h/a", " http://[redacted]@h/a"),
            ("http://u:hunter2#er@h/a", "http://[redacted]#[redacted]"),
            ("http://hunter2#er@h/a", "http://[redacted]#[redacted]"),
        ] {
            for words in [vec!["--artifact", address], vec![&*format!("--artifact={address}")]] {
                let said = said(&[&["submit"], &words[..], &["--", "true"]].concat());
                assert!(said.contains(expected) && said.contains("--artifact"), "{said}");
                assert!(!said.contains("hunter2"), "{said}");
            }
        }
    }

    #[test]
    fn an_address_or_a_secret_where_none_belongs_is_not_repeated_either() {
        let address = "https://u:hunter2@h/a?hunter2";
        for words in [
            &["submit", "--artifcat", address, "--", "true"][..],
            &["submit", &*format!("--artifcat={address}"), "--", "true"],
            &["submit", "--work-dir", "/a", "--cores", address, "--", "true"],
            &["submit", "--secret-env", "A B=hunter2", "--", "true"],
            &["submit", "--secret-enw=A=hunter2", "--", "true"],
            &["submit", "--env", "=hunter2", "--", "true"],
            &["submit", "-e", "=hunter2", "--", "true"],
            &["drain", "w", address],
            &[address],
        ] {
            let said = said(words);
            assert!(said.starts_with("error: ") && !said.contains("hunter2"), "{words:?}: {said}");
        }
    }

    #[test]
    fn other_values_are_repeated_as_they_are() {
        assert!(said(&["submit", "--memory", "256X", "--", "x"]).contains("'256X'"));
        assert!(said(&["submit", "--env", "A", "--", "x"]).contains("'A'"));
        let half = said(&["submit", "--cores", "1.5", "--", "x"]);
        assert!(half.contains("'1.5'") && half.contains("a whole number of cores is expected"), "{half}");
        assert!(said(&["submit", "--cores", "0", "--", "x"]).contains("at least 1 core"));
    }
}
