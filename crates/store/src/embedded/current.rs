//! The list of the database's tables, checked before the library reads it.
//!
//! The library writes a checksum of each new list beside its number, and does not compare the two
//! when it opens. It asserts what the list says instead, and an assertion that fails there takes
//! the process down: the library's own clean-up panics while it unwinds.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// Where the library keeps its trees, a directory each.
const TREES: &str = "keyspaces";
/// In each, the number of the newest list (8 bytes), the list's checksum (16 bytes, both
/// little-endian), and the checksum's kind: 0, XXH3.
const CURRENT: &str = "current";

/// What is wrong with the lists of a database; nothing is said of what is not there, which the
/// library reports itself.
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

/// The number and the checksum; nothing where it is no such file.
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
