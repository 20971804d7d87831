//! Artifacts from files and servers of this machine.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::rc::Rc;

use muster_testenv::SmallDisk;
use muster_types::ArtifactUri;
use sha2::{Digest as _, Sha256};
use ureq::http::Uri;

use super::download::{NO_TLS, NOT_ADMITTED, REDIRECTS, leaves_tls, request_error};
use super::transfer::{NotTooSlow, copy, hex};
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
    assert!(matches!(&result, Err(FetchError::Broken(error)) if error.to_string().contains("64 KiB")), "{result:?}");
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
    for (from, to) in [("https://h/a", "https://i/a"), ("http://h/a", "https://h/a"), ("http://h/a", "http://h/b")] {
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
