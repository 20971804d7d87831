//! Checks the list of the database's tables before fjall reads it.
//!
//! fjall writes a checksum of each new list beside its number, but does not compare the two when it
//! opens. Instead it asserts the content of the list, and a failed assertion there aborts the
//! process: fjall's own clean-up panics while it unwinds.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// The directory in which fjall keeps its trees, a directory each.
const TREES: &str = "keyspaces";
/// In each tree, the file with the number of the newest list (8 bytes), the list's checksum (16
/// bytes, both little-endian), and the kind of the checksum: 0, XXH3.
const CURRENT: &str = "current";

/// The first fault in the lists of a database. Missing files are no fault here, because fjall
/// reports them itself.
pub(super) fn fault(database: &Path) -> io::Result<Option<String>> {
    let trees = match fs::read_dir(database.join(TREES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        trees => trees?,
    };
    for tree in trees {
        let tree = tree?.path();
        let Some(current) = read(&tree.join(CURRENT))? else { continue };
        let Some((number, checksum)) = parse(&current) else {
            return Ok(Some(format!("{} is damaged", tree.join(CURRENT).display())));
        };
        let list = tree.join(format!("v{number}"));
        if read(&list)?.is_some_and(|bytes| xxh3_128(&bytes) != checksum) {
            return Ok(Some(format!("{} is damaged: its checksum is another", list.display())));
        }
    }
    Ok(None)
}

/// The number and the checksum; `None` when the file has another form.
fn parse(current: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = current.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}
