//! No executor has more than it may have, and the index of free cores is right.

use super::{SchedulerViolation, violate};
use crate::Scheduler;

pub(super) fn check(scheduler: &Scheduler, found: &mut Vec<SchedulerViolation>) {
    for (slot, on) in scheduler.executors.iter() {
        let attempts = on.attempts.iter().filter_map(|attempt| scheduler.attempts.get(*attempt));
        let used: u64 = attempts.map(|attempt| u64::from(attempt.cores)).sum();
        if used != on.used {
            violate(found, "cores are counted", format!("executor {}: {}, not {used}", on.id, on.used));
        }
        let most = u64::from(on.cores) * (1 + u64::from(scheduler.config.prefetch.most));
        if used > most {
            violate(found, "no executor has too much", format!("executor {}: {used} of {most}", on.id));
        }
        let free = if scheduler.executors.is_active(on) { on.free() } else { 0 };
        let indexed = scheduler.executors.profile(on.profile).is_some_and(|profile| profile.has(free, slot));
        if on.indexed.0 != free || (free > 0) != indexed {
            violate(found, "free cores are indexed", format!("executor {}: {free}", on.id));
        }
    }
}
