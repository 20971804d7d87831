//! Copies of tasks that are slow.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use muster_types::Time;

use crate::histogram::RunTimes;
use crate::ids::{AttemptSlot, StageSlot};
use crate::place::StageOffer;
use crate::scheduler::Scheduler;
use crate::stage::StagePhase;
use crate::stage::tasks::TaskState;
use crate::timers::SchedulerTimer;

/// What is known of the run times of a stage.
#[derive(Debug)]
pub(crate) struct StageSpeculation {
    run_times: RunTimes,
    /// Attempts by when they began; without those that were found to be slow.
    oldest: BTreeSet<(Time, AttemptSlot)>,
    /// Tasks of which a copy is to be run.
    pub(crate) queue: VecDeque<u32>,
    is_timed: bool,
}

impl StageSpeculation {
    pub(crate) fn new() -> StageSpeculation {
        StageSpeculation {
            run_times: RunTimes::new(),
            oldest: BTreeSet::new(),
            queue: VecDeque::new(),
            is_timed: false,
        }
    }

    pub(crate) fn add(&mut self, began: Time, attempt: AttemptSlot) {
        self.oldest.insert((began, attempt));
    }

    pub(crate) fn remove(&mut self, began: Time, attempt: AttemptSlot) {
        self.oldest.remove(&(began, attempt));
    }

    /// The first attempt that began before a time.
    fn take_before(&mut self, time: Time) -> Option<AttemptSlot> {
        let (began, attempt) = *self.oldest.first()?;
        if began > time {
            return None;
        }
        self.oldest.remove(&(began, attempt));
        Some(attempt)
    }
}

impl Scheduler {
    /// Learns how long a task ran, and sees to it that a timer looks at the others once enough of
    /// them have succeeded.
    pub(crate) fn watch_for_slow_tasks(&mut self, slot: StageSlot, ran: Duration) {
        let Some(rule) = self.config.speculation else { return };
        let Some(node) = self.stages.get_mut(slot) else { return };
        let enough = u64::from(node.done) * 100 >= node.records.len() as u64 * u64::from(rule.quantile_percent);
        let Some(copies) = &mut node.speculation else { return };
        copies.run_times.add(ran);
        if enough && !copies.is_timed {
            copies.is_timed = true;
            self.timers.arm(self.now + rule.interval, SchedulerTimer::Speculation(slot));
        }
    }

    /// Looks for tasks of a stage that have run for too long. Each attempt is found once.
    pub(crate) fn find_slow_tasks(&mut self, slot: StageSlot) {
        let Some(rule) = self.config.speculation else { return };
        let Some(node) = self.stages.get_mut(slot) else { return };
        let Some(copies) = &mut node.speculation else { return };
        copies.is_timed = false;
        let Some(median) = copies.run_times.median().filter(|_| node.phase == StagePhase::Active) else { return };
        let began_before = self.now - median.saturating_mul(rule.multiplier).max(rule.least);
        let mut found = false;
        while let Some(slow) = copies.take_before(began_before) {
            let Some(attempt) = self.attempts.get_mut(slow) else { continue };
            // It had waited for a core of its executor when it was launched.
            if let Some(started) = attempt.started.filter(|started| *started > began_before) {
                attempt.began = started;
                copies.add(started, slow);
                continue;
            }
            let record = node.records.get(attempt.partition as usize);
            if attempt.before.is_none() && record.is_some_and(|record| record.state == TaskState::Running(slow)) {
                copies.queue.push_back(attempt.partition);
                found = true;
            }
        }
        if !copies.oldest.is_empty() {
            copies.is_timed = true;
            self.timers.arm(self.now + rule.interval, SchedulerTimer::Speculation(slot));
        }
        if found {
            self.list_stage(slot);
            self.list_open(slot);
            self.unsettled.stages.push((slot, StageOffer::All));
        }
    }
}
