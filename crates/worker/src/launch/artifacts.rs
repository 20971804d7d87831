//! Fetching artifacts, on threads that may block.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_os::file::{create_fresh, open_named, open_regular};
use muster_proto::artifact::{ArtifactSource, ArtifactSourceError, is_file_name};
use muster_types::Artifact;
use sha2::{Digest, Sha256};
use ureq::http::header::{LOCATION, RETRY_AFTER};
use ureq::http::uri::Scheme;
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::transport::DefaultConnector;

use super::reachable::{AdmittedResolver, ArtifactNetworks, NotAdmitted};
use super::redirect::redirected;

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
/// Redirects of one try, as most clients take them.
const REDIRECTS: usize = 10;
/// Time between two checks whether the attempt was killed.
const LOOK: Duration = Duration::from_millis(100);
/// What must come within a time that is spent waiting for it, so that a server that sends a byte
/// now and then, and so is never silent, does not hold one of the few places for an hour.
const LEAST_BYTES: u64 = 64 << 10;
const LEAST_WINDOW: Duration = Duration::from_secs(60);
/// Bytes that are read and written at once.
const PIECE: usize = 256 << 10;

/// Why an artifact could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file name leaves the work directory, is empty, or has control characters.
    #[error("the file name is empty, leaves the work directory or has a control character")]
    FileName,
    /// Nothing can be fetched from such an address. A master refuses it at submission.
    #[error("its address {0}")]
    Source(ArtifactSourceError),
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
            FetchError::FileName | FetchError::Source(_) | FetchError::Hash { .. } | FetchError::TooLarge => true,
            FetchError::Request(_, permanent) => *permanent,
            FetchError::Status(code, _) => !is_passing(*code),
            // Another machine may have a file that this one lacks, but the address is wrong all the
            // same. A file system that fails is the machine's fault.
            FetchError::Read(error) => says_that_path_is_wrong(error),
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

