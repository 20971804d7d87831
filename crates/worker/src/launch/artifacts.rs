//! Fetching artifacts, on threads that may block.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_types::Artifact;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

/// Largest artifact: a bound against servers that never stop sending.
const ARTIFACT_LIMIT: u64 = 64 << 30;
/// How long a whole transfer may take, however steady it is.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3_600);
/// A server that is silent for this long has failed.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of one artifact. The pauses between them sum to 40 s at most. A server that is silent for
/// longer also costs its time-outs, and a kill ends everything.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Time between two checks whether the attempt was killed.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that are read and written at once.
const PIECE: usize = 256 << 10;

/// Why an artifact could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file name leaves the work directory, or is empty.
    #[error("the file name is empty or leaves the work directory")]
    FileName,
    /// Not `file:`, `http:` or `https:`.
    #[error("only file:, http: and https: are fetched")]
    Scheme,
    /// The request failed, and whether it will always fail. Only the kind of failure is given,
    /// since a message may repeat the address.
    #[error("the request failed: {0}")]
    Request(&'static str, bool),
    /// The server answered with an error, and perhaps said when to ask again.
    #[error("the server answered {0}")]
    Status(u16, Option<Duration>),
    /// The transfer broke.
    #[error("the transfer broke")]
    Broken(#[source] io::Error),
    /// The file cannot be opened or read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// The file in the work directory cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// The content has another hash than expected.
    #[error("its SHA-256 is {found}, another than expected")]
    Hash {
        /// What was fetched, in hexadecimal digits.
        found: String,
    },
    /// It is larger than anything that is fetched.
    #[error("larger than 64 GiB")]
    TooLarge,
    /// The attempt was killed meanwhile.
    #[error("the attempt was killed")]
    Cancelled,
}

impl FetchError {
    /// Whether no repetition and no other machine can help: the submission is wrong.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            FetchError::FileName | FetchError::Scheme | FetchError::Hash { .. } | FetchError::TooLarge => true,
            FetchError::Request(_, permanent) => *permanent,
            FetchError::Status(code, _) => !is_passing(*code),
            // Another machine may have a file that this one lacks, but the address is wrong all the
            // same.
            FetchError::Read(_) => true,
            FetchError::Broken(_) | FetchError::Write(..) | FetchError::Cancelled => false,
        }
    }

    /// How long to wait before the next try; `None` if there is none.
    fn retry_after(&self, tries: u32) -> Option<Duration> {
        let back_off = FIRST_PAUSE * 2u32.saturating_pow(tries.saturating_sub(1));
        match self {
            _ if self.is_permanent() || tries >= TRIES => None,
            FetchError::Write(..) | FetchError::Cancelled => None,
            FetchError::Status(_, asked) => Some(asked.unwrap_or(back_off).min(LONGEST_PAUSE)),
            _ => Some(back_off.min(LONGEST_PAUSE)),
        }
    }
}

