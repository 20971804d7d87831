//! A wrong start is answered with one clear line, and an exit code that tells whose mistake it was.

#![allow(clippy::panic, reason = "a test that cannot go on fails")]

use std::fs::{self, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A worker that ends by itself takes less, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails if the worker goes on instead of saying what is wrong.
fn start(args: &[&str]) -> Output {
    let state = tempfile::tempdir().expect("a directory");
    start_on(state.path(), args, None)
}

/// The same, on this state directory and as this user.
fn start_on(state: &Path, args: &[&str], user: Option<u32>) -> Output {
    let state_dir = ["--state-dir", state.to_str().expect("text")];
    // Another user may not be able to go to where the program is, so it is started by descriptor.
    let program = fs::File::open(env!("CARGO_BIN_EXE_muster-worker")).expect("it was built");
    rustix::io::fcntl_setfd(&program, rustix::io::FdFlags::empty()).expect("it is open");
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    // Programs of the worker's own user need nothing of the directories above.
    let own = user.unwrap_or_else(|| rustix::process::geteuid().as_raw()).to_string();
    command
        .args(state_dir)
        .args(["--run-as", &own])
        .args(args)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user);
    }
    let mut worker = command.spawn().expect("it can be started");
    let begin = Instant::now();
    while worker.try_wait().expect("it is our child").is_none() {
        if begin.elapsed() > PATIENCE {
            worker.kill().expect("it is our child");
            worker.wait().expect("it is our child");
            let stop = Command::new(env!("CARGO_BIN_EXE_muster-worker")).arg("stop").args(state_dir).status();
            panic!("{:?} is taken; its runner was stopped: {stop:?}", &args[..args.len().min(4)]);
        }
        thread::sleep(Duration::from_millis(5));
    }
    worker.wait_with_output().expect("it has ended")
}

fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: "), "{text}");
    text
}

