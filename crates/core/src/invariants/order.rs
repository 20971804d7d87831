//! Every effect comes after the write that it depends on: a launch follows its durable assignment,
//! the kill of a launch that is taken back follows the record that says so, and executors of an
//! earlier attempt are closed before the next attempt is launched.

use muster_types::{AttemptKey, DriverUid, KilledBy, WorkerCommand};

use super::{Fold, InvariantViolation, violate};
use crate::{Effect, Group, LinkId, ViewUpdate};

pub(super) fn check(fold: &Fold, group: &Group, found: &mut Vec<InvariantViolation>) {
    let mut shows_over = false;
    for effect in &group.effects {
        match effect {
            Effect::Send(link, commands) => {
                for command in commands {
                    check_command(fold, *link, command, found);
                }
            }
            Effect::UpdateView(ViewUpdate::Driver(shown)) => {
                if fold.drivers.get(&shown.record.uid).is_none_or(|record| record.version != shown.record.version) {
                    violate(found, "readers see what is durable", shown.record.id.to_string());
                }
            }
            Effect::Reply(..)
            | Effect::Welcome(_)
            | Effect::Refuse(..)
            | Effect::Acknowledge(..)
            | Effect::Reconnect(_)
            | Effect::Session(..)
            | Effect::EndSession(..)
            | Effect::WorkerLossCommitted(_)
            | Effect::UpdateView(_) => {}
        }
        let is_show = matches!(effect, Effect::UpdateView(_));
        if is_show && shows_over {
            violate(found, "a write is seen before its reply", "a show after another effect");
        }
        shows_over |= !is_show;
    }
}

fn check_command(fold: &Fold, link: LinkId, command: &WorkerCommand, found: &mut Vec<InvariantViolation>) {
    let attempt = match command {
        WorkerCommand::Launch(launch) => launch.attempt,
        // An attempt that no record names is quarantined, and may go on.
        WorkerCommand::Thaw { attempt } if !is_named(fold, *attempt) => return,
        WorkerCommand::Thaw { attempt } => *attempt,
        WorkerCommand::Kill { attempt, by: KilledBy::Fence, .. } => {
            return check_taken_back(fold, link, *attempt, found);
        }
        WorkerCommand::Kill { .. } | WorkerCommand::ApplicationGone(_) => return,
    };
    let incarnation = fold.workers.get(&link.worker).map(|worker| worker.incarnation);
    let assigned = match attempt {
        AttemptKey::Driver(uid, number) => {
            check_executors_closed(fold, uid, found);
            let newest = fold.drivers.get(&uid).and_then(|record| record.attempts.last());
            newest
                .filter(|attempt| attempt.number == number && attempt.outcome.is_none())
                .map(|attempt| (attempt.worker, attempt.incarnation))
        }
        AttemptKey::Executor(uid, id) => {
            let open = fold.executor(uid, id).filter(|executor| executor.outcome.is_none());
            open.map(|executor| (executor.worker, executor.incarnation))
        }
    };
    if assigned.is_none_or(|(worker, of)| worker != link.worker || Some(of) != incarnation) {
        violate(found, "a launch or thaw follows its write", attempt.to_string());
    }
}

/// An attempt that is open on the worker is fenced only where its record says that its launch was
/// taken back: the next leader, to which its end may be reported, knows nothing else.
fn check_taken_back(fold: &Fold, link: LinkId, key: AttemptKey, found: &mut Vec<InvariantViolation>) {
    let unmarked = match key {
        AttemptKey::Driver(uid, number) => fold.drivers.get(&uid).is_some_and(|record| {
            let open = record.attempts.last().filter(|open| open.number == number && open.outcome.is_none());
            open.is_some_and(|open| open.worker == link.worker && !open.launch_timed_out)
        }),
        AttemptKey::Executor(uid, id) => fold.executor(uid, id).is_some_and(|executor| {
            executor.outcome.is_none() && executor.worker == link.worker && !executor.launch_timed_out
        }),
    };
    if unmarked {
        violate(found, "a launch that is taken back is marked first", key.to_string());
    }
}

fn is_named(fold: &Fold, key: AttemptKey) -> bool {
    match key {
        AttemptKey::Driver(uid, number) => {
            let record = fold.drivers.get(&uid);
            record.is_some_and(|record| record.attempts.iter().any(|attempt| attempt.number == number))
        }
        AttemptKey::Executor(uid, id) => fold.executor(uid, id).is_some(),
    }
}

/// Executors of an earlier attempt are part of that copy of the driver, so they must be closed,
/// too.
fn check_executors_closed(fold: &Fold, uid: DriverUid, found: &mut Vec<InvariantViolation>) {
    let of_driver = |owner: &Option<(DriverUid, _, _)>| owner.as_ref().is_some_and(|(driver, _, _)| *driver == uid);
    let newest = fold.drivers.get(&uid).and_then(|record| record.attempts.last()).map(|attempt| attempt.number);
    for application in fold.applications.values().filter(|application| of_driver(&application.driver)) {
        let earlier = application.driver.as_ref().is_some_and(|(_, _, number)| Some(*number) != newest);
        if earlier && fold.executors_of(application.uid).values().any(|executor| executor.outcome.is_none()) {
            violate(found, "executors are part of the copy", application.id.to_string());
        }
    }
}
