//! What holds of a scheduler after every input, one small file each: a library for tests.

mod attempts;
mod executors;
mod jobs;
mod queues;
mod tasks;

use std::fmt;

use crate::Scheduler;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerViolation {
    /// The rule, in a few words.
    pub rule: &'static str,
    /// What broke it.
    pub what: String,
}

impl fmt::Display for SchedulerViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Checks all that is visible in a scheduler at rest.
pub fn check(scheduler: &Scheduler) -> Vec<SchedulerViolation> {
    let mut found = Vec::new();
    tasks::check(scheduler, &mut found);
    attempts::check(scheduler, &mut found);
    executors::check(scheduler, &mut found);
    queues::check(scheduler, &mut found);
    jobs::check(scheduler, &mut found);
    found
}

fn violate(found: &mut Vec<SchedulerViolation>, rule: &'static str, what: impl Into<String>) {
    found.push(SchedulerViolation { rule, what: what.into() });
}
