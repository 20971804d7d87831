//! What is done from time to time: logs are bounded, and old files are removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_agent::runner_protocol::KillReason;
use muster_types::AttemptKey;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use tokio::time::MissedTickBehavior;

use crate::attempts::{Attempts, KnownAttempt};
use crate::config::WorkerRetention;
use crate::launch::{AttemptDirectories, in_one_line};
use crate::logs::{CleanedUp, LogPace, STREAMS, Truncations, bound, remove, remove_old_logs};
use crate::runner::{RunnerOrder, RunnerOrders};

/// Time between two looks at the logs of all running attempts. Those that are written to are looked
/// at more often ([`LogPace`]).
const LOOK: Duration = Duration::from_secs(1);

/// Levels of directories that are looked at for what is new: each costs a descriptor, and programs
/// make as many as they like.
const LEVELS: u32 = 64;

/// What the janitor works with.
#[derive(Debug, Clone)]
pub struct Janitor {
    /// The attempts that are known.
    pub attempts: Attempts,
    /// The directories of the attempts.
    pub layout: Arc<AttemptDirectories>,
    /// Counts of truncations.
    pub truncations: Arc<Truncations>,
    /// Ends attempts that write too much where logs cannot be bounded.
    pub orders: RunnerOrders,
    /// What is kept, and for how long.
    pub retention: WorkerRetention,
    /// Whether logs are bounded in place.
    pub punch_hole: bool,
}

impl Janitor {
    /// Bounds the logs of running attempts, and once more those of each that has ended, for ever: a
    /// program may write most of its output just before its end.
    pub async fn bound_logs(self) {
        self.bound_logs_every(LOOK).await;
    }

    async fn bound_logs_every(self, period: Duration) {
        let mut look = tokio::time::interval(period);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = LogPace::start();
        let watch = pace.watch();
        loop {
            let due = pace.next();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = look.tick() => {
                    let running: Vec<_> = self.attempts.running().iter().map(look_at).collect();
                    let ended = self.attempts.take_ended();
                    if !ended.is_empty() {
                        pace.forget(|attempt| ended.contains_key(attempt));
                    }
                    self.clone().look(running, ended, &mut pace).await;
                }
                started = self.attempts.take_started() => {
                    for (attempt, limit) in started {
                        pace.look_soon(attempt, limit);
                    }
                }
                written = watch.written() => pace.note_written(&written),
                () = is_due => {
                    let running = self.attempts.log_limits(&pace.take_due());
                    self.clone().look(running, BTreeMap::new(), &mut pace).await;
                }
            }
        }
    }

    /// Bounds these logs, and has those wait for a write that did not yet.
    async fn look(self, running: Vec<(AttemptKey, u64)>, ended: BTreeMap<AttemptKey, u64>, pace: &mut LogPace) {
        if running.is_empty() && ended.is_empty() {
            return;
        }
        let idle = running.iter().filter(|(attempt, limit)| *limit > 0 && pace.is_idle(attempt));
        let idle: Vec<_> = idle.copied().collect();
        let watch = pace.watch();
        let looking = tokio::task::spawn_blocking(move || {
            self.bound_logs_once(&running, &ended);
            let arm = |(attempt, limit)| (attempt, limit, watch.arm(&self.layout.log_dir(&attempt)));
            idle.into_iter().map(arm).collect::<Vec<_>>()
        });
        // It fails only at the end of the program.
        for (attempt, limit, armed) in looking.await.unwrap_or_default() {
            pace.wait(attempt, limit, armed);
        }
    }

    fn bound_logs_once(&self, running: &[(AttemptKey, u64)], ended: &BTreeMap<AttemptKey, u64>) {
        for (attempt, limit) in running {
            self.bound_logs_of(*attempt, *limit, true);
        }
        for (attempt, limit) in ended {
            self.bound_logs_of(*attempt, *limit, false);
        }
    }

    /// Where logs are not bounded in place, an attempt that runs is ended. The logs of one that has
    /// ended stay as they are there.
    fn bound_logs_of(&self, attempt: AttemptKey, limit: u64, runs: bool) {
        let directory = self.layout.log_dir(&attempt);
        for stream in STREAMS {
            let path = directory.join(stream);
            match bound(&path, limit, self.punch_hole) {
                Ok(size) if runs => {
                    self.truncations.observe(&path, size);
                    if !self.punch_hole && limit > 0 && size > limit {
                        tracing::warn!(%attempt, stream, size, limit, "the output exceeds its bound");
                        // An order that finds no room is given again at the next look.
                        let _ = self.orders.give(RunnerOrder::End(attempt, KillReason::LogLimit));
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%attempt, error = in_one_line(&error), "log is not bounded"),
            }
        }
    }

    /// Removes what is old, for ever.
    pub async fn clean(self) {
        let mut pass = tokio::time::interval(self.retention.interval);
        pass.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first pass waits, since the attempts must be known first.
        pass.tick().await;
        loop {
            pass.tick().await;
            let janitor = self.clone();
            let _ = tokio::task::spawn_blocking(move || janitor.clean_once(SystemTime::now())).await;
        }
    }

    fn clean_once(&self, now: SystemTime) {
        let WorkerRetention { work_age, log_age, log_bytes, cache_bytes, .. } = self.retention;
        let directories = self.layout.directories();
        let may_run = |attempt: &AttemptKey| self.attempts.may_run(attempt);
        tell("logs", remove_old_logs(&directories.logs, log_age, log_bytes, now, may_run));
        for work in directories.work_places() {
            tell("work directories", remove_old(&work, work_age, now, |name| self.may_go(name)));
        }
        tell("cached artifacts", remove_old(&directories.cache, work_age, now, |_| true));
        tell("cached artifacts", remove_surplus(&directories.cache, cache_bytes));
        self.truncations.keep(|directory| directory.parse().is_ok_and(|attempt| self.attempts.may_run(&attempt)));
    }

    /// Whether a directory in the work directory belongs to nothing that runs. An unknown directory
    /// stays.
    fn may_go(&self, name: &str) -> bool {
        if let Ok(attempt) = name.parse::<AttemptKey>() {
            return !self.attempts.may_run(&attempt);
        }
        let application = name.strip_prefix("scratch-").and_then(|uid| uid.parse().ok());
        application.is_some_and(|application| !self.attempts.has_executor_of(application))
    }
}

