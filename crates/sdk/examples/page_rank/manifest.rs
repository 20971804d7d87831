//! What is read of a manifest. Those of published crates are normalised: each dependency is a table
//! of its own.

use std::path::Path;

/// The name of a crate, and those of its dependencies, without those of its tests.
pub(crate) fn read(path: &Path) -> Option<(String, Vec<String>)> {
    parse(&std::fs::read_to_string(path).ok()?)
}

fn parse(text: &str) -> Option<(String, Vec<String>)> {
    let (mut name, mut dependencies) = (None, Vec::new());
    let mut table = "";
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = header;
            dependencies.extend(dependency_of(table).map(str::to_owned));
        } else if let Some(("name", value)) = assignment(line).filter(|_| table == "package") {
            name = Some(value.to_owned());
        } else if let Some(("package", value)) = assignment(line).filter(|_| dependency_of(table).is_some()) {
            // The table has another name than the crate.
            dependencies.pop();
            dependencies.push(value.to_owned());
        }
    }
    dependencies.sort();
    dependencies.dedup();
    Some((name?, dependencies))
}

/// The dependency that a table describes.
fn dependency_of(table: &str) -> Option<&str> {
    let (before, name) = table.rsplit_once('.')?;
    let kind = before.rsplit('.').next()?;
    let name = name.trim_matches('"');
    matches!(kind, "dependencies" | "build-dependencies").then_some(name)
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn dependencies_are_found_under_the_names_of_their_crates() {
        let text = r#"
            [package]
            name = "one"
            [lib]
            name = "other"
            [dependencies.serde]
            version = "1"
            [target.'cfg(unix)'.dependencies.c]
            package = "libc"
            [build-dependencies.cc]
            [dev-dependencies.tempfile]
        "#;
        let expected = ["cc", "libc", "serde"].map(str::to_owned).to_vec();
        assert_eq!(parse(text), Some(("one".to_owned(), expected)));
        assert_eq!(parse("[workspace]"), None);
    }
}
