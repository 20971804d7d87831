//! Fetching artifacts, on threads that may block.

mod cache;
mod download;
mod error;
mod transfer;

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_os::file::open_named;
use muster_proto::artifact::{ArtifactSource, is_file_name};
use muster_types::Artifact;

use super::reachable::ArtifactNetworks;
pub(super) use cache::CachedArtifact;
use download::download;
pub use error::FetchError;
pub(super) use error::says_that_path_is_wrong;
use transfer::{transfer, watched};

/// Time between two checks whether the attempt was killed.
const LOOK: Duration = Duration::from_millis(100);

/// An artifact in its work directory.
#[derive(Debug)]
pub(super) struct Fetched {
    file: File,
    is_from_cache: bool,
}

/// Fetches an artifact, and tries again after errors that may pass: a server that is away for a
/// moment must not cost the attempt. Ends early when the attempt is killed.
pub(super) fn fetch(
    artifact: &Artifact,
    work_dir: &Path,
    cached: Option<&CachedArtifact>,
    networks: &ArtifactNetworks,
    cancelled: &AtomicBool,
) -> Result<Fetched, FetchError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match fetch_once(artifact, work_dir, cached, networks, cancelled) {
            Ok(fetched) => return Ok(fetched),
            Err(error) => error,
        };
        let Some(pause) = error.retry_after(tries) else { return Err(error) };
        tracing::warn!(uri = %artifact.uri, %error, tries, ?pause, "cannot fetch an artifact; trying again");
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if cancelled.load(Ordering::Relaxed) {
                return Err(FetchError::Cancelled);
            }
            std::thread::sleep(LOOK.min(pause));
        }
    }
}

/// Fetches an artifact into `work_dir`, from the cache if it is there.
fn fetch_once(
    artifact: &Artifact,
    work_dir: &Path,
    cached: Option<&CachedArtifact>,
    networks: &ArtifactNetworks,
    cancelled: &AtomicBool,
) -> Result<Fetched, FetchError> {
    if !is_file_name(&artifact.file_name) {
        return Err(FetchError::FileName);
    }
    let target = work_dir.join(&artifact.file_name);
    let expected = artifact.sha256.as_ref();
    let from_cache = cached.map_or(Ok(None), |cached| cached.take(&target, cancelled))?;
    let is_from_cache = from_cache.is_some();
    let file = match from_cache {
        Some(file) => file,
        None => transfer(open(artifact.uri.expose(), expected.is_some(), networks)?, &target, expected, cancelled)?,
    };
    let mode = if artifact.executable { 0o755 } else { 0o644 };
    // By its descriptor: the name may stand for another file by now.
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(|error| FetchError::Write(target, error))?;
    Ok(Fetched { file, is_from_cache })
}

fn open(uri: &str, has_hash: bool, networks: &ArtifactNetworks) -> Result<Box<dyn Read>, FetchError> {
    match ArtifactSource::parse(uri).map_err(FetchError::Source)? {
        ArtifactSource::File(path) => {
            let file = open_named(&path).map_err(FetchError::Read)?;
            Ok(watched(file))
        }
        ArtifactSource::Web(uri) => download(uri, has_hash, networks),
    }
}
