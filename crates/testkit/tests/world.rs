//! The simulation: the world holds under every fault, the runs meet the faults that they are for,
//! and faults that are put into the code are caught.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; its output is for who reads it"
)]

use muster_testkit::world::{self, Sabotage, Steps};

/// Seeds of the gate: enough that rare events come several times.
const SEEDS: u64 = 600;
/// Seeds within which a planted fault must be caught.
const PLANTED: u64 = 1_000;

/// What the runs must meet all together, and how often at least: runs that meet no fault prove
/// nothing.
const MET: [(&str, u64); 41] = [
    ("failover", 300),
    ("standby followed", 1_000),
    ("win with the rest of what was followed", 20),
    ("leader died", 100),
    ("live leader deposed", 50),
    ("leader past its deadline", 50),
    ("leader steps down", 50),
    ("master stopped in the middle", 100),
    ("outcome unknown", 100),
    ("state thrown away", 20),
    ("write fenced", 20),
    ("write of a dead master applied", 5),
    ("transaction sent twice", 10),
    ("store's answer lost", 50),
    ("partition", 300),
    ("stream broken", 500),
    ("late word of an older stream", 100),
    ("hello refused for its epoch", 1),
    ("heartbeat not answered past the deadline", 5),
    ("worker lost", 100),
    ("leased attempt lost", 50),
    ("attempt after another", 300),
    ("attempt never started", 50),
    ("launch taken back", 300),
    ("tree frozen", 50),
    ("tree thawed", 20),
    ("tree not confirmed in time", 5),
    ("thaw refused without a lease", 1),
    ("accept refused without a lease", 10),
    ("cut off while it prepares", 50),
    ("prepared when it is back", 5),
    ("agent and runner stopped together", 50),
    ("guard closes its brake", 50),
    ("guard opens its brake", 50),
    ("guard stopped", 50),
    ("agent died", 300),
    ("runner died", 100),
    ("reboot", 50),
    ("disk lost", 50),
    ("orphans left", 300),
    ("call made again", 500),
];

#[test]
fn whatever_fails_the_promise_holds_and_everything_ends() {
    let report = match world::run_all(1, SEEDS, Steps::default(), &[]) {
        Ok(report) => report,
        Err(broken) => panic!("{broken}"),
    };
    for (what, times) in &report.tally {
        println!("{times:>9} {what}");
    }
    println!("{SEEDS} seeds, {} steps, {} events", report.steps, report.events);
    for (what, least) in MET {
        assert!(report.count(what) >= least, "{what}: met {} times, {least} wanted", report.count(what));
    }
}

#[test]
fn beyond_the_bound_of_clocks_copies_may_overlap_and_all_else_holds() {
    let report = match world::run_all(1, 600, Steps::default(), &[Sabotage::DriftBeyondBound]) {
        Ok(report) => report,
        Err(broken) => panic!("{broken}"),
    };
    assert!(report.count("overlap under wild clocks") > 0, "the clocks are not wild enough to prove anything");
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    let first = world::run(7, Steps::default(), &[]).map(|report| (report.events, report.tally));
    let second = world::run(7, Steps::default(), &[]).map(|report| (report.events, report.tally));
    assert_eq!(first.ok(), second.ok());
}

/// Fails unless the fault is caught.
#[track_caller]
fn assert_caught(fault: Sabotage) {
    let Some(broken) = world::catch(fault, 1, PLANTED, Steps::default()) else {
        panic!("{fault:?} is not caught within {PLANTED} seeds");
    };
    println!("{fault:?}: seed {}, {:?}", broken.seed, broken.rules);
}

macro_rules! planted {
    ($($name:ident: $fault:ident,)*) => {
        $(#[test]
        fn $name() {
            assert_caught(Sabotage::$fault);
        })*

        /// Whether a test above plants the fault. A fault that is not among them does not compile.
        fn is_planted(fault: Sabotage) -> bool {
            match fault {
                $(Sabotage::$fault => true,)*
                // No fault of the code: it has a test of its own, in which everything else holds.
                Sabotage::DriftBeyondBound => false,
            }
        }
    };
}

mod planted {
    use super::*;

    planted! {
        epoch_guard_off: EpochGuardOff,
        send_before_write: SendBeforeWrite,
        attempt_check_off: AttemptCheckOff,
        session_check_off: SessionCheckOff,
        incarnation_check_off: IncarnationCheckOff,
        lease_beyond_the_wait: LeaseBeyondWait,
        lease_counted_from_receipt: LeaseFromReceipt,
        heartbeat_answered_before_the_table: AnswerBeforeTable,
        request_id_not_stored: RequestNotStored,
        report_acknowledged_before_commit: AcknowledgeBeforeCommit,
        state_loaded_before_the_old_key_is_gone: LoadBeforeWin,
        executors_granted_twice_after_failover: ExecutorsForgotten,
        state_loaded_again_under_the_same_key: ReloadUnderSameKey,
        no_wait_after_the_win: NoWaitAfterWin,
        leased_attempt_accepted_without_a_lease: AcceptWithoutLease,
        leased_start_without_a_lease: StartWithoutLease,
        frozen_tree_thawed_without_a_lease: ThawWithoutLease,
        what_a_dead_agent_wrote_is_read: OldSocketRead,
        nobody_stops_what_is_leased_while_agent_and_runner_are_stopped: GuardTakenAway,
    }

    #[test]
    fn every_fault_has_a_test() {
        for fault in Sabotage::ALL {
            assert!(is_planted(fault), "{fault:?}");
        }
    }
}
