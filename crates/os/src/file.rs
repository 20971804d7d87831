//! Files that are replaced as a whole. What is written stands beside the file first, under its name
//! with `.new`; one that was left there is written over.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Replaces a file: whoever reads it sees all of the old or all of the new. A crash of the machine
/// may leave either, or an empty file.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let partial = beside(path);
    fs::write(&partial, content)?;
    fs::rename(partial, path)
}

/// The same, on the disk: after a crash it is the old or the new, and the new once this has
/// returned.
pub fn replace_synced(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let partial = beside(path);
    let mut file = File::create(&partial)?;
    file.write_all(content.as_ref())?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    sync_name(path)
}

/// Has the name of a file on the disk: its directory is what holds it.
pub fn sync_name(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("epoch.txt");
        replace_synced(&path, "old").expect("made");
        assert_eq!(fs::read(&path).expect("readable"), b"old");
        fs::write(dir.path().join("epoch.txt.new"), "a longer one, cut sho").expect("written");
        replace(&path, "new").expect("replaced");
        assert_eq!(fs::read(&path).expect("readable"), b"new");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }
}
