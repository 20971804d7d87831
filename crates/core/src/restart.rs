//! The next step after an attempt is closed: another attempt, and after how long, or the driver's
//! end.

use std::time::Duration;

use muster_types::{DriverRecord, DriverState, Fault, Outcome, Reason, RestartCondition, RestartPolicy, WallTime};

/// The next step of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterExit {
    /// The driver has ended.
    End(DriverState),
    /// Another attempt, after this delay.
    Again(Duration),
}

/// Failures within the window, oldest first, and the number of failures in a row without a long
/// enough run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestartWindow {
    pub(crate) failures: Vec<WallTime>,
    pub(crate) consecutive: u32,
}

/// The delay after the `nth` failure in a row (from 1), doubling up to the cap. Half of it is
/// fixed, so that there is always a pause. The other half is random, so that drivers that failed
/// together do not restart together.
pub(crate) fn delay(policy: &RestartPolicy, nth: u32, random: u128) -> Duration {
    let doublings = nth.saturating_sub(1).min(32);
    let whole =
        policy.backoff_initial.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(policy.backoff_max);
    let half = whole / 2;
    let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    let chance = u64::try_from(random >> 64).unwrap_or(0);
    half + Duration::from_nanos(u64::try_from((u128::from(spread) * u128::from(chance)) >> 64).unwrap_or(spread))
}

/// Whether the process was certainly never started.
pub(crate) fn never_started(outcome: &Outcome) -> bool {
    matches!(
        outcome.reason,
        Reason::NeverStarted | Reason::Refused | Reason::SpawnFailed | Reason::WorkDirFailed | Reason::ArtifactFailed
    )
}

/// Whether a machine failed to start a process that another machine may start.
pub(crate) fn is_failed_launch(outcome: &Outcome) -> bool {
    let by_machine = matches!(
        outcome.reason,
        Reason::Refused | Reason::SpawnFailed | Reason::WorkDirFailed | Reason::ArtifactFailed
    );
    by_machine && outcome.fault == Fault::Platform
}

/// Sets who is responsible by the reason of the end. The worker cannot decide this, because it does
/// not know who asked for a kill, or why.
pub(crate) fn judge(mut outcome: Outcome, killed_by_user: bool) -> Outcome {
    outcome.fault = match outcome.reason {
        // The submission itself cannot be run, so other machines would not help.
        Reason::NotFound | Reason::NotExecutable | Reason::UnknownVariable => Fault::Program,
        // The worker knows whether the address is wrong or its server does not answer, and whether
        // the directory is one that the submission names.
        Reason::ArtifactFailed | Reason::WorkDirFailed => match outcome.fault {
            Fault::Program => Fault::Program,
            Fault::Platform | Fault::User => Fault::Platform,
        },
        Reason::Exited | Reason::OutOfMemory | Reason::LogLimit => Fault::Program,
        Reason::Killed | Reason::NeverStarted | Reason::OwnerEnded => {
            if killed_by_user {
                Fault::User
            } else {
                Fault::Platform
            }
        }
        Reason::SpawnFailed
        | Reason::LeaseEnded
        | Reason::Drained
        | Reason::Lost
        | Reason::Forgotten
        | Reason::Refused => Fault::Platform,
    };
    outcome
}

/// Adds a failure, and drops those that are out of the window or beyond the bound.
pub(crate) fn count_failure(failures: &mut Vec<WallTime>, policy: &RestartPolicy, now: WallTime) {
    failures.retain(|time| is_within(policy, *time, now));
    failures.push(now);
    let most = usize::try_from(policy.max_attempts.max(1)).unwrap_or(usize::MAX);
    if failures.len() > most {
        failures.drain(..failures.len() - most);
    }
}

/// How many of these failures are within the window.
pub(crate) fn failures_within(failures: &[WallTime], policy: &RestartPolicy, now: WallTime) -> u32 {
    let within = failures.iter().filter(|time| is_within(policy, **time, now)).count();
    u32::try_from(within).unwrap_or(u32::MAX)
}

fn is_within(policy: &RestartPolicy, time: WallTime, now: WallTime) -> bool {
    u128::from(now.0.saturating_sub(time.0)) <= policy.window.as_millis()
}

/// How many of the newest attempts in a row never started through the fault of the platform.
fn launch_failures(record: &DriverRecord) -> u32 {
    let newest_first = record.attempts.iter().rev().filter_map(|attempt| attempt.outcome.as_ref());
    let failed = newest_first.take_while(|outcome| outcome.fault == Fault::Platform && never_started(outcome));
    u32::try_from(failed.count()).unwrap_or(u32::MAX)
}

