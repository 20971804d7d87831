//! The cache of artifacts whose hash is known.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use muster_os::file::{create_fresh, open_regular};
use muster_types::Artifact;
use sha2::{Digest, Sha256};

use super::transfer::{PIECE, hex, transfer};
use super::{FetchError, Fetched};

/// The place of an artifact with a known hash in the cache. It is opened, filled and emptied by the
/// worker's rights; who fetches the artifact may have fewer, and has what was opened.
#[derive(Debug)]
pub(in crate::launch) struct CachedArtifact {
    path: PathBuf,
    sha256: [u8; 32],
    found: Option<File>,
}

impl CachedArtifact {
    /// Looks for an artifact; `None` if it has no hash. What an account may fetch is kept for that
    /// account alone: to know an address and a hash gives nobody the content.
    pub(in crate::launch) fn find(cache: &Path, artifact: &Artifact, account: Option<u32>) -> Option<CachedArtifact> {
        let sha256 = artifact.sha256?;
        let path = cache.join(cache_name(artifact.uri.expose(), &sha256, account));
        let found = open_regular(&path, OpenOptions::new().read(true)).ok();
        if let Some(file) = &found {
            // Its age counts from its last use.
            let _ = file.set_modified(std::time::SystemTime::now());
        }
        Some(CachedArtifact { path, sha256, found })
    }

    /// Copies what was found into the work directory; `None` if nothing good was.
    pub(super) fn take(&self, target: &Path, cancelled: &AtomicBool) -> Result<Option<File>, FetchError> {
        self.found.as_ref().map_or(Ok(None), |found| take_from_cache(found, target, &self.sha256, cancelled))
    }

    /// Keeps what was fetched, if it was not found, and removes what was found damaged. It is
    /// hashed once more while it is copied, since the program's user may write to the original.
    /// Best effort: if it fails, the next launch fetches again.
    pub(in crate::launch) fn keep(self, fetched: Fetched) {
        if fetched.is_from_cache {
            return;
        }
        let Some(directory) = self.path.parent() else { return };
        let temporary = self.path.with_extension(format!("{:016x}", crate::clock::entropy()));
        let copied = fs::create_dir_all(directory)
            .and_then(|()| create_fresh(&temporary, 0o644))
            .and_then(|kept| copy_checked(fetched.file, kept, &self.sha256))
            .and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(error) = copied {
            tracing::debug!(path = %self.path.display(), %error, "cannot keep an artifact in the cache");
            let _ = fs::remove_file(&temporary);
            if self.found.is_some() {
                let _ = fs::remove_file(&self.path);
            }
        }
    }
}

/// Copies a file that others may write to, and fails if what was copied has another hash.
fn copy_checked(mut from: File, mut to: File, expected: &[u8; 32]) -> io::Result<()> {
    from.seek(SeekFrom::Start(0))?;
    // One that grows meanwhile would never end.
    let mut from = from.metadata().map(|found| from.take(found.len()))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&piece[..count]);
        to.write_all(&piece[..count])?;
    }
    if hash.finalize()[..] == expected[..] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Copies a cached file and checks it again meanwhile: a cache is never trusted. `None` if it is
/// not a good one.
fn take_from_cache(
    cached: &File,
    target: &Path,
    expected: &[u8; 32],
    cancelled: &AtomicBool,
) -> Result<Option<File>, FetchError> {
    let from = cached.try_clone().and_then(|mut file| file.rewind().map(|()| file));
    let Ok(from) = from else { return Ok(None) };
    match transfer(Box::new(from), target, Some(expected), cancelled) {
        Ok(file) => Ok(Some(file)),
        Err(FetchError::Hash { .. } | FetchError::Read(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn cache_name(uri: &str, sha256: &[u8; 32], account: Option<u32>) -> String {
    let mut hash = Sha256::new();
    hash.update(sha256);
    hash.update(uri.as_bytes());
    if let Some(account) = account {
        // No address holds a zero byte.
        hash.update([0]);
        hash.update(account.to_le_bytes());
    }
    hex(&hash.finalize())
}
