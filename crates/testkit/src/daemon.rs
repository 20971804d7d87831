//! One process under test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A process that the test started and ends, with its output in a file.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, with both outputs appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> Daemon {
        let file = File::options().create(true).append(true).open(log).expect("the log can be opened");
        let copy = file.try_clone().expect("a file can be cloned");
        // Variables of whoever runs the tests must not reach the daemons; the command's own must.
        let own: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_str().is_some_and(|name| name.starts_with("MUSTER_") && name != "MUSTER_LOG");
            if is_ours && !own.contains(&name) {
                command.env_remove(name);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} starts: {error}"));
        Daemon { child, log: log.to_path_buf() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process takes the signal");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process can be waited for");
    }

    /// Asks it to end, and waits.
    ///
    /// # Panics
    ///
    /// When it has not ended after `bound`.
    pub fn terminate(&mut self, bound: Duration) {
        if self.child.try_wait().expect("the process can be waited for").is_some() {
            return;
        }
        self.signal(Signal::TERM);
        let status = self.wait(bound);
        assert!(status.is_some(), "process {} does not end:\n{}", self.pid(), self.log());
    }

    /// Waits for its end; `None` if that takes longer than `bound`.
    pub fn wait(&mut self, bound: Duration) -> Option<std::process::ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                return Some(status);
            }
            if begin.elapsed() > bound {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its output.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints the ends of the daemons' logs in a folder, for the reader of a failed test.
#[expect(clippy::print_stderr, reason = "a failed test tells what its daemons said")]
pub(crate) fn tell_logs(dir: &Path) {
    let Ok(files) = std::fs::read_dir(dir) else { return };
    for path in files.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "log")) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        eprintln!("--- {}\n{}", path.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
    }
}