/// The next step after `outcome` of the newest attempt, which `record` shows as closed. `ran` is
/// how long its process ran.
pub(crate) fn next(
    record: &DriverRecord,
    outcome: &Outcome,
    ran: Duration,
    now: WallTime,
    max_launch_failures: u32,
    random: u128,
) -> (AfterExit, RestartWindow) {
    let policy = &record.spec.restart;
    let mut tally = RestartWindow { failures: record.failures.clone(), consecutive: record.consecutive_failures };
    if record.kill.is_some() {
        return (AfterExit::End(DriverState::Killed), tally);
    }
    let next = match outcome.fault {
        Fault::User => AfterExit::End(DriverState::Killed),
        Fault::Platform => after_platform(record, outcome, max_launch_failures, random),
        Fault::Program => {
            let again = match policy.condition {
                RestartCondition::Never => false,
                RestartCondition::OnFailure => !outcome.is_success(),
                RestartCondition::Always => true,
            };
            if ran >= policy.backoff_reset_after {
                tally.consecutive = 0;
            }
            tally.consecutive = tally.consecutive.saturating_add(1);
            let failed = !outcome.is_success();
            if failed && again {
                count_failure(&mut tally.failures, policy, now);
            }
            let in_window = if failed && again { failures_within(&tally.failures, policy, now) } else { 0 };
            match (again, failed) {
                (false, false) => AfterExit::End(DriverState::Finished),
                (false, true) => AfterExit::End(DriverState::Failed),
                (true, true) if in_window >= policy.max_attempts.max(1) => AfterExit::End(DriverState::CrashLoop),
                (true, _) => AfterExit::Again(delay(policy, tally.consecutive, random)),
            }
        }
    };
    (next, tally)
}