/// Whether a system call failed because of the path that it was given, and not because of the
/// machine.
pub(super) fn says_that_path_is_wrong(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    ) || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Whether a status says that the same request may succeed later.
fn is_passing(code: u16) -> bool {
    matches!(code, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The place of an artifact with a known hash in the cache. It is opened, filled and emptied by the
/// worker's rights; who fetches the artifact may have fewer, and has what was opened.
#[derive(Debug)]
pub(super) struct CachedArtifact {
    path: PathBuf,
    sha256: [u8; 32],
    found: Option<File>,
}

impl CachedArtifact {
    /// Looks for an artifact; `None` if it has no hash. What an account may fetch is kept for that
    /// account alone: to know an address and a hash gives nobody the content.
    pub(super) fn find(cache: &Path, artifact: &Artifact, account: Option<u32>) -> Option<CachedArtifact> {
        let sha256 = artifact.sha256?;
        let path = cache.join(cache_name(artifact.uri.expose(), &sha256, account));
        let found = open_regular(&path, OpenOptions::new().read(true)).ok();
        if let Some(file) = &found {
            // Its age counts from its last use.
            let _ = file.set_modified(std::time::SystemTime::now());
        }
        Some(CachedArtifact { path, sha256, found })
    }

    /// Keeps what was fetched, if it was not found, and removes what was found damaged. It is
    /// hashed once more while it is copied, since the program's user may write to the original.
    /// Best effort: if it fails, the next launch fetches again.
    pub(super) fn keep(self, fetched: Fetched) {
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

/// An artifact in its work directory.
#[derive(Debug)]
pub(super) struct Fetched {
    file: File,
    is_from_cache: bool,
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
    let from_cache = match cached {
        Some(CachedArtifact { found: Some(found), sha256, .. }) => take_from_cache(found, &target, sha256, cancelled)?,
        _ => None,
    };
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

fn watched(from: impl Read + 'static) -> Box<dyn Read> {
    let began = Instant::now();
    Box::new(NotTooSlow::new(from, move || began.elapsed()))
}

/// A redirect out of TLS is followed for what has a hash alone: anybody on the way could answer it.
fn download(mut uri: Uri, has_hash: bool, networks: &ArtifactNetworks) -> Result<Box<dyn Read>, FetchError> {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(SILENCE_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .timeout_global(Some(TRANSFER_TIMEOUT))
        // The status is handled here, together with the server's word on when to ask again.
        .http_status_as_error(false)
        // The library takes a redirect to `file:///a` for one to a path of the same server.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), AdmittedResolver(networks.clone()));
    for _ in 0..=REDIRECTS {
        let response = agent.get(&uri).call().map_err(|error| request_error(&error))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let status = response.status();
        match (status, header(LOCATION)) {
            // Only this status says that the whole file follows: 204 has none and 206 has a part of
            // one.
            (StatusCode::OK, _) => return Ok(watched(Download(response.into_body().into_reader()))),
            (
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT,
                Some(location),
            ) => {
                let next = redirected(&uri, location).ok_or(FetchError::Request(NO_REDIRECT, true))?;
                if !has_hash && leaves_tls(&uri, &next) {
                    return Err(FetchError::Request(OUT_OF_TLS, true));
                }
                uri = next;
            }
            _ => {
                let asked = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
                return Err(FetchError::Status(status.as_u16(), asked.map(Duration::from_secs)));
            }
        }
    }
    Err(FetchError::Request("it is redirected without end", true))
}

fn leaves_tls(from: &Uri, to: &Uri) -> bool {
    from.scheme() == Some(&Scheme::HTTPS) && to.scheme() != Some(&Scheme::HTTPS)
}

/// A body that comes over a network. An error in its middle means that the transfer broke, not that
/// a file cannot be read.
struct Download<R>(R);

impl<R: Read> Read for Download<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error.kind().to_string()))
    }
}

/// A source that has failed when it is slower than the least rate. Only the time of its reads
/// counts, and not that of a disk that is written to meanwhile.
struct NotTooSlow<R, C> {
    from: R,
    clock: C,
    waited: Duration,
    came: u64,
}

impl<R: Read, C: Fn() -> Duration> NotTooSlow<R, C> {
    /// The clock says how much time has passed since any beginning.
    fn new(from: R, clock: C) -> NotTooSlow<R, C> {
        NotTooSlow { from, clock, waited: Duration::ZERO, came: 0 }
    }
}

impl<R: Read, C: Fn() -> Duration> Read for NotTooSlow<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = (self.clock)();
        let count = self.from.read(buffer)?;
        self.waited += (self.clock)().saturating_sub(began);
        self.came += count as u64;
        if self.waited >= LEAST_WINDOW {
            if self.came < LEAST_BYTES && count > 0 {
                let slow = "it sends less than 64 KiB a minute";
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, slow));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(count)
    }
}

/// What may pass is the way to the server. Another protocol than the address says, and an address
/// that leads nowhere, stay as they are.
fn request_error(error: &ureq::Error) -> FetchError {
    use io::ErrorKind;
    use ureq::Error;
    let (what, permanent) = match error {
        Error::Timeout(_) => ("it took too long", false),
        Error::HostNotFound => ("the host is not known", false),
        Error::Other(error) if error.is::<NotAdmitted>() => (NOT_ADMITTED, true),
        // TLS puts its own errors into this kind, about what it read and about certificates.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => (NO_TLS, true),
        Error::Tls(_) | Error::Rustls(_) => (NO_TLS, true),
        Error::ConnectionFailed | Error::Io(_) => ("the connection failed", false),
        Error::BadUri(_) | Error::Http(_) | Error::InvalidProxyUrl => ("the address is none", true),
        Error::Protocol(_) | Error::LargeResponseHeader(..) => ("the server does not speak HTTP", true),
        _ => ("the server cannot be asked", false),
    };
    FetchError::Request(what, permanent)
}

const NO_REDIRECT: &str = "it is redirected to no address of the web";
const OUT_OF_TLS: &str = "it is redirected out of TLS, which needs sha256=";
const NOT_ADMITTED: &str = "artifacts are not fetched from that address (--artifact-allow of the worker)";
const NO_TLS: &str = "the server does not speak TLS, or its certificate is not trusted";

