//! One daemon of the cluster.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::layout::ClusterLayout;
use super::process::ProcessName;
use super::{UpError, logs};

/// How long a daemon may take to shut down before it is killed. It does not end what runs on the
/// cluster, so it is quick.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// How often a file that says "ready" is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// A daemon, and how it is started.
#[derive(Debug, Clone)]
pub(crate) struct DaemonSpec {
    /// `master`, `worker-1`, ….
    pub(crate) name: String,
    program: PathBuf,
    args: Vec<OsString>,
    address: PathBuf,
    /// The address of a program that does not write an address file.
    known: Option<String>,
    pid: PathBuf,
    log: PathBuf,
}

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct RunningDaemon {
    child: Child,
    held: Option<super::process::ProcessRef>,
    /// When it was started.
    pub(crate) since: Instant,
    /// The length of its log when it was started.
    pub(crate) log_from: u64,
}

impl DaemonSpec {
    /// A part with its state, address and log in the usual places.
    pub(crate) fn new(layout: &ClusterLayout, name: &str, program: &Path, args: Vec<OsString>) -> DaemonSpec {
        let mut all: Vec<OsString> = vec!["--state-dir".into(), layout.state(name).into()];
        all.extend(["--address-file".into(), layout.address(name).into()]);
        all.extend(args);
        DaemonSpec {
            name: name.to_owned(),
            program: program.to_path_buf(),
            args: all,
            address: layout.address(name),
            known: None,
            pid: layout.pid(name),
            log: layout.log(name),
        }
    }

    /// A program that is not Muster's. It gets only these arguments, and listens on `address`.
    pub(crate) fn foreign(
        layout: &ClusterLayout,
        name: &str,
        program: &Path,
        args: Vec<OsString>,
        address: String,
    ) -> DaemonSpec {
        DaemonSpec { args, known: Some(address), ..DaemonSpec::new(layout, name, program, Vec::new()) }
    }

    /// Starts it in a process group of its own, so that Ctrl-C in the terminal reaches only this
    /// process, which ends the parts in order.
    pub(crate) fn start(&self) -> Result<RunningDaemon, UpError> {
        let file = |error| UpError::File(self.log.clone(), error);
        let log = logs::open(&self.log).map_err(file)?;
        let copy = log.try_clone().map_err(file)?;
        let log_from = logs::size(&self.log);
        match &self.known {
            Some(address) => std::fs::write(&self.address, format!("{address}\n"))
                .map_err(|error| UpError::File(self.address.clone(), error))?,
            // The new process writes the file again when it is ready.
            None => drop(std::fs::remove_file(&self.address)),
        }
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(log).stderr(copy).process_group(0);
        scrub(&mut command);
        // A file shows no colours.
        command.env("NO_COLOR", "1");
        let child = command.spawn().map_err(|error| UpError::Start(self.program.clone(), error))?;
        let name = child.id().and_then(|pid| ProcessName::of(i32::try_from(pid).ok()?));
        if let Some(name) = name {
            std::fs::write(&self.pid, format!("{name}\n")).map_err(|error| UpError::File(self.pid.clone(), error))?;
        }
        Ok(RunningDaemon { child, held: name.and_then(ProcessName::hold), since: Instant::now(), log_from })
    }

    /// Waits until it has written its address.
    pub(crate) async fn ready(&self, running: &mut RunningDaemon, bound: Duration) -> Result<String, UpError> {
        self.ready_when(running, bound, async || self.said_address()).await
    }

    /// Waits until `address` returns its address.
    pub(crate) async fn ready_when(
        &self,
        running: &mut RunningDaemon,
        bound: Duration,
        address: impl AsyncFn() -> Option<String>,
    ) -> Result<String, UpError> {
        let end = Instant::now() + bound;
        loop {
            if let Some(address) = address().await {
                return Ok(address);
            }
            tokio::select! {
                status = running.ended() => {
                    return Err(UpError::Ended(self.name.clone(), status, self.last_words(running)));
                }
                () = sleep(LOOK) => {}
            }
            if Instant::now() > end {
                return Err(UpError::NotReady(self.name.clone(), bound, self.last_words(running)));
            }
        }
    }

    /// Waits until one of several parts has written its address. It fails when any of them ends
    /// first.
    pub(crate) async fn first_ready(
        parts: &mut [(DaemonSpec, RunningDaemon)],
        bound: Duration,
    ) -> Result<String, UpError> {
        let end = Instant::now() + bound;
        loop {
            for (part, running) in parts.iter_mut() {
                if let Some(address) = part.said_address() {
                    return Ok(address);
                }
                if let Some(status) = running.has_ended() {
                    return Err(UpError::Ended(part.name.clone(), status, part.last_words(running)));
                }
            }
            if Instant::now() > end {
                let names: Vec<&str> = parts.iter().map(|(part, _)| part.name.as_str()).collect();
                let words: Vec<String> = parts.iter().map(|(part, running)| part.last_words(running)).collect();
                return Err(UpError::NotReady(names.join(", "), bound, words.join("\n")));
            }
            sleep(LOOK).await;
        }
    }

    fn said_address(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.address).ok().filter(|text| text.ends_with('\n'))?;
        Some(text.trim().to_owned())
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self, running: &RunningDaemon) -> String {
        logs::last_lines(&self.log, running.log_from, 5)
    }

    /// The last lines of its log that are errors; other lines do not explain an end.
    pub(crate) fn last_errors(&self, running: &RunningDaemon) -> String {
        let words = logs::last_lines(&self.log, running.log_from, 50);
        let errors: Vec<&str> = words.lines().filter(|line| is_error(line)).collect();
        errors[errors.len().saturating_sub(3)..].join("\n")
    }

    /// Removes the files that name its process and its address.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(&self.pid);
        let _ = std::fs::remove_file(&self.address);
    }
}

impl RunningDaemon {
    /// Waits for its end; `None` when the status cannot be read.
    pub(crate) async fn ended(&mut self) -> Option<ExitStatus> {
        // A failed wait counts as an end. It does not happen, because the child is ours.
        self.child.wait().await.ok()
    }

    /// Whether it has ended, and how.
    fn has_ended(&mut self) -> Option<Option<ExitStatus>> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(Some(status)),
            Err(_) => Some(None),
        }
    }

    /// Shuts it down, and kills it when it takes too long.
    pub(crate) async fn end(mut self) {
        if let Some(held) = &self.held {
            held.signal(Signal::TERM);
        }
        if timeout(SHUTDOWN, self.child.wait()).await.is_err() {
            // An error means that it has ended by itself.
            let _ = self.child.kill().await;
        }
    }
}

fn is_error(line: &str) -> bool {
    let ours = line.starts_with("error:") || line.contains(" ERROR ") || line.contains("panicked at");
    ours || [r#""level":"error""#, r#""level":"fatal""#, r#""level":"panic""#].iter().any(|level| line.contains(level))
}

/// Removes our own variables: a daemon gets its settings on its command line, and the variables of
/// our caller are meant for this process.
fn scrub(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        // etcd refuses a setting that is given both in the environment and on its command line.
        let theirs = text.starts_with("ETCD_") && text != "ETCD_UNSUPPORTED_ARCH";
        if theirs || (text.starts_with("MUSTER_") && text != "MUSTER_LOG") {
            command.env_remove(name);
        }
    }
}