#[test]
fn a_directory_whose_name_is_no_text_in_one_line_is_refused() {
    for flag in ["--work-dir", "--log-dir"] {
        let output = start(&[flag, "/tmp/one\nMUSTER_MARK=two"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(flag) && said.contains("control characters"), "{said}");
        assert!(!said.contains("\nMUSTER_MARK"), "{said}");
    }
}

#[test]
fn a_bad_value_is_named_with_what_would_be_right() {
    let (long, longer) = ("V".repeat(254), "V".repeat(301));
    let (long_value, long_name) = (format!("zone={}", &long[..64]), format!("{}=x", &long[..64]));
    let cases = [
        (["--memory", "5X"], "--memory 5X: unknown unit 'X'; write K, M, G or T"),
        (["--memory", "2GB"], "--memory 2GB: unknown unit 'GB'; write K, M, G or T"),
        (["--cleanup-age", "5"], "--cleanup-age 5: a unit is missing; write 5s for seconds"),
        (["--cores", "0"], "--cores 0: at least 1"),
        (["--cores", "many"], "--cores many: a whole number of cores is expected"),
        (["--cores", "1.5"], "--cores 1.5: a whole number of cores is expected"),
        (["--listen", "0.0.0.0:1"], "--insecure-listen"),
        (["--label", "x"], "--label x: expected NAME=VALUE"),
        (["--label", "A B=c"], "--label A B=c: expected NAME=VALUE with a name of 1 to 63 letters"),
        (["--label", long_value.as_str()], "a value of at most 63 bytes"),
        (["--label", "zone=a\nb"], "without control characters"),
        (["--name", "a b"], "--name a b: expected 1 to 63 letters"),
        (["--host", long.as_str()], "no master would take this worker: host: is too long"),
        (["--advertise", longer.as_str()], "address: is too long"),
        (["--variable", "java=x"], "--variable java=x: expected NAME=VALUE with a name of 1 to 63 upper-case"),
        (["--variable", long_name.as_str()], "a name of 1 to 63 upper-case"),
        (["--variable", "CORES=77"], "--variable CORES: Muster gives this one itself"),
        (["--variable", "LABEL_A=x"], "--variable LABEL_A: Muster gives this one itself"),
        (["--variable", "EXECUTOR_ID=x"], "--variable EXECUTOR_ID: Muster gives this one itself"),
        (["--resource", "GPU=0"], "--resource GPU=0"),
        (["--resource", "gpu=0,0"], "different addresses"),
        (["--resource-script", "gpu=/nonexistent"], "cannot run the resource script /nonexistent"),
        (["--limits", "maybe"], "expected on or off"),
        (["--master", "here"], "expected HOST:PORT"),
        (["--cleanup-interval", "0"], "more than 0"),
        (["--log-keep", "1h30"], "--log-keep 1h30: a unit is missing; write 30s for seconds"),
        (["--runner", "/nonexistent"], "--runner /nonexistent: no such file"),
        (["--config", "/nonexistent"], "cannot read /nonexistent"),
        (["--speed", "1"], "unexpected argument '--speed' found"),
    ];
    // The number of labels and of variables is bounded, too.
    let many = |flag, sign: char| (0..257).flat_map(move |n| [format!("--{flag}"), format!("{sign}{n}=x")]);
    for flag in ["label", "variable"] {
        let args: Vec<String> = many(flag, 'V').collect();
        let line = one_line(&start(&args.iter().map(String::as_str).collect::<Vec<_>>()));
        assert!(line.contains("no master would take this worker") && line.contains("more than"), "{line}");
    }
    for (args, expected) in cases {
        let output = start(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let line = one_line(&output);
        assert!(line.contains(expected), "{args:?}: {line}");
    }
}

#[test]
fn a_file_fills_in_what_flags_do_not_say_and_is_checked_as_strictly() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("worker.toml");
    let path = file.to_str().expect("text");
    std::fs::write(&file, "memory = \"1GiB\"\nspeed = 1\n").expect("written");
    assert!(one_line(&start(&["--config", path])).contains("unknown field `speed`"));
    std::fs::write(&file, "cores = 0\n").expect("written");
    assert!(one_line(&start(&["--config", path])).contains("--cores 0"));
    std::fs::write(&file, "cores = 0\nlimits = \"maybe\"\n").expect("written");
    assert!(one_line(&start(&["--config", path, "--cores", "1"])).contains("--limits maybe"));
}

#[test]
fn a_runner_that_cannot_serve_is_the_machines_fault() {
    let broken = ["/bin/false", "/usr/bin/false"].into_iter().find(|path| Path::new(path).exists()).expect("false");
    let output = start(&["--runner", broken, "--log", "error"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(one_line(&output).contains("ended with exit status: 1"));
}

#[test]
fn stopping_what_does_not_run_is_done() {
    let state = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_muster-worker"))
        .args(["stop", "--state-dir", state.path().to_str().expect("text")])
        .output()
        .expect("it can be started");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_worker_that_serves_is_not_stopped_and_says_what_to_do_instead() {
    for (held, expected) in [("agent.lock", "end it first, with a TERM"), ("process-one.lock", "send process 1 a TERM")]
    {
        let state = tempfile::tempdir().expect("a directory");
        let lock = std::fs::File::create(state.path().join(held)).expect("made");
        lock.try_lock().expect("free");
        let output = Command::new(env!("CARGO_BIN_EXE_muster-worker"))
            .args(["stop", "--state-dir", state.path().to_str().expect("text")])
            .output()
            .expect("it can be started");
        assert_eq!(output.status.code(), Some(1));
        assert!(one_line(&output).contains(expected), "{output:?}");
    }
}

const NOBODY: u32 = 65_534;
/// A start that goes as far as the runner and no further.
const BROKEN: [&str; 4] = ["--runner", "/bin/false", "--log", "error"];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

/// The users who start a worker here: this one, and one without rights where this one is root.
fn users() -> Vec<Option<u32>> {
    match muster_testenv::lacks("root", rustix::process::geteuid().is_root()) {
        true => vec![None],
        false => vec![None, Some(NOBODY)],
    }
}

#[test]
fn a_directory_that_is_not_the_workers_own_is_refused_and_left_as_it_was() {
    for user in users() {
        for (before, file) in [(0o1777, None), (0o777, None), (0o755, Some(".bashrc")), (0o700, Some(".bashrc"))] {
            let parent = tempfile::tempdir().expect("a directory");
            set_mode(parent.path(), 0o755);
            let directory = parent.path().join("home");
            fs::create_dir(&directory).expect("made");
            if let Some(name) = file {
                fs::write(directory.join(name), "").expect("written");
            }
            set_mode(&directory, before);
            chown(&directory, user, None).expect("given");
            let own = directory.join("muster");
            // The folders of work and logs are for others to read, whatever else is there.
            let elsewhere = parent.path().join("state");
            fs::create_dir(&elsewhere).expect("made");
            chown(&elsewhere, user, None).expect("given");
            let (named, work) = (directory.to_str().expect("text"), elsewhere.join("work"));
            let mut starts = vec![start_on(&directory, &BROKEN, user)];
            if file.is_none() {
                for (work, logs) in [(named, named), (work.to_str().expect("text"), named)] {
                    starts.push(start_on(
                        &elsewhere,
                        &[&BROKEN[..], &["--work-dir", work, "--log-dir", logs]].concat(),
                        user,
                    ));
                }
            }
            for output in starts {
                assert_eq!(output.status.code(), Some(1), "{output:?}");
                let line = one_line(&output);
                assert!(line.contains(&format!("such as {}", own.display())), "{line}");
            }
            let left = fs::read_dir(&directory).expect("readable").count();
            assert_eq!((mode(&directory), left), (before, usize::from(file.is_some())));
            // What the line says helps: now it is the runner that is at fault.
            let line = one_line(&start_on(&own, &BROKEN, user));
            assert!(line.contains("ended with exit status: 1"), "{line}");
            assert_eq!((mode(&own), mode(&directory)), (0o700, before));
        }
    }
}

#[test]
fn a_worker_takes_its_own_directory_and_an_empty_volume() {
    for user in users() {
        for (before, file) in [(0o755, Some("agent.lock")), (0o755, None), (0o2775, None), (0o750, Some("identity"))] {
            let state = tempfile::tempdir().expect("a directory");
            fs::create_dir(state.path().join("lost+found")).expect("made");
            set_mode(state.path(), before);
            chown(state.path(), user, None).expect("given");
            if file.is_some() {
                one_line(&start_on(state.path(), &BROKEN, user));
                fs::write(state.path().join("notes"), "").expect("written");
                set_mode(state.path(), before);
            }
            let line = one_line(&start_on(state.path(), &BROKEN, user));
            assert!(line.contains("ended with exit status: 1"), "{line}");
            assert_eq!(mode(state.path()), 0o700);
        }
    }
    if muster_testenv::lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    // A volume of root's that is given to the worker by its group.
    for (before, taken) in [(0o2770, true), (0o2775, false)] {
        let state = tempfile::tempdir().expect("a directory");
        set_mode(state.path(), before);
        let line = one_line(&start_on(state.path(), &BROKEN, Some(NOBODY)));
        assert_eq!(line.contains("ended with exit status: 1"), taken, "{line}");
        assert_eq!(line.contains("chmod o-rwx"), !taken, "{line}");
        assert_eq!(mode(state.path()), before);
    }
}
