//! What processes wait for in the kernel, for people.

use std::fs;

/// Most processes of a tree that are shown.
const SHOWN: usize = 3;

/// Longest text.
const MAX_LENGTH: usize = 200;

/// For example `pid 12 in nfs_wait_bit_killable`; `None` if there is nothing to show.
pub(crate) fn of(pids: &[i32]) -> Option<String> {
    let shown: Vec<String> = pids.iter().filter(|pid| **pid > 0).filter_map(|pid| show(*pid)).take(SHOWN).collect();
    if shown.is_empty() {
        return None;
    }
    let mut text = shown.join(", ");
    text.truncate(MAX_LENGTH);
    Some(text)
}

fn show(pid: i32) -> Option<String> {
    let channel = fs::read_to_string(format!("/proc/{pid}/wchan")).ok()?;
    let channel = if channel.trim_matches('0').is_empty() { "running" } else { channel.trim() };
    Some(format!("pid {pid} in {channel}"))
}