fn look_at(known: &KnownAttempt) -> (AttemptKey, u64) {
    (known.report.attempt, known.facts.log_limit)
}

fn tell(what: &str, cleaned: io::Result<CleanedUp>) {
    match cleaned {
        Ok(CleanedUp { removed, failed }) => {
            if removed > 0 {
                tracing::info!(count = removed, what, "removed what is old");
            }
            if let Some((count, first)) = failed {
                tracing::warn!(count, error = %first, what, "cannot remove all that is old");
            }
        }
        Err(error) => tracing::warn!(%error, what, "cannot clean up"),
    }
}

/// Removes those entries of a directory that may go and hold nothing newer than `age`. An entry
/// that cannot be removed does not keep the others.
fn remove_old(root: &Path, age: Duration, now: SystemTime, may_go: impl Fn(&str) -> bool) -> io::Result<CleanedUp> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CleanedUp::default()),
        entries => entries?,
    };
    let mut cleaned = CleanedUp::default();
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_str().is_some_and(&may_go) {
            let path = entry.path();
            cleaned.count(is_older(&path, age, now).and_then(|old| if old { remove(&path) } else { Ok(false) }));
        }
    }
    Ok(cleaned)
}

/// Removes the entries of a directory that were used longest ago, for as long as the remaining ones
/// hold more than `bytes`.
fn remove_surplus(root: &Path, bytes: u64) -> io::Result<CleanedUp> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CleanedUp::default()),
        entries => entries?,
    };
    let measured = entries.filter_map(Result::ok).filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.blocks() * 512, entry.path()))
    });
    let mut files: Vec<_> = measured.collect();
    files.sort();
    let mut kept: u64 = files.iter().map(|(_, size, _)| size).sum();
    let mut cleaned = CleanedUp::default();
    for (_, size, path) in files {
        if kept <= bytes {
            break;
        }
        kept -= size;
        cleaned.count(remove(&path));
    }
    Ok(cleaned)
}

/// Whether nothing in it, itself included, was modified within `age`. What is below it is a
/// program's, so no path is opened there: each directory is, from the one above it.
fn is_older(path: &Path, age: Duration, now: SystemTime) -> io::Result<bool> {
    let Some(found) = dated(CWD, path, age, now)? else { return Ok(false) };
    if found.is_directory { holds_older(open_directory(CWD, path), LEVELS, age, now) } else { Ok(true) }
}

