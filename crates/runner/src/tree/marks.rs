//! Trees without cgroups: best effort. A process belongs to an attempt if its environment carries
//! the attempt's mark, if it is its main process or in the session of that, or if its parent
//! belongs to it. A program is not found if it removes its own environment, opens a session and
//! outlives its parent; for that reason the worker says `best-effort` everywhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_os::proc;
use rustix::process::{Pid, Signal, kill_process};

use super::Survivors;

/// Name of the variable. Its value also names the worker: several may run on one machine.
const VARIABLE: &str = "MUSTER_TREE";

/// Most passes over all processes. After them everything found is killed, although each pass found
/// more: a fork bomb outruns the search.
const MAX_PASSES: u32 = 64;

/// Finds processes of the machine (or of the runner's PID namespace) by their marks.
#[derive(Debug)]
pub(crate) struct Marks {
    worker: String,
    /// Trees that are being killed.
    kills: Mutex<BTreeMap<String, KillProgress>>,
    /// The processes, as they were seen in this pass of the main loop.
    seen: Arc<Mutex<Option<Arc<Processes>>>>,
}

/// A tree that is being killed. A stopped process cannot fork, so the tree is stopped first, until
/// no more of it is found.
#[derive(Debug, Default)]
struct KillProgress {
    stopped: Found,
    passes: u32,
}

/// Processes by PID, with their start, which tells a process from a later one of the same PID.
type Found = BTreeMap<i32, u64>;

impl Marks {
    pub(super) fn new(worker: String) -> Marks {
        Marks { worker, kills: Mutex::default(), seen: Arc::default() }
    }

    /// The group whose trees' marks begin with `prefix`, as [`Marks::mark`] of an empty name gives
    /// it.
    pub(super) fn with_prefix(prefix: &str) -> Marks {
        let worker = prefix.trim_start_matches(VARIABLE).trim_start_matches('=').trim_end_matches('/');
        Marks::new(worker.to_owned())
    }

    /// A group of trees within this one. `made` tells it from the group of a later runner.
    pub(super) fn within(&self, name: &str, made: u64) -> Marks {
        Marks { seen: Arc::clone(&self.seen), ..Marks::new(format!("{}/{name}-{made}", self.worker)) }
    }

    /// `NAME=VALUE` for the environment.
    pub(super) fn mark(&self, name: &str) -> String {
        format!("{VARIABLE}={}/{name}", self.worker)
    }

    /// From here on the processes are read anew. Between two calls they are read once, however many
    /// trees are looked at: on a machine with thousands of processes each reading takes tens of
    /// milliseconds, in which the main loop does not fence.
    pub(super) fn begin_pass(&self) {
        *self.seen() = None;
    }

    /// Stops what is found of the tree. If all of it was stopped in an earlier pass, kills it and
    /// returns true; otherwise it must be called again in a later pass.
    pub(super) fn kill(&self, name: &str, leader: Option<i32>) -> bool {
        let mut kills = self.kills();
        let progress = kills.entry(name.to_owned()).or_default();
        let found = self.processes().tree(&self.mark(name), leader, &progress.stopped);
        progress.passes += 1;
        if progress.stop(found) && progress.passes < MAX_PASSES {
            return false;
        }
        progress.stopped.keys().for_each(|pid| send(*pid, Signal::KILL));
        progress.passes = 0;
        true
    }

    pub(super) fn look(&self, name: &str, leader: Option<i32>) -> Survivors {
        if !self.members(name, leader).is_empty() {
            return Survivors::Something;
        }
        self.kills().remove(name);
        Survivors::Nothing
    }

    /// The processes of the tree, with those that were found once and stopped: what they were found
    /// by may be gone.
    pub(super) fn members(&self, name: &str, leader: Option<i32>) -> Vec<i32> {
        let kills = self.kills();
        let (known, none) = (kills.get(name), Found::new());
        let known = known.map_or(&none, |progress| &progress.stopped);
        self.processes().tree(&self.mark(name), leader, known).into_keys().collect()
    }