/// Copies in pieces, counting and hashing them. A failure leaves no part of a file behind: on a
/// full disk it would take the room of others until it is cleaned up.
fn transfer(
    from: Box<dyn Read>,
    target: &Path,
    expected: Option<&[u8; 32]>,
    cancelled: &AtomicBool,
) -> Result<File, FetchError> {
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
) -> Result<File, FetchError> {
    let failed = |error| FetchError::Write(target.to_owned(), error);
    let mut file = create_fresh(target, 0o666).map_err(failed)?;
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
            if found[..] == expected[..] { Ok(file) } else { Err(FetchError::Hash { found: hex(&found) }) }
        }
        _ => Ok(file),
    }
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

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

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
            Artifact { uri: ArtifactUri::new(uri), sha256: None, file_name: "tool".into(), executable: true }
        }

        fn fetch(&self, artifact: &Artifact) -> Result<(), FetchError> {
            self.fetch_from(artifact, &loopback())
        }

        fn fetch_from(&self, artifact: &Artifact, networks: &ArtifactNetworks) -> Result<(), FetchError> {
            self.fetch_for(artifact, networks, None)
        }

        fn fetch_for(
            &self,
            artifact: &Artifact,
            networks: &ArtifactNetworks,
            account: Option<u32>,
        ) -> Result<(), FetchError> {
            let cached = CachedArtifact::find(&self.root.path().join("cache"), artifact, account);
            let work = self.root.path().join("work");
            let fetched = fetch(artifact, &work, cached.as_ref(), networks, &self.running)?;
            if let Some(cached) = cached {
                cached.keep(fetched);
            }
            Ok(())
        }

        fn fetched(&self, name: &str) -> String {
            fs::read_to_string(self.root.path().join("work").join(name)).expect("fetched")
        }
    }

    /// The servers of tests are on this machine.
    fn loopback() -> ArtifactNetworks {
        ArtifactNetworks { allow: vec!["127.0.0.0/8".parse().expect("a network")], deny: Vec::new() }
    }

    fn sha256(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    /// A source each of whose reads takes a second and brings this many bytes.
    struct Drip(Rc<Cell<u64>>, usize);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.set(self.0.get() + 1);
            // It ends after two hours.
            let count = if self.0.get() > 7_200 { 0 } else { self.1.min(buffer.len()) };
            buffer[..count].fill(b'a');
            Ok(count)
        }
    }

    #[test]
    fn a_source_that_drips_is_given_up_and_a_slow_one_is_not() {
        let setting = Setting::new();
        let drip = |bytes| {
            let time = Rc::new(Cell::new(0));
            let clock = Rc::clone(&time);
            let source = NotTooSlow::new(Drip(Rc::clone(&time), bytes), move || Duration::from_secs(clock.get()));
            let target = setting.root.path().join("work/drip");
            (copy(Box::new(source), &target, None, &setting.running), time.get())
        };
        let (result, took) = drip(1);
        assert!(
            matches!(&result, Err(FetchError::Broken(error)) if error.to_string().contains("64 KiB")),
            "{result:?}"
        );
        assert_eq!(took, 60);
        let (result, took) = drip(2_000);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(took, 7_201);
    }

    #[test]
    fn what_is_no_file_is_refused_and_blocks_nothing() {
        let setting = Setting::new();
        let pipe = setting.root.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("made");
        for path in [pipe.as_path(), Path::new("/dev/zero"), setting.root.path()] {
            let uri = ArtifactUri::new(format!("file://{}", path.display()));
            let error = setting.fetch(&Artifact { uri, ..setting.artifact() }).expect_err("refused");
            assert!(matches!(error, FetchError::Read(_)) && error.is_permanent(), "{}: {error}", path.display());
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let setting = Setting::new();
        let other = setting.root.path().join("other");
        fs::write(&other, "other").expect("written");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&other, mode).expect("set");
        let work = setting.root.path().join("work");
        for name in ["plain", "hashed"] {
            std::os::unix::fs::symlink(&other, work.join(name)).expect("linked");
            let sha256 = (name == "hashed").then(|| sha256("content"));
            setting.fetch(&Artifact { file_name: name.into(), sha256, ..setting.artifact() }).expect("fetched");
            assert_eq!(setting.fetched(name), "content");
            assert!(!work.join(name).is_symlink(), "{name}");
        }
        assert_eq!(fs::read_to_string(&other).expect("readable"), "other");
        assert_eq!(other.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn on_a_full_disk_the_platform_fails_and_no_part_of_a_file_is_left() {
        let setting = Setting::new();
        let Some(disk) = SmallDisk::mount(1 << 10) else { return };
        fs::write(setting.root.path().join("tool"), vec![1; 4 << 20]).expect("written");
        let error = fetch(&setting.artifact(), disk.path(), None, &loopback(), &setting.running).expect_err("no room");
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
        for name in ["", "../tool", "/tmp/tool", "..", ".", "a/b", "a\nb", "a\0"] {
            let artifact = Artifact { file_name: name.into(), ..setting.artifact() };
            assert!(matches!(setting.fetch(&artifact), Err(FetchError::FileName)), "{name:?}");
        }
    }

    #[test]
    fn the_path_of_a_file_is_percent_decoded() {
        let setting = Setting::new();
        fs::write(setting.root.path().join("a b%"), "decoded").expect("written");
        let uri = ArtifactUri::new(format!("file://{}/a%20b%25", setting.root.path().display()));
        setting.fetch(&Artifact { uri, ..setting.artifact() }).expect("fetched");
        assert_eq!(setting.fetched("tool"), "decoded");
    }

    #[test]
    fn an_address_that_nothing_is_fetched_from_ends_it_at_once() {
        let setting = Setting::new();
        let nowhere = setting.root.path().join("nowhere").display().to_string();
        for uri in ["http://127.0.0.1:99999/tool", "http:///tool", "ftp://h/tool", &format!("file://{nowhere}")] {
            let error = setting.fetch(&Artifact { uri: ArtifactUri::new(uri), ..setting.artifact() });
            assert!(error.expect_err("refused").is_permanent(), "{uri}");
        }
    }

    #[test]
    fn a_path_is_the_submissions_and_a_file_system_that_fails_is_the_machines() {
        use rustix::io::Errno;
        let is_wrong = |error: Errno| FetchError::Read(error.into()).is_permanent();
        for error in [Errno::NOENT, Errno::NOTDIR, Errno::ACCESS, Errno::NAMETOOLONG, Errno::LOOP] {
            assert!(is_wrong(error), "{error}");
        }
        for error in [Errno::IO, Errno::STALE, Errno::MFILE, Errno::TIMEDOUT] {
            assert!(!is_wrong(error), "{error}");
        }
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
    fn what_one_account_fetched_no_other_has_from_the_cache() {
        let setting = Setting::new();
        let artifact = Artifact { sha256: Some(sha256("content")), ..setting.artifact() };
        let fetch = |account| setting.fetch_for(&artifact, &loopback(), account);
        fetch(Some(70_001)).expect("fetched");
        fs::remove_file(setting.root.path().join("tool")).expect("removed");
        fetch(Some(70_001)).expect("from the cache");
        for other in [Some(70_002), None] {
            assert!(matches!(fetch(other), Err(FetchError::Read(_))), "{other:?}");
        }
    }

    /// The original belongs to the program's user by the time that it is copied.
    #[test]
    fn what_was_changed_since_it_was_fetched_is_not_kept() {
        let setting = Setting::new();
        let artifact = Artifact { sha256: Some(sha256("content")), ..setting.artifact() };
        let (cache, work) = (setting.root.path().join("cache"), setting.root.path().join("work"));
        let cached = CachedArtifact::find(&cache, &artifact, None).expect("it has a hash");
        let fetched = fetch(&artifact, &work, Some(&cached), &loopback(), &setting.running).expect("fetched");
        fs::write(work.join("tool"), "changed").expect("written");
        cached.keep(fetched);
        assert_eq!(fs::read_dir(&cache).expect("a cache").count(), 0);
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
    const EMPTY: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    const PART: &str = "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nConnection: close\r\n\r\ncon";
    const TO_ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const NO_HTTP: &str = "SSH-2.0-OpenSSH_9.9\r\n\r\n";
    const TO_FILE: &str = "HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\nContent-Length: 3\r\n\r\nhop";
    const TO_FILE_OF_HOST: &str =
        "HTTP/1.1 307 Found\r\nLocation: file://localhost/etc/hostname\r\nContent-Length: 3\r\n\r\nhop";
    const TO_NO_PORT: &str = "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n";
    const TO_NOTHING: &str = "HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nhop";
    const TO_METADATA: &str =
        "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n";
    const TO_FTP: &str = "HTTP/1.1 308 Moved\r\nLocation: ftp://h/tool\r\nContent-Length: 3\r\n\r\nhop";
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
        for answer in [EMPTY, PART, NO_HTTP, TO_FILE, TO_FILE_OF_HOST, TO_NO_PORT, TO_NOTHING, TO_FTP] {
            assert_eq!(fetch(Box::leak(Box::new([answer]))), (true, 1), "{answer}");
            assert_eq!(fs::read_dir(setting.root.path().join("work")).expect("readable").count(), 0, "{answer}");
        }
    }

    #[test]
    fn a_redirect_to_another_address_of_the_web_is_followed_to_an_end() {
        let setting = Setting::new();
        let (uri, serving) = server(&[TO_ELSEWHERE, GOOD]);
        setting.fetch(&Artifact { uri: ArtifactUri::new(uri), ..setting.artifact() }).expect("fetched");
        assert_eq!((setting.fetched("tool").as_str(), serving.join().expect("served")), ("content", 2));
        let (uri, serving) = server(&[TO_ELSEWHERE; REDIRECTS + 1]);
        let error = setting.fetch(&Artifact { uri: ArtifactUri::new(uri), ..setting.artifact() }).expect_err("endless");
        assert!(error.is_permanent(), "{error}");
        assert_eq!(serving.join().expect("served"), REDIRECTS + 1);
    }

    #[test]
    fn a_name_or_a_redirect_that_leads_close_to_the_machine_is_not_dialled() {
        let setting = Setting::new();
        // It would answer.
        let (uri, waiting) = server(&[GOOD]);
        let port = uri.parse::<Uri>().expect("an address").port_u16().expect("a port");
        let hosts = ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]"];
        for host in hosts {
            let uri = ArtifactUri::new(format!("http://{host}:{port}/tool"));
            let refused = setting.fetch_from(&Artifact { uri, ..setting.artifact() }, &ArtifactNetworks::default());
            let refused = refused.expect_err("refused");
            assert!(matches!(refused, FetchError::Request(NOT_ADMITTED, true)), "{host}: {refused}");
        }
        assert!(!waiting.is_finished(), "nobody has called");
        // The server's own address is allowed, and what it redirects to is not.
        let (uri, serving) = server(&[TO_METADATA]);
        let error = setting.fetch(&Artifact { uri: ArtifactUri::new(uri), ..setting.artifact() }).expect_err("refused");
        assert!(matches!(error, FetchError::Request(NOT_ADMITTED, true)), "{error}");
        assert_eq!(serving.join().expect("served"), 1);
    }

    #[test]
    fn a_redirect_out_of_tls_is_seen() {
        let uri = |text: &str| text.parse::<Uri>().expect("an address");
        assert!(leaves_tls(&uri("https://h/a"), &uri("http://h/a")));
        for (from, to) in [("https://h/a", "https://i/a"), ("http://h/a", "https://h/a"), ("http://h/a", "http://h/b")]
        {
            assert!(!leaves_tls(&uri(from), &uri(to)), "{from} {to}");
        }
    }

    #[test]
    fn a_server_that_speaks_another_protocol_is_not_asked_again() {
        let setting = Setting::new();
        let (uri, serving) = server(&[MISSING]);
        let uri = uri.replace("http:", "https:");
        let error = setting.fetch(&Artifact { uri: ArtifactUri::new(uri), ..setting.artifact() }).expect_err("refused");
        assert!(matches!(error, FetchError::Request(NO_TLS, true)), "{error}");
        assert_eq!(serving.join().expect("served"), 1);
    }

    #[test]
    fn the_way_to_a_server_may_be_open_later() {
        use io::ErrorKind;
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::UnexpectedEof, ErrorKind::HostUnreachable] {
            assert!(!request_error(&ureq::Error::Io(kind.into())).is_permanent(), "{kind}");
        }
        assert!(!request_error(&ureq::Error::HostNotFound).is_permanent());
        let certificate = rustls_says_no();
        assert!(request_error(&ureq::Error::Io(certificate)).is_permanent());
    }

    /// As rustls hands an error to whoever reads through it.
    fn rustls_says_no() -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer")
    }

    #[test]
    fn a_kill_stops_a_transfer() {
        let setting = Setting::new();
        setting.running.store(true, Ordering::Relaxed);
        assert!(matches!(setting.fetch(&setting.artifact()), Err(FetchError::Cancelled)));
    }
}
