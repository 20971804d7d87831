//! Files of environment variables, one `KEY=VALUE` per line.

use std::path::{Path, PathBuf};

use super::{Pair, is_variable_name};

/// Why a file of variables could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvFileError {
    /// The file could not be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// A line is no `KEY=VALUE`; lines count from 1.
    #[error("{0}, line {1}: not KEY=VALUE (a line may also be empty, or begin with #)")]
    Line(PathBuf, usize),
}

/// Reads a file: `KEY=VALUE` per line, taken as it stands without quotes or escapes; empty lines
/// and lines that begin with `#` are skipped.
pub(crate) fn read_env_file(path: &Path) -> Result<Vec<Pair>, EnvFileError> {
    let text = std::fs::read_to_string(path).map_err(|error| EnvFileError::Read(path.to_path_buf(), error))?;
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse::<Pair>() {
            Ok(pair) if is_variable_name(&pair.key) => pairs.push(pair),
            _ => return Err(EnvFileError::Line(path.to_path_buf(), number + 1)),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_and_names_the_bad_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("env");
        std::fs::write(&path, "# a comment\n\nA=1\n  B=x = y \n").expect("a file");
        let pairs = read_env_file(&path).expect("readable");
        assert_eq!(
            pairs.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect::<Vec<_>>(),
            [("A", "1"), ("B", "x = y ")]
        );
        std::fs::write(&path, "A=1\nnonsense\n").expect("a file");
        assert!(matches!(read_env_file(&path), Err(EnvFileError::Line(_, 2))));
        assert!(matches!(read_env_file(&dir.path().join("none")), Err(EnvFileError::Read(..))));
    }
}