    /// Kills everything of the worker at once; returns what is left.
    pub(super) fn sweep(&self) -> Vec<i32> {
        let mut progress = KillProgress::default();
        let all = |stopped: &Found| Processes::read().all_trees(&self.mark(""), stopped);
        for _ in 0..MAX_PASSES {
            if !progress.stop(all(&progress.stopped)) {
                break;
            }
        }
        progress.stopped.keys().for_each(|pid| send(*pid, Signal::KILL));
        all(&Found::new()).into_keys().collect()
    }

    fn processes(&self) -> Arc<Processes> {
        Arc::clone(self.seen().get_or_insert_with(|| Arc::new(Processes::read())))
    }

    fn seen(&self) -> MutexGuard<'_, Option<Arc<Processes>>> {
        // A panic of any thread ends the process.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kills(&self) -> MutexGuard<'_, BTreeMap<String, KillProgress>> {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KillProgress {
    /// Stops those that are not stopped yet; returns whether there were any.
    fn stop(&mut self, found: Found) -> bool {
        let is_new = |(pid, start): &(i32, u64)| self.stopped.get(pid) != Some(start);
        let more: Vec<(i32, u64)> = found.into_iter().filter(is_new).collect();
        more.iter().for_each(|(pid, _)| send(*pid, Signal::STOP));
        self.stopped.extend(more.iter().copied());
        !more.is_empty()
    }
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

/// Every process except the runner itself and those that have ended.
#[derive(Debug, Default)]
struct Processes {
    all: Found,
    /// Those that carry a mark, by `NAME=VALUE`.
    by_mark: BTreeMap<String, Vec<i32>>,
    by_session: BTreeMap<i32, Vec<i32>>,
    by_parent: BTreeMap<i32, Vec<i32>>,
}

impl Processes {
    fn read() -> Processes {
        let mut processes = Processes::default();
        let own = std::process::id().cast_signed();
        for pid in proc::pids().filter(|pid| *pid != own) {
            let Some(stat) = proc::stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')) else { continue };
            processes.all.insert(pid, stat.start);
            processes.by_session.entry(stat.session).or_default().push(pid);
            processes.by_parent.entry(stat.parent).or_default().push(pid);
            for mark in marks_of(pid) {
                processes.by_mark.entry(mark).or_default().push(pid);
            }
        }
        processes
    }

    /// The processes of one tree: those with its mark, its leader and the leader's session, those
    /// `known`, and what descends from any of them.
    fn tree(&self, mark: &str, leader: Option<i32>, known: &Found) -> Found {
        let session = leader.and_then(|leader| self.by_session.get(&leader)).into_iter().flatten();
        let marked = self.by_mark.get(mark).into_iter().flatten();
        self.with_descendants(session.chain(marked).chain(&leader), known)
    }

    /// The processes of all trees whose marks begin with `prefix`.
    fn all_trees(&self, prefix: &str, known: &Found) -> Found {
        let marks = self.by_mark.range(prefix.to_owned()..).take_while(|(mark, _)| mark.starts_with(prefix));
        self.with_descendants(marks.flat_map(|(_, pids)| pids), known)
    }

    fn with_descendants<'a>(&self, pids: impl Iterator<Item = &'a i32>, known: &Found) -> Found {
        let known = known.iter().filter(|(pid, start)| self.all.get(pid) == Some(start));
        let mut next: Vec<i32> = pids.copied().chain(known.map(|(pid, _)| *pid)).collect();
        let mut found = Found::new();
        while let Some(pid) = next.pop() {
            if let Some(start) = self.all.get(&pid)
                && found.insert(pid, *start).is_none()
            {
                next.extend(self.by_parent.get(&pid).into_iter().flatten());
            }
        }
        found
    }
}

/// The marks in the environment of a process. There is more than one if a program has set another
/// one.
fn marks_of(pid: i32) -> Vec<String> {
    let mut marks = Vec::new();
    proc::has_word(pid, "environ", |word| {
        let is_mark = word.starts_with(VARIABLE.as_bytes()) && word.get(VARIABLE.len()) == Some(&b'=');
        if is_mark {
            marks.extend(std::str::from_utf8(word).ok().map(str::to_owned));
        }
        false
    });
    marks
}
