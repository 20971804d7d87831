//! Files that are replaced as a whole. The new content is first written to a file beside the old
//! one, with `.new` added to its name; a leftover of that name is overwritten.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Replaces a file: a reader sees all of the old content or all of the new. A crash of the machine
/// may leave the old file, the new file or an empty one.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let partial = beside(path);
    fs::write(&partial, content)?;
    fs::rename(partial, path)
}

/// Like [`replace`], but durable: after a crash the file is the old or the new one, and once this
/// has returned it is the new one.
pub fn replace_synced(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let partial = beside(path);
    let mut file = File::create(&partial)?;
    file.write_all(content.as_ref())?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    sync_name(path)
}

/// Makes the name of a file durable by syncing the directory that holds it.
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
