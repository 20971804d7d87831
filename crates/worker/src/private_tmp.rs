//! The directories of the machine that every user of programs has for itself, where that can be.

use std::path::{Path, PathBuf};

use crate::config::WorkerConfig;

/// What the runner gives to each user anew.
const PLACES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Name of the directory that holds the users' files, among the work directories: what is written
/// there counts as theirs does.
const NAME: &str = "private-tmp";

/// Where the runner keeps the files of those directories; `None` where programs share the
/// machine's, because none runs as another user, or because something that they need lies there.
pub(crate) fn directory(config: &WorkerConfig) -> Option<PathBuf> {
    let own = &config.directories;
    let given = config.trust.as_ref().map(|trust| &trust.file);
    let needed = [&own.state, &own.work, &own.logs, &own.cache].into_iter().chain(given);
    let is_there = |path: &PathBuf| {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        place_of(&real).or_else(|| place_of(path)).is_some()
    };
    (config.accounts.has_others() && !needed.into_iter().any(is_there)).then(|| own.work.join(NAME))
}

/// The place in which a path lies that each user has for itself.
pub(crate) fn place_of(path: &Path) -> Option<&'static str> {
    PLACES.into_iter().find(|place| path.starts_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_in_a_place_by_whole_names() {
        let places =
            ["/tmp", "/tmp/a/b", "/var/tmp/a", "/tmpx", "/var", "/dev/shm"].map(|path| place_of(Path::new(path)));
        assert_eq!(places, [Some("/tmp"), Some("/tmp"), Some("/var/tmp"), None, None, Some("/dev/shm")]);
    }
}
