//! Trees without cgroups: best effort. A process belongs to an attempt if its environment carries
//! the attempt's mark, if it is its main process or in the session of that, or if its parent belongs
//! to it. A program is not found if it removes its own environment, opens a session and outlives its
//! parent; for that reason the worker says `best-effort` everywhere.

use std::collections::{BTreeMap, BTreeSet};

use muster_os::proc::{self, ProcessStat};
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
}

impl Marks {
    pub(super) fn new(worker: String) -> Marks {
        Marks { worker }
    }

    /// The group whose trees' marks begin with `prefix`, as [`Marks::mark`] of an empty name gives
    /// it.
    pub(super) fn with_prefix(prefix: &str) -> Marks {
        let worker = prefix.trim_start_matches(VARIABLE).trim_start_matches('=').trim_end_matches('/');
        Marks { worker: worker.to_owned() }
    }

    /// A group of trees within this one. `made` tells it from the group of a later runner.
    pub(super) fn within(&self, name: &str, made: u64) -> Marks {
        Marks { worker: format!("{}/{name}-{made}", self.worker) }
    }

    /// `NAME=VALUE` for the environment.
    pub(super) fn mark(&self, name: &str) -> String {
        format!("{VARIABLE}={}/{name}", self.worker)
    }

    /// Stops every process that is found until a pass finds no more, then kills them: a stopped
    /// process cannot fork.
    pub(super) fn kill(&self, name: &str, leader: Option<i32>) {
        stop_then_kill(|stopped| self.find(&self.mark(name), leader, stopped));
    }

    pub(super) fn look(&self, name: &str, leader: Option<i32>) -> Survivors {
        if self.members(name, leader).is_empty() { Survivors::Nothing } else { Survivors::Something }
    }

    pub(super) fn members(&self, name: &str, leader: Option<i32>) -> Vec<i32> {
        self.find(&self.mark(name), leader, &BTreeSet::new()).into_iter().collect()
    }

    pub(super) fn sweep(&self) -> Vec<i32> {
        let prefix = self.mark("");
        stop_then_kill(|stopped| self.find(&prefix, None, stopped));
        self.find(&prefix, None, &BTreeSet::new()).into_iter().collect()
    }

    /// The processes of a tree. A `mark` that ends with `/` stands for every attempt of the worker.
    fn find(&self, mark: &str, leader: Option<i32>, known: &BTreeSet<i32>) -> BTreeSet<i32> {
        let processes = processes();
        let mut found: BTreeSet<i32> = processes
            .iter()
            .filter(|(pid, process)| {
                let is_led = |leader| **pid == leader || process.session == leader;
                known.contains(pid) || leader.is_some_and(is_led) || carries(**pid, mark)
            })
            .map(|(pid, _)| *pid)
            .collect();
        loop {
            let more: Vec<i32> = processes
                .iter()
                .filter(|(pid, process)| !found.contains(pid) && found.contains(&process.parent))
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }
}

fn stop_then_kill(find: impl Fn(&BTreeSet<i32>) -> BTreeSet<i32>) {
    let mut stopped = BTreeSet::new();
    for _ in 0..MAX_PASSES {
        let found = find(&stopped);
        let more: Vec<i32> = found.difference(&stopped).copied().collect();
        if more.is_empty() {
            break;
        }
        more.iter().for_each(|pid| send(*pid, Signal::STOP));
        stopped.extend(more);
    }
    stopped.iter().for_each(|pid| send(*pid, Signal::KILL));
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

/// Every process except the runner itself and those that have ended.
fn processes() -> BTreeMap<i32, ProcessStat> {
    let own = std::process::id().cast_signed();
    let others = proc::pids().filter(|pid| *pid != own);
    others.filter_map(|pid| Some((pid, proc::stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X'))?))).collect()
}

fn carries(pid: i32, mark: &str) -> bool {
    let prefix = mark.ends_with('/');
    proc::has_word(pid, "environ", |variable| {
        variable == mark.as_bytes() || (prefix && variable.starts_with(mark.as_bytes()))
    })
}