/// What is below a directory that is itself old. One that cannot be read belongs to a program that
/// has ended, and holds nothing that is used. What is deeper than the bound is not looked at.
fn holds_older(directory: io::Result<OwnedFd>, levels: u32, age: Duration, now: SystemTime) -> io::Result<bool> {
    let Ok(directory) = directory else { return Ok(true) };
    for entry in Dir::read_from(&directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Some(found) = dated(&directory, name, age, now)? else { return Ok(false) };
        let looks = found.is_directory && levels > 0;
        if looks && !holds_older(open_directory(&directory, name), levels - 1, age, now)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Something that is old.
struct OldEntry {
    is_directory: bool,
}

/// The entry, if it is old. A program can date its files as it likes: for a date in the future, the
/// last change of any kind counts.
fn dated(
    directory: impl AsFd,
    name: impl rustix::path::Arg,
    age: Duration,
    now: SystemTime,
) -> io::Result<Option<OldEntry>> {
    let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
    let (modified, changed) = (time(status.st_mtime), time(status.st_ctime));
    let dated = if modified > now { changed } else { modified };
    let is_old = now.duration_since(dated).is_ok_and(|since| since >= age);
    let is_directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
    Ok(is_old.then_some(OldEntry { is_directory }))
}

fn open_directory(directory: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use muster_types::{
        Acknowledgement, AllocatedResources, AttemptNumber, AttemptState, DriverUid, Exit, Outcome, Report,
    };
    use rustix::process::{Uid, geteuid};
    use rustix::thread::set_thread_res_uid;

    use super::*;
    use crate::attempts::AgentFacts;
    use crate::config::Directories;
    use crate::logs::can_punch;

    const LIMIT: u64 = 64 << 10;

    fn janitor(root: &Path) -> Janitor {
        let path = |name: &str| root.join(name);
        let directories =
            Directories { state: path("state"), work: path("work"), logs: path("logs"), cache: path("cache") };
        let attempts = Attempts::default();
        let (orders, _queue) = RunnerOrders::channel(attempts.clone());
        let retention = WorkerRetention {
            interval: Duration::from_secs(1),
            work_age: Duration::ZERO,
            log_age: Duration::ZERO,
            log_bytes: 0,
            cache_bytes: 0,
        };
        let layout =
            Arc::new(AttemptDirectories::make(directories, crate::accounts::Accounts::default()).expect("made"));
        Janitor { attempts, layout, truncations: Arc::default(), orders, retention, punch_hole: true }
    }

    fn facts(_: &AttemptKey) -> AgentFacts {
        AgentFacts { leased: false, log_limit: LIMIT }
    }

    fn report(state: AttemptState, sequence: u64) -> Report {
        Report {
            attempt: AttemptKey::Driver(DriverUid(1), AttemptNumber(1)),
            sequence,
            state,
            pid: None,
            started: None,
            ended: None,
            resources: AllocatedResources::default(),
            id: "d".into(),
        }
    }

    /// No regular look comes here after the first, so what is bounded was looked at for its growth.
    #[tokio::test]
    async fn a_log_is_bounded_when_it_grows_without_waiting_for_the_next_look() {
        let root = tempfile::tempdir().expect("a directory");
        if !can_punch(root.path()) {
            return;
        }
        let janitor = janitor(root.path());
        let report = report(AttemptState::Running, 1);
        let log = janitor.layout.log_dir(&report.attempt).join("stdout");
        fs::create_dir_all(log.parent().expect("a directory")).expect("made");
        fs::write(&log, "").expect("made");
        let bounding = tokio::spawn(janitor.clone().bound_logs_every(Duration::from_secs(1 << 20)));
        tokio::task::yield_now().await;
        janitor.attempts.take(std::slice::from_ref(&report), facts);
        let patience = tokio::time::Instant::now() + Duration::from_secs(30);
        for round in 1..=5 {
            let mut file = fs::File::options().append(true).open(&log).expect("opened");
            io::Write::write_all(&mut file, &vec![b'x'; 4 << 20]).expect("written");
            let blocks = || fs::metadata(&log).expect("there").blocks() * 512;
            while blocks() > 2 * LIMIT {
                assert!(tokio::time::Instant::now() < patience, "{} bytes are on the disk in round {round}", blocks());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        bounding.abort();
    }

    #[test]
    fn the_logs_of_an_attempt_that_ended_between_two_looks_are_bounded() {
        let root = tempfile::tempdir().expect("a directory");
        if !can_punch(root.path()) {
            return;
        }
        let janitor = janitor(root.path());
        let attempts = janitor.attempts.clone();
        let report = report(AttemptState::Ended(Outcome::exited(Exit::Code(0))), 2);
        let attempt = report.attempt;
        let log = janitor.layout.log_dir(&attempt).join("stdout");
        fs::create_dir_all(log.parent().expect("a directory")).expect("made");
        fs::write(&log, vec![b'x'; 4 << 20]).expect("written");
        attempts.take(std::slice::from_ref(&report), facts);
        // Its end is durable before the next look, and is reported again.
        attempts.forget(&Acknowledgement { attempt, sequence: 2 });
        janitor.bound_logs_once(&[], &attempts.take_ended());
        let kept = fs::metadata(&log).expect("there");
        assert_eq!(kept.len(), 4 << 20, "offsets stay what they are");
        assert!(kept.blocks() * 512 <= 128 << 10, "{} blocks", kept.blocks());
        attempts.take(std::slice::from_ref(&report), facts);
        attempts.replace(vec![report], facts);
        assert_eq!(attempts.take_ended().len(), 1, "an end is looked at once");
        assert!(attempts.take_ended().is_empty());
    }

    /// Acts without the rights of root, on a folder that is given to nobody.
    fn as_nobody<T: Send>(folder: &Path, act: impl FnOnce() -> T + Send) -> T {
        fn give(path: &Path) {
            std::os::unix::fs::lchown(path, Some(65_534), None).expect("given away");
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                give(&entry.path());
            }
        }
        if !geteuid().is_root() {
            return act();
        }
        give(folder);
        let nobody = Uid::from_raw(65_534);
        let acting = || {
            set_thread_res_uid(nobody, nobody, nobody).expect("of this thread alone");
            act()
        };
        std::thread::scope(|scope| scope.spawn(acting).join().expect("done"))
    }

    #[test]
    fn what_is_old_goes_unless_something_in_it_is_new_or_it_must_stay() {
        let root = tempfile::tempdir().expect("a directory");
        let later = SystemTime::now() + Duration::from_secs(3_600);
        for name in ["old", "kept", "new"] {
            fs::create_dir(root.path().join(name)).expect("made");
        }
        let file = fs::File::create(root.path().join("new/file")).expect("made");
        file.set_modified(later - Duration::from_secs(1)).expect("dated");
        let age = Duration::from_secs(60);
        assert_eq!(remove_old(root.path(), age, later, |name| name != "kept").expect("done").removed, 1);
        assert!(!root.path().join("old").exists());
        assert!(root.path().join("kept").exists() && root.path().join("new").exists());
    }

    #[test]
    fn what_a_program_made_hard_to_remove_goes_too_and_keeps_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        let later = SystemTime::now() + Duration::from_secs(3_600);
        let age = Duration::from_secs(60);
        for number in 0..10 {
            let inner = root.path().join(format!("{number}/inner"));
            fs::create_dir_all(&inner).expect("made");
            let file = fs::File::create(inner.join("file")).expect("made");
            file.set_modified(later + age).expect("dated");
            for path in [&inner, &root.path().join(number.to_string())] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o500)).expect("locked");
            }
        }
        // Root needs no permission, so another user removes them.
        let cleaned = as_nobody(root.path(), || remove_old(root.path(), age, later, |_| true)).expect("done");
        assert_eq!((cleaned.removed, cleaned.failed.is_none()), (10, true), "{cleaned:?}");
    }

    #[test]
    fn what_cannot_be_removed_keeps_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        let later = SystemTime::now() + Duration::from_secs(3_600);
        let disks: Vec<_> = ["a", "z"].iter().map(|name| root.path().join(name)).collect();
        for number in 0..10 {
            fs::create_dir(root.path().join(format!("n{number}"))).expect("made");
        }
        for disk in &disks {
            fs::create_dir(disk).expect("made");
            let mounted = rustix::mount::mount("tmpfs", disk, "tmpfs", rustix::mount::MountFlags::empty(), None);
            if muster_testenv::lacks("mount", mounted.is_ok()) {
                return;
            }
        }
        let cleaned = remove_old(root.path(), Duration::from_secs(60), later, |_| true);
        for disk in &disks {
            rustix::mount::unmount(disk, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
        }
        let cleaned = cleaned.expect("done");
        assert_eq!((cleaned.removed, cleaned.failed.map(|(count, _)| count)), (10, Some(2)));
    }

    #[test]
    fn the_cache_is_bounded_and_loses_first_what_was_used_longest_ago() {
        let root = tempfile::tempdir().expect("a directory");
        for number in 0..4 {
            let path = root.path().join(number.to_string());
            fs::write(&path, vec![1; 8_192]).expect("written");
            let file = fs::File::options().write(true).open(&path).expect("opened");
            file.set_modified(SystemTime::now() - Duration::from_secs(100 - number)).expect("dated");
        }
        assert_eq!(remove_surplus(root.path(), 20_000).expect("done").removed, 2);
        let mut left: Vec<_> = fs::read_dir(root.path()).expect("readable").flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["2", "3"]);
    }
}
