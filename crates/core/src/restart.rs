//! The next step after an attempt is closed: another attempt, and after how long, or the driver's
//! end.

use std::time::Duration;

use muster_types::{
    AttemptRecord, DriverRecord, DriverState, Fault, Outcome, Reason, RestartCondition, RestartPolicy, WallTime,
};

/// The next step of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterExit {
    /// The driver has ended.
    End(DriverState),
    /// Another attempt, after this delay.
    Again(Duration),
    /// The driver has failed, because this many launches in a row have failed.
    GiveUp(u32),
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
        Reason::NeverStarted
            | Reason::Refused
            | Reason::NoUser
            | Reason::SpawnFailed
            | Reason::WorkDirFailed
            | Reason::ArtifactFailed
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

/// Whether an attempt ended because its launch was taken back, and not by a wish of its user. Its
/// process may have started before the kill reached it.
pub(crate) fn is_timed_out_launch(outcome: &Outcome, taken_back: bool) -> bool {
    taken_back && outcome.fault == Fault::Platform && matches!(outcome.reason, Reason::Killed | Reason::NeverStarted)
}

/// Says of an attempt that ended because its launch was taken back that this is why. Its worker
/// does not know.
pub(crate) fn name_time_out(mut outcome: Outcome, taken_back: bool) -> Outcome {
    if is_timed_out_launch(&outcome, taken_back) {
        "its launch made no progress and was taken back".clone_into(&mut outcome.message);
    }
    outcome
}

