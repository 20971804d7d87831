//! When a log is looked at beside the regular looks: a little after it is written to. The kernel
//! tells of the first write after a look (inotify), so a log that nobody writes to costs nothing,
//! and one that is written to all the time costs a look per pause.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_types::AttemptKey;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::STREAMS;

/// Bytes per millisecond of a fast writer: 2 GiB/s, about what a program appends to the page cache.
/// Between a write and the look after it such a one adds no more than its limit.
const FAST: u64 = 2 << 20;
/// The least pause, which lets a log with a small limit exceed it by some MiB, and keeps looks
/// rare.
const MIN_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause: that of the regular looks.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long after a write a log with this limit is looked at.
fn pause(limit: u64) -> Duration {
    Duration::from_millis(limit / FAST).clamp(MIN_PAUSE, MAX_PAUSE)
}

/// Which logs are looked at next, and which wait for a write.
#[derive(Debug)]
pub struct LogPace {
    watch: LogWatch,
    due: BTreeMap<AttemptKey, Instant>,
    /// The limits of those that wait for a write.
    armed: BTreeMap<AttemptKey, u64>,
    watched: BTreeMap<i32, AttemptKey>,
}

/// The kernel's list of the files that wait for a write. Cheap to clone: all clones are one list.
#[derive(Debug, Clone)]
pub struct LogWatch(Option<Arc<AsyncFd<OwnedFd>>>);

/// The watches of an attempt's logs.
pub type Armed = Vec<i32>;

impl LogPace {
    /// Nothing is due. Without inotify there are the regular looks alone.
    pub fn start() -> LogPace {
        let watch = LogWatch::new().unwrap_or_else(|error| {
            tracing::warn!(%error, "no inotify: logs are looked at each second, however fast they grow");
            LogWatch(None)
        });
        LogPace { watch, due: BTreeMap::new(), armed: BTreeMap::new(), watched: BTreeMap::new() }
    }

    /// What tells of writes.
    pub fn watch(&self) -> LogWatch {
        self.watch.clone()
    }

    /// Has an attempt looked at a pause from now, or when it already is to be.
    pub fn look_soon(&mut self, attempt: AttemptKey, limit: u64) {
        if limit > 0 {
            self.due.entry(attempt).or_insert_with(|| Instant::now() + pause(limit));
        }
    }

    /// When the next is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Takes those that are due.
    pub fn take_due(&mut self) -> Vec<AttemptKey> {
        let now = Instant::now();
        let (taken, left) = std::mem::take(&mut self.due).into_iter().partition(|(_, due)| *due <= now);
        let taken: BTreeMap<_, _> = taken;
        self.due = left;
        taken.into_keys().collect()
    }

    /// Whether an attempt neither is to be looked at nor waits for a write.
    pub fn is_idle(&self, attempt: &AttemptKey) -> bool {
        !self.due.contains_key(attempt) && !self.armed.contains_key(attempt)
    }

    /// Notes the watches of an attempt that waits for a write from now on.
    pub fn wait(&mut self, attempt: AttemptKey, limit: u64, armed: Armed) {
        if !armed.is_empty() {
            self.armed.insert(attempt, limit);
            self.watched.extend(armed.into_iter().map(|watch| (watch, attempt)));
        }
    }

    /// Notes that the files of these watches were written to, or are gone.
    pub fn note_written(&mut self, written: &[i32]) {
        for watch in written {
            // The kernel has lost some: the next regular look has all of them wait anew.
            if *watch < 0 {
                self.armed.clear();
            }
            let Some(attempt) = self.watched.remove(watch) else { continue };
            if let Some(limit) = self.armed.remove(&attempt) {
                self.look_soon(attempt, limit);
            }
        }
    }

    /// Forgets attempts that have ended.
    pub fn forget(&mut self, has_ended: impl Fn(&AttemptKey) -> bool) {
        self.due.retain(|attempt, _| !has_ended(attempt));
        self.armed.retain(|attempt, _| !has_ended(attempt));
        let watch = self.watch.clone();
        self.watched.retain(|number, attempt| {
            let ended = has_ended(attempt);
            if ended {
                watch.disarm(*number);
            }
            !ended
        });
    }
}

impl LogWatch {
    fn new() -> io::Result<LogWatch> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd keeps its descriptor open, which its successor has its caller promise"
        )]
        let inotify = AsyncFd::new(inotify)?;
        Ok(LogWatch(Some(Arc::new(inotify))))
    }

    /// Has the logs in a directory wait for their next write; none where the kernel has no room for
    /// more. Blocks on the disk.
    pub fn arm(&self, directory: &Path) -> Armed {
        let Some(inotify) = &self.0 else { return Armed::new() };
        let flags = WatchFlags::MODIFY | WatchFlags::ONESHOT | WatchFlags::DONT_FOLLOW;
        let arm = |stream| inotify::add_watch(inotify.get_ref(), directory.join(stream), flags).ok();
        STREAMS.into_iter().filter_map(arm).collect()
    }

    fn disarm(&self, watch: i32) {
        if let Some(inotify) = &self.0 {
            // It is gone with its file already, or after a write.
            let _ = inotify::remove_watch(inotify.get_ref(), watch);
        }
    }

    /// Waits until watched files are written to or gone.
    pub async fn written(&self) -> Vec<i32> {
        let Some(inotify) = &self.0 else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(inotify.get_ref(), &mut buffer);
            let mut written = Vec::new();
            // Each watch tells once, so there are no more events than watches.
            loop {
                match events.next() {
                    Ok(event) => written.push(event.wd()),
                    Err(Errno::INTR) => {}
                    Err(_) => break,
                }
            }
            ready.clear_ready();
            if !written.is_empty() {
                return written;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use muster_types::{AttemptNumber, DriverUid};

    use super::*;

    #[test]
    fn a_fast_writer_adds_its_limit_or_some_mebibytes_in_a_pause() {
        assert_eq!(pause(64 << 20), Duration::from_millis(32));
        assert_eq!(pause(64 << 10), MIN_PAUSE);
        assert_eq!(pause(1 << 40), MAX_PAUSE);
    }

    #[tokio::test]
    async fn a_log_is_due_after_a_write_and_a_quiet_one_is_not() {
        let root = tempfile::tempdir().expect("a directory");
        let attempt = |number| AttemptKey::Driver(DriverUid(number), AttemptNumber(1));
        let directory = |number: u128| root.path().join(number.to_string());
        let mut pace = LogPace::start();
        for number in [1, 2] {
            fs::create_dir(directory(number)).expect("made");
            fs::write(directory(number).join("stdout"), "").expect("written");
            pace.wait(attempt(number), 1 << 20, pace.watch().arm(&directory(number)));
        }
        for _ in 0..2 {
            assert_eq!(pace.next(), None);
            fs::write(directory(1).join("stdout"), "x").expect("written");
            pace.note_written(&pace.watch().written().await);
            tokio::time::sleep_until(pace.next().expect("due")).await;
            assert_eq!(pace.take_due(), [attempt(1)]);
            assert!(pace.is_idle(&attempt(1)) && !pace.is_idle(&attempt(2)));
            pace.wait(attempt(1), 1 << 20, pace.watch().arm(&directory(1)));
        }
        pace.look_soon(attempt(3), 0);
        pace.forget(|_| true);
        assert!(pace.next().is_none() && pace.is_idle(&attempt(2)) && pace.watched.is_empty());
    }
}
