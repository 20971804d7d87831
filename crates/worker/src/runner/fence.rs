//! Ending trees when the runner cannot: by the mark in their environment and by the name of their
//! cgroup.

use std::time::Duration;

use muster_os::proc::{self, CgroupPlace};
use muster_types::AttemptKey;
use rustix::process::{Pid, Signal, kill_process};

/// Passes before it gives up. Each finds the processes that were made during the one before.
const PASSES: usize = 100;
/// Pause between two passes: a killed process needs a moment to vanish.
const PAUSE: Duration = Duration::from_millis(20);

/// Kills every process of these attempts, again and again until a pass finds none.
pub(super) fn end_trees(attempts: &[AttemptKey]) {
    let marks: Vec<String> = attempts.iter().map(ToString::to_string).collect();
    if marks.is_empty() {
        return;
    }
    for _ in 0..PASSES {
        let found = find(&marks);
        if found.is_empty() {
            return;
        }
        for pid in found {
            // It may be gone already.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(PAUSE);
    }
    tracing::error!("leased trees are still there after the last try to end them");
}

fn find(marks: &[String]) -> Vec<Pid> {
    let own = std::process::id().cast_signed();
    proc::pids().filter(|pid| *pid != own && is_of(*pid, marks)).filter_map(Pid::from_raw).collect()
}

fn is_of(pid: i32, marks: &[String]) -> bool {
    let is_mark = |text: &[u8]| marks.iter().any(|mark| mark.as_bytes() == text);
    // Also in a cgroup that the program made within its own.
    let within = |place: &CgroupPlace| place.path.split('/').any(|name| is_mark(name.as_bytes()));
    proc::cgroups(pid).iter().any(within)
        || proc::has_word(pid, "environ", |variable| variable.strip_prefix(b"MUSTER_MARK=").is_some_and(is_mark))
}

#[cfg(test)]
mod tests {
    use muster_types::{AttemptNumber, DriverUid};

    use super::*;

    #[test]
    fn what_carries_the_mark_is_ended_and_nothing_else() {
        let attempt = AttemptKey::Driver(DriverUid(u128::from(crate::clock::entropy())), AttemptNumber(1));
        let sleep = |mark: &str| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").env("MUSTER_MARK", mark).spawn().expect("started")
        };
        let mut marked = sleep(&attempt.to_string());
        let mut other = sleep("d-other-1");
        // The environment is that of the program only once it executes.
        let environ = format!("/proc/{}/environ", marked.id());
        while !std::fs::read_to_string(&environ).unwrap_or_default().contains(&attempt.to_string()) {
            std::thread::yield_now();
        }
        let killer = std::thread::spawn(move || end_trees(&[attempt]));
        let status = marked.wait().expect("ended");
        killer.join().expect("done");
        assert!(!status.success());
        assert_eq!(other.try_wait().expect("asked"), None);
        other.kill().expect("killed");
        other.wait().expect("ended");
    }
}