/// Sets who is responsible by the reason of the end. The worker cannot decide this, because it does
/// not know who asked for a kill, or why.
pub(crate) fn judge(mut outcome: Outcome, killed_by_user: bool) -> Outcome {
    outcome.fault = match outcome.reason {
        // The submission itself cannot be run, so other machines would not help.
        Reason::NotFound | Reason::NotExecutable | Reason::UnknownVariable => Fault::Program,
        // The worker knows whether the address is wrong or its server does not answer, whether the
        // directory is one that the submission names, and whether it refuses what is asked for.
        Reason::ArtifactFailed | Reason::WorkDirFailed | Reason::Refused => match outcome.fault {
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
        | Reason::NoUser
        | Reason::LeaseEnded
        | Reason::Drained
        | Reason::Lost
        | Reason::Forgotten => Fault::Platform,
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

/// How many of the newest closed attempts in a row failed to launch through the fault of the
/// platform: they never started, or their launches were taken back.
fn launch_failures(record: &DriverRecord) -> u32 {
    let newest_first = record.attempts.iter().rev();
    let closed = newest_first.filter_map(|attempt| Some((attempt.outcome.as_ref()?, attempt.launch_timed_out)));
    // A worker that has no user for the owner is not tried again, so this comes to an end.
    let closed = closed.filter(|(outcome, _)| outcome.reason != Reason::NoUser);
    let failed = closed.take_while(|(outcome, taken_back)| is_platform_launch_failure(outcome, *taken_back));
    u32::try_from(failed.count()).unwrap_or(u32::MAX)
}

/// Whether the platform failed to launch an attempt.
pub(crate) fn is_platform_launch_failure(outcome: &Outcome, taken_back: bool) -> bool {
    (outcome.fault == Fault::Platform && never_started(outcome)) || is_timed_out_launch(outcome, taken_back)
}

/// How many of the newest closed attempts in a row the platform ended soon after they were
/// assigned, though it could launch them. What an operator ends or forgets is no sign of a fault.
fn quick_losses(record: &DriverRecord) -> u32 {
    let is_quick = |attempt: &&AttemptRecord| {
        let lasted = attempt.ended.map_or(0, |ended| ended.0.saturating_sub(attempt.assigned.0));
        let is_loss = attempt.outcome.as_ref().is_some_and(|outcome| {
            let is_operators = matches!(outcome.reason, Reason::Forgotten | Reason::Drained);
            let failed_to_launch = is_platform_launch_failure(outcome, attempt.launch_timed_out);
            outcome.fault == Fault::Platform && !is_operators && !failed_to_launch
        });
        is_loss && Duration::from_millis(lasted) < record.spec.restart.backoff_reset_after
    };
    let closed = record.attempts.iter().rev().filter(|attempt| attempt.outcome.is_some());
    u32::try_from(closed.take_while(is_quick).count()).unwrap_or(u32::MAX)
}

/// The delay after an attempt that the platform ended. What is lost runs elsewhere at once; only
/// where the next is lost as soon, as with a machine that crashes at each start or a program that
/// crashes its machine, does every further one wait.
fn delay_after_loss(record: &DriverRecord, random: u128) -> Duration {
    match quick_losses(record) {
        0 | 1 => Duration::ZERO,
        losses => delay(&record.spec.restart, losses - 1, random),
    }
}

/// The delay of a back-off that a new leader finds in a record, and starts anew.
pub(crate) fn resumed_delay(record: &DriverRecord, random: u128) -> Duration {
    let nth = match (launch_failures(record), quick_losses(record)) {
        (0, 0 | 1) => record.consecutive_failures.max(1),
        (0, losses) => losses - 1,
        (failures, _) => failures,
    };
    delay(&record.spec.restart, nth, random)
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
        // What the submission asks for is not given to it. A file that is not there may come; a
        // refusal stays one until an operator changes it, so it would be repeated for ever.
        Fault::Program if outcome.reason == Reason::Refused => AfterExit::End(DriverState::Failed),
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
/// the policy says; one that ran, only if the policy allows a second run. One whose launch was
/// taken back may have run, and its launch has failed all the same: it is repeated after a pause.
fn after_platform(record: &DriverRecord, outcome: &Outcome, max_launch_failures: u32, random: u128) -> AfterExit {
    let spec = &record.spec;
    let may_run_twice = spec.restart.condition != RestartCondition::Never || spec.on_worker_lost.is_leased();
    let taken_back = record.attempts.last().is_some_and(|newest| newest.launch_timed_out);
    if outcome.reason == Reason::NoUser {
        return AfterExit::Again(delay(&spec.restart, 1, random));
    }
    if is_platform_launch_failure(outcome, taken_back) && (may_run_twice || never_started(outcome)) {
        let failures = launch_failures(record);
        return if failures >= max_launch_failures {
            AfterExit::GiveUp(failures)
        } else {
            AfterExit::Again(delay(&spec.restart, failures, random))
        };
    }
    if may_run_twice {
        return AfterExit::Again(delay_after_loss(record, random));
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
        | Reason::Refused
        | Reason::NoUser => AfterExit::End(DriverState::Failed),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use muster_types::{
        AllocatedResources, AttemptNumber, Command, DriverId, DriverSpec, DriverUid, Exit, Incarnation, Resources,
        Secret, WorkerLostPolicy, WorkerUid,
    };

    use super::*;

    #[test]
    fn a_submission_that_is_refused_ends_whatever_its_policy() {
        for condition in [RestartCondition::Never, RestartCondition::OnFailure, RestartCondition::Always] {
            let record = driver(condition, WorkerLostPolicy::Rerun);
            let after = |fault| {
                let judged = judge(Outcome::without_exit(fault, Reason::Refused, ""), false);
                next(&record, &judged, Duration::ZERO, WallTime(0), 3, 0).0
            };
            assert_eq!(after(Fault::Program), AfterExit::End(DriverState::Failed), "{condition:?}");
            assert!(matches!(after(Fault::Platform), AfterExit::Again(_)), "{condition:?}");
        }
    }

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
            run_as: None,
        };
        DriverRecord {
            uid: DriverUid(1),
            id: DriverId::new("d"),
            spec: Arc::new(spec),
            request: None,
            owner: None,
            trace: None,
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
    fn what_a_worker_refuses_for_what_its_submission_asks_is_the_programs_fault() {
        for fault in [Fault::Program, Fault::Platform] {
            let outcome = judge(Outcome::without_exit(fault, Reason::Refused, ""), false);
            assert_eq!(outcome.fault, fault);
        }
        let refused = judge(Outcome::without_exit(Fault::Program, Reason::Refused, ""), false);
        let never = driver(RestartCondition::Never, WorkerLostPolicy::Rerun);
        assert_eq!(after(&never, &refused), AfterExit::End(DriverState::Failed));
    }

    fn attempt(outcome: Option<Outcome>, launch_timed_out: bool) -> AttemptRecord {
        AttemptRecord {
            number: AttemptNumber(1),
            worker: WorkerUid(1),
            worker_name: "w1".into(),
            incarnation: Incarnation { counter: 1, random: 1 },
            resources: AllocatedResources::default(),
            token: Secret::new(String::new()),
            assigned: WallTime(0),
            started: None,
            ended: None,
            outcome,
            launch_timed_out,
        }
    }

    #[test]
    fn a_worker_without_a_user_for_the_owner_counts_as_no_failed_launch() {
        let ended = |reason| attempt(Some(Outcome::without_exit(Fault::Platform, reason, "")), false);
        let mut record = driver(RestartCondition::Never, WorkerLostPolicy::Wait);
        let half_a_second = Duration::from_millis(500);
        let refused = Outcome::without_exit(Fault::Platform, Reason::NoUser, "");
        for _ in 0..5 {
            record.attempts.push(ended(Reason::NoUser));
            let (after, _) = next(&record, &refused, Duration::ZERO, WallTime(0), 3, 0);
            assert_eq!(after, AfterExit::Again(half_a_second));
        }
        // Neither do they hide the failures around them.
        record.attempts = [Reason::Refused, Reason::NoUser, Reason::Refused].map(ended).to_vec();
        assert_eq!(
            after(&record, &Outcome::without_exit(Fault::Platform, Reason::Refused, "")),
            AfterExit::Again(half_a_second * 2)
        );
    }

    #[test]
    fn a_launch_that_was_taken_back_counts_as_one_that_failed() {
        let ended = |reason, taken_back| attempt(Some(Outcome::without_exit(Fault::Platform, reason, "")), taken_back);
        let after = |record: &DriverRecord| {
            let outcome = record.attempts.last().and_then(|newest| newest.outcome.clone()).unwrap();
            next(record, &outcome, Duration::ZERO, WallTime(0), 3, 0).0
        };
        let half_a_second = Duration::from_millis(500);
        let mut record = driver(RestartCondition::OnFailure, WorkerLostPolicy::Rerun);
        record.attempts = vec![ended(Reason::Killed, true)];
        assert_eq!(after(&record), AfterExit::Again(half_a_second));
        record.attempts.push(ended(Reason::Refused, false));
        assert_eq!(after(&record), AfterExit::Again(half_a_second * 2));
        assert_eq!(resumed_delay(&record, 0), half_a_second * 2);
        record.attempts.push(ended(Reason::Killed, true));
        assert_eq!(after(&record), AfterExit::GiveUp(3));

        // What became of it for another reason stays what it is, and so does any other kill.
        let newest = record.attempts.len();
        for (reason, taken_back) in [(Reason::Lost, true), (Reason::Drained, true), (Reason::Killed, false)] {
            record.attempts.truncate(newest);
            record.attempts.push(ended(reason, taken_back));
            assert_eq!(after(&record), AfterExit::Again(Duration::ZERO), "{reason:?}");
        }
        record.attempts.push(ended(Reason::Killed, true));
        assert_eq!(after(&record), AfterExit::Again(half_a_second), "the first in a row");

        // Its process may have run, so that the policy has the word.
        let mut once = driver(RestartCondition::Never, WorkerLostPolicy::Wait);
        once.attempts = vec![ended(Reason::Killed, true)];
        assert_eq!(after(&once), AfterExit::End(DriverState::Failed));
        once.attempts = vec![ended(Reason::NeverStarted, true)];
        assert_eq!(after(&once), AfterExit::Again(half_a_second));
    }

    #[test]
    fn the_second_quick_loss_in_a_row_pauses_and_the_first_does_not() {
        let lost = Outcome::without_exit(Fault::Platform, Reason::Lost, "");
        let lasted = |seconds: u64| AttemptRecord {
            ended: Some(WallTime(seconds * 1_000)),
            ..attempt(Some(lost.clone()), false)
        };
        let mut record = driver(RestartCondition::OnFailure, WorkerLostPolicy::Rerun);
        let half_seconds = |count| AfterExit::Again(Duration::from_millis(500) * count);
        for (seconds, expected) in [(4, 0), (4, 1), (0, 2), (1, 4), (5, 0), (600, 0), (1, 0), (1, 1)] {
            record.attempts.push(lasted(seconds));
            assert_eq!(after(&record, &lost), half_seconds(expected), "after {seconds} s");
        }
        assert_eq!(resumed_delay(&record, 0), Duration::from_millis(500));
        record.attempts.push(lasted(1));
        assert_eq!(resumed_delay(&record, 0), Duration::from_secs(1));
    }

    #[test]
    fn only_the_platforms_end_of_a_launch_that_was_taken_back_is_named_so() {
        let named = |fault, taken_back| {
            name_time_out(Outcome::without_exit(fault, Reason::Killed, "as it was"), taken_back).message
        };
        assert_eq!(named(Fault::Platform, true), "its launch made no progress and was taken back");
        assert_eq!(named(Fault::User, true), "as it was");
        assert_eq!(named(Fault::Platform, false), "as it was");
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
