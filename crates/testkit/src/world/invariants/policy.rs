//! Restarts stay within the policy.

use muster_types::{AttemptKey, DriverRecord, Fault, RestartCondition};

use super::super::World;

impl World {
    pub(super) fn check_policy(&mut self, record: &DriverRecord) {
        let policy = &record.spec.restart;
        let outcomes = || record.attempts.iter().filter_map(|attempt| attempt.outcome.as_ref());
        let successes = outcomes().filter(|outcome| outcome.is_success()).count();
        let after_success = record.attempts.iter().rev().skip(1).filter_map(|attempt| attempt.outcome.as_ref());
        let again = after_success.filter(|outcome| outcome.is_success()).count() > 0;
        let started = || record.attempts.iter().map(|attempt| AttemptKey::Driver(record.uid, attempt.number));
        let runs = started().filter(|key| self.recorder.started.contains(key)).count();
        let failures = outcomes().filter(|outcome| outcome.fault == Fault::Program && !outcome.is_success()).count();
        let rule = match policy.condition {
            RestartCondition::Never if !record.spec.on_worker_lost.is_leased() && runs > 1 => "never means never",
            RestartCondition::Never if failures > 1 => "a failure is not run again",
            RestartCondition::OnFailure | RestartCondition::Never if again || successes > 1 => {
                "a success is not run again"
            }
            _ if failures > policy.max_attempts as usize => "failures are bounded",
            _ => return,
        };
        self.violate(rule, format!("{}: {:?}", record.uid, record.attempts));
    }
}
