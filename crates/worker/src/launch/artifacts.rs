//! Fetching artifacts, on threads that may block.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_types::Artifact;
use sha2::{Digest, Sha256};

/// Largest artifact: a bound against servers that never stop sending.
const ARTIFACT_LIMIT: u64 = 64 << 30;
/// A whole transfer may take this long; the master asks back launches without progress much sooner
/// where it must.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3_600);
/// A server that is silent for this long has failed.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Read and written at once.
const PIECE: usize = 256 << 10;

/// Why an artifact could not be fetched.
#[derive(Debug)]
pub enum FetchError {
    /// The file name leaves the work directory, or is empty.
    FileName,
    /// Not `file:`, `http:` or `https:`.
    Scheme,
    /// The request failed.
    Request(Box<ureq::Error>),
    /// The file cannot be opened or read, or the transfer broke.
    Read(io::Error),
    /// The file in the work directory cannot be written.
    Write(PathBuf, io::Error),
    /// The content is another than expected.
    Hash {
        /// What was fetched, in hexadecimal digits.
        found: String,
    },
    /// Larger than anything that is fetched.
    TooLarge,
    /// The attempt was killed meanwhile.
    Cancelled,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::FileName => f.write_str("the file name is empty or leaves the work directory"),
            FetchError::Scheme => f.write_str("only file:, http: and https: are fetched"),
            FetchError::Request(_) => f.write_str("the request failed"),
            FetchError::Read(_) => f.write_str("cannot read it"),
            FetchError::Write(path, _) => write!(f, "cannot write {}", path.display()),
            FetchError::Hash { found } => write!(f, "its SHA-256 is {found}, another than expected"),
            FetchError::TooLarge => f.write_str("larger than 64 GiB"),
            FetchError::Cancelled => f.write_str("the attempt was killed"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FetchError::Request(source) => Some(source),
            FetchError::Read(source) | FetchError::Write(_, source) => Some(source),
            FetchError::FileName
            | FetchError::Scheme
            | FetchError::Hash { .. }
            | FetchError::TooLarge
            | FetchError::Cancelled => None,
        }
    }
}

/// Fetches an artifact into `work_dir`. One with a hash is kept in `cache`, under the hash of both.
pub(super) fn fetch(
    artifact: &Artifact,
    work_dir: &Path,
    cache: &Path,
    cancelled: &AtomicBool,
) -> Result<(), FetchError> {
    let target = work_dir.join(file_name(artifact)?);
    match artifact.sha256 {
        None => transfer(open(&artifact.uri)?, &target, None, cancelled)?,
        Some(expected) => {
            let cached = cache.join(cache_name(&artifact.uri, &expected));
            if !take_from_cache(&cached, &target, &expected, cancelled)? {
                transfer(open(&artifact.uri)?, &target, Some(&expected), cancelled)?;
                put_into_cache(&target, &cached);
            }
        }
    }
    let mode = if artifact.executable { 0o755 } else { 0o644 };
    fs::set_permissions(&target, fs::Permissions::from_mode(mode)).map_err(|error| FetchError::Write(target, error))
}

/// The name in the work directory: one plain segment.
fn file_name(artifact: &Artifact) -> Result<&str, FetchError> {
    let name = if artifact.file_name.is_empty() {
        let path = artifact.uri.split(['?', '#']).next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    } else {
        &artifact.file_name
    };
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']) && name.len() <= 255;
    plain.then_some(name).ok_or(FetchError::FileName)
}

fn open(uri: &str) -> Result<Box<dyn Read>, FetchError> {
    if let Some(path) = uri.strip_prefix("file://") {
        let path = path.strip_prefix("localhost").unwrap_or(path);
        return Ok(Box::new(File::open(path).map_err(FetchError::Read)?));
    }
    if !uri.starts_with("http://") && !uri.starts_with("https://") {
        return Err(FetchError::Scheme);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(SILENCE_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_global(Some(TRANSFER_TIMEOUT))
        .build()
        .into();
    let response = agent.get(uri).call().map_err(|error| FetchError::Request(Box::new(error)))?;
    Ok(Box::new(response.into_body().into_reader()))
}

/// Copies in pieces, counting and hashing what passes.
fn transfer(
    mut from: Box<dyn Read>,
    target: &Path,
    expected: Option<&[u8; 32]>,
    cancelled: &AtomicBool,
) -> Result<(), FetchError> {
    let failed = |error| FetchError::Write(target.to_owned(), error);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(target).map_err(failed)?;
    let mut hash = expected.map(|_| Sha256::new());
    let mut piece = vec![0; PIECE];
    let mut size: u64 = 0;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(FetchError::Cancelled);
        }
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FetchError::Read(error)),
        };
        size += count as u64;
        if size > ARTIFACT_LIMIT {
            return Err(FetchError::TooLarge);
        }
        file.write_all(&piece[..count]).map_err(failed)?;
        if let Some(hash) = &mut hash {
            hash.update(&piece[..count]);
        }
    }
    match (hash, expected) {
        (Some(hash), Some(expected)) => {
            let found = hash.finalize();
            if found[..] == expected[..] { Ok(()) } else { Err(FetchError::Hash { found: hex(&found) }) }
        }
        _ => Ok(()),
    }
}

