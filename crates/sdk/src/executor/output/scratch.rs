//! Files of outputs for which there is no room in memory: one for each stage, in the scratch
//! directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file to which blocks are added, and which is removed when nobody reads it any more.
#[derive(Debug)]
pub(super) struct ScratchFile {
    file: File,
    path: PathBuf,
    end: AtomicU64,
}

/// Where a block is in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileExtent {
    at: u64,
    pub(super) length: u32,
}

impl ScratchFile {
    pub(super) fn create(folder: &Path, stage: u64) -> io::Result<ScratchFile> {
        // What is in them is nobody else's, and a file that is there already is none of ours.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(format!("stage-{stage}"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(ScratchFile { file, path, end: AtomicU64::new(0) })
    }

    /// Adds a block. Several threads may do so at the same time.
    pub(super) fn add(&self, data: &[u8]) -> io::Result<FileExtent> {
        let at = self.end.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(data, at)?;
        Ok(FileExtent { at, length: u32::try_from(data.len()).unwrap_or(u32::MAX) })
    }

    pub(super) fn read(&self, extent: FileExtent) -> io::Result<Vec<u8>> {
        let mut data = vec![0; extent.length as usize];
        self.file.read_exact_at(&mut data, extent.at)?;
        Ok(data)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // The directory is removed with the application anyway.
        let _ = fs::remove_file(&self.path);
    }
}
