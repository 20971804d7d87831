//! The program itself: its exit codes, its one line of error, its signals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-master"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The exit code and the only line of standard error.
fn refused(output: &Output) -> (i32, String) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "one clear line: {text}");
    (output.status.code().unwrap(), lines[0].to_owned())
}

/// What is left of a start that must fail; one that is taken is killed.
fn ended(mut command: Command) -> Output {
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it is taken");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// A master that serves. It is killed on drop.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(dir: &Path) -> (Serving, String) {
    let file = dir.join("address");
    let state = dir.join("state");
    let args = ["--listen", "127.0.0.1:0", "--log", "warn", "--state-dir", state.to_str().unwrap()];
    let mut child = Serving(program(&args).arg("--address-file").arg(&file).spawn().unwrap());
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "ready in time");
        assert_eq!(child.0.try_wait().unwrap(), None, "it goes on");
        std::thread::sleep(Duration::from_millis(2));
    }
    (child, std::fs::read_to_string(&file).unwrap().trim().to_owned())
}

/// What a page of the HTTP port answers, head and body.
fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn probes_over_http_learn_of_life_at_once_and_of_readiness_when_calls_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("address"), dir.path().join("state"));
    let args = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state-dir", state.to_str().unwrap()];
    let mut child = Serving(program(&args).arg("--address-file").arg(&file).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().contains("serving HTTP on")).unwrap().unwrap();
    let address = line.rsplit(' ').next().unwrap().to_owned();
    assert!(page(&address, "/healthz").starts_with("HTTP/1.1 200 "));
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "ready in time");
        std::thread::sleep(Duration::from_millis(2));
    }
    let ready = page(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 "), "the address file says the same: {ready}");

    let output = program(&["--listen", "127.0.0.1:0", "--http", &address, "--log", "off", "--store", "memory:"])
        .arg("--state-dir")
        .arg(dir.path().join("other"))
        .output();
    let (code, line) = refused(&output.unwrap());
    assert_eq!(code, 1);
    assert!(line.starts_with(&format!("error: cannot listen on {address}")), "{line}");
}

#[test]
fn a_port_that_is_used_and_a_store_that_is_locked_are_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let (serving, address) = serve(dir.path());
    let other = dir.path().join("other");
    let output = program(&["--listen", &address, "--log", "off", "--state-dir", other.to_str().unwrap()]).output();
    let (code, line) = refused(&output.unwrap());
    assert_eq!(code, 1);
    assert!(line.starts_with(&format!("error: cannot listen on {address}")), "{line}");

    let state = dir.path().join("state");
    let output = program(&["--listen", "127.0.0.1:0", "--log", "off", "--state-dir", state.to_str().unwrap()]).output();
    let (code, line) = refused(&output.unwrap());
    assert_eq!(code, 1);
    assert!(line.contains(&format!("in use by process {}", serving.0.id())), "{line}");
}

#[test]
fn a_directory_that_cannot_be_made_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = program(&["--listen", "127.0.0.1:0", "--log", "off", "--state-dir", file.to_str().unwrap()]).output();
    let (code, line) = refused(&output.unwrap());
    assert_eq!(code, 1);
    assert!(line.starts_with("error: cannot use the store directory"), "{line}");
}

#[test]
fn a_directory_that_is_not_the_stores_own_is_refused_and_left_as_it_was() {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for (before, file) in [(0o1777, None), (0o755, Some("records.old"))] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shared");
        std::fs::create_dir(&path).unwrap();
        if let Some(file) = file {
            std::fs::write(path.join(file), "").unwrap();
        }
        std::fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
        let store = format!("embedded:{}", path.display());
        let (code, line) = refused(&ended(program(&["--listen", "127.0.0.1:0", "--log", "off", "--store", &store])));
        assert_eq!(code, 1);
        assert!(line.contains(&format!("such as {}/muster", path.display())), "{line}");
        assert_eq!((mode(&path), std::fs::read_dir(&path).unwrap().count()), (before, usize::from(file.is_some())));
        // A state directory is not the store itself, which is made within it.
        let state = path.join("muster");
        std::fs::create_dir(&state).unwrap();
        let (serving, _) = serve(&state);
        assert_eq!((mode(&state.join("state/store")), mode(&path)), (0o700, before));
        drop(serving);
    }
}

#[test]
fn bad_usage_is_exit_code_two() {
    let in_the_clear = ["--listen", "0.0.0.0:0", "--tls", "false"];
    for args in [&["--nope"][..], &["--heartbeat", "never"], &in_the_clear, &["--store", "etcd:x"]] {
        let (code, line) = refused(&program(args).output().unwrap());
        assert_eq!(code, 2, "{args:?}");
        assert!(line.starts_with("error: "), "{line}");
    }
    let help = program(&["--help"]).output().unwrap();
    assert!(help.status.success() && help.stderr.is_empty());
}

#[test]
fn told_to_stop_it_ends_well_and_starts_again_on_its_records() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (mut serving, _) = serve(dir.path());
        let pid = rustix::process::Pid::from_child(&serving.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let began = Instant::now();
        assert!(serving.0.wait().unwrap().success());
        assert!(began.elapsed() < Duration::from_secs(3));
        std::fs::remove_file(dir.path().join("address")).unwrap();
    }
}

#[test]
fn a_step_of_a_rotation_that_comes_too_early_fails() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    let run = |args: [&str; 2]| ended(program(&[args[0], args[1], pki.to_str().unwrap()]));
    assert!(run(["init", "--out"]).status.success());
    assert!(run(["rotate-ca", "--pki"]).status.success());
    let early = run(["rotate-ca", "--pki"]);
    assert!(early.stdout.is_empty());
    let (code, line) = refused(&early);
    assert!(code == 1 && line.contains("nothing was done: the next step is due in "), "{code}: {line}");
}