/// The next step after a fault of the platform. An attempt that never started is repeated whatever
/// the policy says; one that ran, only if the policy allows a second run.
fn after_platform(record: &DriverRecord, outcome: &Outcome, max_launch_failures: u32, random: u128) -> AfterExit {
    let spec = &record.spec;
    if never_started(outcome) {
        let failures = launch_failures(record);
        return if failures >= max_launch_failures {
            AfterExit::End(DriverState::Failed)
        } else {
            AfterExit::Again(delay(&spec.restart, failures, random))
        };
    }
    if spec.restart.condition != RestartCondition::Never || spec.on_worker_lost.is_leased() {
        return AfterExit::Again(Duration::ZERO);
    }
    match outcome.reason {
        Reason::Lost | Reason::Forgotten | Reason::LeaseEnded => AfterExit::End(DriverState::Lost),
        Reason::Exited
        | Reason::OutOfMemory
        | Reason::Killed
        | Reason::NeverStarted
        | Reason::NotFound
        | Reason::NotExecutable
        | Reason::SpawnFailed
        | Reason::ArtifactFailed
        | Reason::WorkDirFailed
        | Reason::UnknownVariable
        | Reason::LogLimit
        | Reason::Drained
        | Reason::OwnerEnded
        | Reason::Refused => AfterExit::End(DriverState::Failed),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use muster_types::{Command, DriverId, DriverSpec, DriverUid, Exit, Resources, WorkerLostPolicy};

    use super::*;

    #[test]
    fn the_worker_says_whether_an_address_is_wrong_or_its_server_away() {
        for reason in [Reason::ArtifactFailed, Reason::WorkDirFailed] {
            let judged = |fault| judge(Outcome::without_exit(fault, reason, ""), false);
            assert_eq!(judged(Fault::Program).fault, Fault::Program);
            for fault in [Fault::Platform, Fault::User] {
                assert_eq!(judged(fault).fault, Fault::Platform);
            }
            // A server that does not answer is tried again, whatever the policy; a wrong address is
            // not.
            let record = driver(RestartCondition::Never, WorkerLostPolicy::Wait);
            let after = |fault| next(&record, &judged(fault), Duration::ZERO, WallTime(0), 3, 0).0;
            assert!(matches!(after(Fault::Platform), AfterExit::Again(_)));
            assert!(matches!(after(Fault::Program), AfterExit::End(DriverState::Failed)));
        }
    }

    fn policy(condition: RestartCondition) -> RestartPolicy {
        RestartPolicy { condition, max_attempts: 3, ..RestartPolicy::default() }
    }

    fn driver(condition: RestartCondition, on_worker_lost: WorkerLostPolicy) -> DriverRecord {
        let spec = DriverSpec {
            command: Arc::new(Command::default()),
            resources: Resources::default(),
            artifacts: Arc::from([]),
            restart: policy(condition),
            on_worker_lost,
            kill_grace: Duration::ZERO,
            labels: Default::default(),
            worker_selector: Default::default(),
            log_limit: 0,
        };
        DriverRecord {
            uid: DriverUid(1),
            id: DriverId::new("d"),
            spec: Arc::new(spec),
            request: None,
            state: DriverState::Running,
            created: WallTime(0),
            updated: WallTime(0),
            ended: None,
            attempts: Vec::new(),
            kill: None,
            failures: Vec::new(),
            consecutive_failures: 0,
            generation: 1,
            version: 1,
        }
    }

    fn after(record: &DriverRecord, outcome: &Outcome) -> AfterExit {
        next(record, outcome, Duration::ZERO, WallTime(0), 10, 0).0
    }

    #[test]
    fn the_delay_doubles_up_to_its_cap_and_at_least_half_of_it_is_kept() {
        let policy = RestartPolicy::default();
        let least: Vec<u64> = [1, 2, 3, 9, 10, 99].map(|nth| delay(&policy, nth, 0).as_millis() as u64).into();
        assert_eq!(least, [500, 1_000, 2_000, 128_000, 150_000, 150_000]);
        for nth in [1, 5, 40] {
            assert!(delay(&policy, nth, u128::MAX) <= delay(&policy, nth, 0) * 2);
            assert!(delay(&policy, nth, u128::MAX) > delay(&policy, nth, u128::MAX / 2));
        }
    }

    #[test]
    fn what_the_program_did_follows_its_condition() {
        let (wait, code) = (WorkerLostPolicy::Wait, |code| Outcome::exited(Exit::Code(code)));
        let never = driver(RestartCondition::Never, wait);
        assert_eq!(after(&never, &code(0)), AfterExit::End(DriverState::Finished));
        assert_eq!(after(&never, &code(1)), AfterExit::End(DriverState::Failed));
        let on_failure = driver(RestartCondition::OnFailure, wait);
        assert_eq!(after(&on_failure, &code(0)), AfterExit::End(DriverState::Finished));
        assert_eq!(after(&on_failure, &code(1)), AfterExit::Again(Duration::from_millis(500)));
        let always = driver(RestartCondition::Always, wait);
        assert_eq!(after(&always, &code(0)), AfterExit::Again(Duration::from_millis(500)));
    }

    #[test]
    fn only_failures_within_the_window_make_a_crash_loop() {
        let mut record = driver(RestartCondition::OnFailure, WorkerLostPolicy::Wait);
        let failed = Outcome::exited(Exit::Code(1));
        let hour = 3_600_000;
        record.failures = vec![WallTime(0), WallTime(hour)];
        let at = |wall| next(&record, &failed, Duration::ZERO, WallTime(wall), 10, 0);
        assert_eq!(at(hour).0, AfterExit::End(DriverState::CrashLoop));
        let (later, tally) = at(hour + 1);
        assert!(matches!(later, AfterExit::Again(_)), "the first is out of the window");
        assert_eq!(tally.failures, [WallTime(hour), WallTime(hour + 1)]);
    }

    #[test]
    fn a_long_run_resets_the_delay() {
        let mut record = driver(RestartCondition::Always, WorkerLostPolicy::Wait);
        record.consecutive_failures = 7;
        let outcome = Outcome::exited(Exit::Code(0));
        let (_, long) = next(&record, &outcome, Duration::from_secs(5), WallTime(0), 10, 0);
        let (_, short) = next(&record, &outcome, Duration::from_millis(4_999), WallTime(0), 10, 0);
        assert_eq!((long.consecutive, short.consecutive), (1, 8));
    }

    #[test]
    fn what_the_platform_did_runs_again_only_where_a_second_run_is_allowed() {
        let lost = Outcome::without_exit(Fault::Platform, Reason::Lost, "");
        let never = driver(RestartCondition::Never, WorkerLostPolicy::Wait);
        assert_eq!(after(&never, &lost), AfterExit::End(DriverState::Lost));
        let rerun = driver(RestartCondition::Never, WorkerLostPolicy::Rerun);
        assert_eq!(after(&rerun, &lost), AfterExit::Again(Duration::ZERO));
        let on_failure = driver(RestartCondition::OnFailure, WorkerLostPolicy::Wait);
        assert_eq!(after(&on_failure, &lost), AfterExit::Again(Duration::ZERO));
        let refused = Outcome::without_exit(Fault::Platform, Reason::Refused, "");
        assert!(matches!(after(&never, &refused), AfterExit::Again(_)), "it never started");
    }

    #[test]
    fn whose_doing_it_was_is_judged_by_the_reason() {
        let judged = |reason, by_user| judge(Outcome::without_exit(Fault::User, reason, ""), by_user).fault;
        assert_eq!(judged(Reason::Killed, true), Fault::User);
        assert_eq!(judged(Reason::Killed, false), Fault::Platform);
        assert_eq!(judged(Reason::NotFound, false), Fault::Program);
        assert_eq!(judged(Reason::WorkDirFailed, true), Fault::Platform);
        assert_eq!(judged(Reason::Exited, true), Fault::Program);
    }
}
