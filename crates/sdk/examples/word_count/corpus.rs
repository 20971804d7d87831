//! The files of a corpus, and their shares.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// All regular files below a folder whose names end in `suffix`, by path: the order of `find -type
/// f | LC_ALL=C sort`.
pub(crate) fn files(folder: &Path, suffix: &str) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.file_name().as_encoded_bytes().ends_with(suffix.as_bytes()) {
                found.push((entry.path(), entry.metadata()?.len()));
            }
        }
    }
    found.sort_by(|a, b| a.0.as_os_str().as_encoded_bytes().cmp(b.0.as_os_str().as_encoded_bytes()));
    Ok(found)
}

/// Cuts the files into about `number` runs of similar size, in order.
pub(crate) fn shares(files: Vec<(PathBuf, u64)>, number: usize) -> Vec<Vec<PathBuf>> {
    let total: u64 = files.iter().map(|(_, size)| size).sum();
    let each = total.div_ceil(number as u64).max(1);
    let mut shares = Vec::new();
    let (mut share, mut size) = (Vec::new(), 0);
    for (path, length) in files {
        share.push(path);
        size += length;
        if size >= each {
            shares.push(std::mem::take(&mut share));
            size = 0;
        }
    }
    if !share.is_empty() {
        shares.push(share);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_every_file_once_and_in_order() {
        for number in 1..9 {
            let files: Vec<_> = (0..20).map(|n| (PathBuf::from(format!("{n:02}")), n * 7 % 5)).collect();
            let paths: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
            let shares = shares(files, number);
            assert!(shares.len() <= number + 1);
            assert_eq!(shares.concat(), paths);
        }
    }
}