/// Whether a status says that the same request may succeed later.
fn is_passing(code: u16) -> bool {
    matches!(code, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Fetches an artifact, and tries again after errors that may pass: a server that is away for a
/// moment must not cost the attempt. Ends early when the attempt is killed.
pub(super) fn fetch(
    artifact: &Artifact,
    work_dir: &Path,
    cache: &Path,
    cancelled: &AtomicBool,
) -> Result<(), FetchError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match fetch_once(artifact, work_dir, cache, cancelled) {
            Ok(()) => return Ok(()),
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

/// Fetches an artifact into `work_dir`. An artifact with a hash is kept in `cache`, under a name
/// made of that hash and its address.
fn fetch_once(artifact: &Artifact, work_dir: &Path, cache: &Path, cancelled: &AtomicBool) -> Result<(), FetchError> {
    let target = work_dir.join(file_name(artifact)?);
    match artifact.sha256 {
        None => transfer(open(artifact.uri.expose())?, &target, None, cancelled)?,
        Some(expected) => {
            let cached = cache.join(cache_name(artifact.uri.expose(), &expected));
            if !take_from_cache(&cached, &target, &expected, cancelled)? {
                transfer(open(artifact.uri.expose())?, &target, Some(&expected), cancelled)?;
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
        let path = artifact.uri.expose().split(['?', '#']).next().unwrap_or_default();
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
        return Ok(Box::new(open_file(Path::new(path)).map_err(FetchError::Read)?));
    }
    if !uri.starts_with("http://") && !uri.starts_with("https://") {
        return Err(FetchError::Scheme);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(SILENCE_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .timeout_global(Some(TRANSFER_TIMEOUT))
        // The status is handled here, together with the server's word on when to ask again.
        .http_status_as_error(false)
        .build()
        .into();
    let response = agent.get(uri).call().map_err(|error| request_error(&error))?;
    if !response.status().is_success() {
        let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(FetchError::Status(response.status().as_u16(), asked.map(Duration::from_secs)));
    }
    Ok(Box::new(Download(response.into_body().into_reader())))
}

/// Opens regular files only: opening a pipe without a writer blocks, and a device may never end.
fn open_file(path: &Path) -> io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// A body that comes over a network. An error in its middle means that the transfer broke, not that
/// a file cannot be read.
struct Download<R>(R);

impl<R: Read> Read for Download<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error.kind().to_string()))
    }
}

fn request_error(error: &ureq::Error) -> FetchError {
    let (what, permanent) = match error {
        ureq::Error::Timeout(_) => ("it took too long", false),
        ureq::Error::HostNotFound => ("the host is not known", false),
        ureq::Error::ConnectionFailed | ureq::Error::Io(_) => ("the connection failed", false),
        ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => ("the address is none", true),
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => ("it is redirected without end", true),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => ("the server's certificate is not trusted", true),
        _ => ("the server does not speak HTTP as it should", false),
    };
    FetchError::Request(what, permanent)
}

/// Copies in pieces, counting and hashing them. A failure leaves no part of a file behind: on a
/// full disk it would take the room of others until it is cleaned up.
fn transfer(
    from: Box<dyn Read>,
    target: &Path,
    expected: Option<&[u8; 32]>,
    cancelled: &AtomicBool,
) -> Result<(), FetchError> {
    copy(from, target, expected, cancelled).inspect_err(|_| {
        // This fails if the file was never made.
        let _ = fs::remove_file(target);
    })
}

fn copy(
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
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Err(FetchError::Broken(error)),
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

/// Copies a cached file and checks it again meanwhile: a cache is never trusted. Returns whether
/// there was a good one.
fn take_from_cache(
    cached: &Path,
    target: &Path,
    expected: &[u8; 32],
    cancelled: &AtomicBool,
) -> Result<bool, FetchError> {
    let Ok(file) = File::open(cached) else { return Ok(false) };
    // Its age counts from its last use.
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

/// Best effort: if it fails, the next launch fetches again.
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
    use muster_testenv::SmallDisk;
    use muster_types::ArtifactUri;

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
            Artifact { uri: ArtifactUri::new(uri), sha256: None, file_name: String::new(), executable: true }
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
    fn what_is_no_file_is_refused_and_blocks_nothing() {
        let setting = Setting::new();
        let pipe = setting.root.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("made");
        for path in [pipe.as_path(), Path::new("/dev/zero"), setting.root.path()] {
            let uri = ArtifactUri::new(format!("file://{}", path.display()));
            let artifact = Artifact { uri, file_name: "tool".into(), ..setting.artifact() };
            let error = setting.fetch(&artifact).expect_err("refused");
            assert!(matches!(error, FetchError::Read(_)), "{}: {error}", path.display());
        }
    }

    #[test]
    fn on_a_full_disk_the_platform_fails_and_no_part_of_a_file_is_left() {
        let setting = Setting::new();
        let Some(disk) = SmallDisk::mount(1 << 10) else { return };
        fs::write(setting.root.path().join("tool"), vec![1; 4 << 20]).expect("written");
        let cache = setting.root.path().join("cache");
        let error = fetch(&setting.artifact(), disk.path(), &cache, &setting.running).expect_err("there is no room");
        assert!(matches!(error, FetchError::Write(..)) && !error.is_permanent(), "{error}");
        assert_eq!(fs::read_dir(disk.path()).expect("readable").count(), 0, "files that are left");
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
        let artifact = Artifact { uri: ArtifactUri::new("file:///tmp/.."), ..setting.artifact() };
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

    /// Serves these answers, one per connection, and counts them.
    fn server(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<usize>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let serving = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a request");
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).expect("read");
                stream.write_all(answer.as_bytes()).expect("written");
            }
            answers.len()
        });
        (format!("http://user:hunter2@{address}/tool?sig=hunter2"), serving)
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncontent";
    const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncon";
    const AWAY: &str = "HTTP/1.1 503 Away\r\nContent-Length: 0\r\nRetry-After: 0\r\nConnection: close\r\n\r\n";
    const BUSY: &str = "HTTP/1.1 429 Busy\r\nContent-Length: 0\r\nRetry-After: 0\r\nConnection: close\r\n\r\n";
    const MISSING: &str = "HTTP/1.1 404 Missing\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    #[test]
    fn what_passes_is_tried_again() {
        let setting = Setting::new();
        let (uri, serving) = server(&[AWAY, BUSY, CUT, GOOD]);
        let artifact = Artifact { uri: ArtifactUri::new(uri), file_name: "tool".into(), ..setting.artifact() };
        setting.fetch(&artifact).expect("fetched in the end");
        assert_eq!((setting.fetched("tool").as_str(), serving.join().expect("served")), ("content", 4));
    }

    #[test]
    fn what_does_not_pass_ends_it_within_a_bound_and_says_whose_fault_it_is() {
        let setting = Setting::new();
        let fetch = |answers| {
            let (uri, serving) = server(answers);
            let artifact = Artifact { uri: ArtifactUri::new(uri), file_name: "tool".into(), ..setting.artifact() };
            let error = setting.fetch(&artifact).expect_err("it is refused");
            assert!(!format!("{error:?} {error} {}", artifact.uri).contains("hunter2"), "{error:?}");
            (error.is_permanent(), serving.join().expect("served"))
        };
        assert_eq!(fetch(&[MISSING]), (true, 1));
        assert_eq!(fetch(&[AWAY; 5]), (false, 5));
    }

    #[test]
    fn a_kill_stops_a_transfer() {
        let setting = Setting::new();
        setting.running.store(true, Ordering::Relaxed);
        assert!(matches!(setting.fetch(&setting.artifact()), Err(FetchError::Cancelled)));
    }
}