/// Copies a cached file, checked again while it is copied: a cache is never trusted. Answers
/// whether there was a good one.
fn take_from_cache(
    cached: &Path,
    target: &Path,
    expected: &[u8; 32],
    cancelled: &AtomicBool,
) -> Result<bool, FetchError> {
    let Ok(file) = File::open(cached) else { return Ok(false) };
    // Its age is that of its last use.
    let _ = file.set_modified(std::time::SystemTime::now());
    match transfer(Box::new(file), target, Some(expected), cancelled) {
        Ok(()) => Ok(true),
        Err(FetchError::Hash { .. } | FetchError::Read(_)) => {
            let _ = fs::remove_file(cached);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Best effort: without it the next launch fetches again.
fn put_into_cache(from: &Path, cached: &Path) {
    let Some(directory) = cached.parent() else { return };
    let temporary = cached.with_extension(format!("{:016x}", crate::clock::entropy()));
    let copied = fs::create_dir_all(directory)
        .and_then(|()| fs::copy(from, &temporary))
        .and_then(|_| fs::rename(&temporary, cached));
    if let Err(error) = copied {
        tracing::debug!(path = %cached.display(), %error, "cannot keep an artifact in the cache");
        let _ = fs::remove_file(&temporary);
    }
}

fn cache_name(uri: &str, sha256: &[u8; 32]) -> String {
    let mut hash = Sha256::new();
    hash.update(sha256);
    hash.update(uri.as_bytes());
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Setting {
        root: tempfile::TempDir,
        running: AtomicBool,
    }

    impl Setting {
        fn new() -> Setting {
            let root = tempfile::tempdir().expect("a directory");
            fs::create_dir(root.path().join("work")).expect("made");
            fs::write(root.path().join("tool"), "content").expect("written");
            Setting { root, running: AtomicBool::new(false) }
        }

        fn artifact(&self) -> Artifact {
            let uri = format!("file://{}", self.root.path().join("tool").display());
            Artifact { uri, sha256: None, file_name: String::new(), executable: true }
        }

        fn fetch(&self, artifact: &Artifact) -> Result<(), FetchError> {
            fetch(artifact, &self.root.path().join("work"), &self.root.path().join("cache"), &self.running)
        }

        fn fetched(&self, name: &str) -> String {
            fs::read_to_string(self.root.path().join("work").join(name)).expect("fetched")
        }
    }

    fn sha256(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    #[test]
    fn a_file_is_copied_under_its_own_or_the_given_name() {
        let setting = Setting::new();
        setting.fetch(&setting.artifact()).expect("fetched");
        assert_eq!(setting.fetched("tool"), "content");
        let mode = fs::metadata(setting.root.path().join("work/tool")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        setting.fetch(&Artifact { file_name: "renamed".into(), ..setting.artifact() }).expect("fetched");
        assert_eq!(setting.fetched("renamed"), "content");
    }

    #[test]
    fn names_that_leave_the_work_directory_are_refused() {
        let setting = Setting::new();
        for name in ["../tool", "/tmp/tool", "..", ".", "a/b"] {
            let artifact = Artifact { file_name: name.into(), ..setting.artifact() };
            assert!(matches!(setting.fetch(&artifact), Err(FetchError::FileName)), "{name}");
        }
        let artifact = Artifact { uri: "file:///tmp/..".into(), ..setting.artifact() };
        assert!(matches!(setting.fetch(&artifact), Err(FetchError::FileName)));
    }

    #[test]
    fn another_content_than_expected_is_refused_and_named() {
        let setting = Setting::new();
        let artifact = Artifact { sha256: Some(sha256("other")), ..setting.artifact() };
        let Err(FetchError::Hash { found }) = setting.fetch(&artifact) else { panic!("refused") };
        assert_eq!(found, hex(&sha256("content")));
    }

    #[test]
    fn what_has_a_hash_is_kept_and_checked_again() {
        let setting = Setting::new();
        let artifact = Artifact { sha256: Some(sha256("content")), ..setting.artifact() };
        setting.fetch(&artifact).expect("fetched");
        fs::remove_file(setting.root.path().join("tool")).expect("removed");
        setting.fetch(&artifact).expect("from the cache");
        let cached = fs::read_dir(setting.root.path().join("cache")).expect("a cache").next().expect("an entry");
        fs::write(cached.expect("readable").path(), "spoiled").expect("spoiled");
        assert!(matches!(setting.fetch(&artifact), Err(FetchError::Read(_))));
    }

    #[test]
    fn a_kill_stops_a_transfer() {
        let setting = Setting::new();
        setting.running.store(true, Ordering::Relaxed);
        assert!(matches!(setting.fetch(&setting.artifact()), Err(FetchError::Cancelled)));
    }
}
