//! Attempts that run and that no record names.

use muster_types::{AttemptKey, AttemptState, Exit, KilledBy, Outcome, Report, RequestId, WorkerCommand, WorkerUid};

use super::block_of;
use crate::core::{Core, Ctx};
use crate::idempotency::RequestKind;
use crate::{CallId, Rejection};

impl Core {
    /// Whether no record names an attempt on this worker, as open there or as closed.
    pub(crate) fn is_unknown(&self, worker: WorkerUid, key: AttemptKey) -> bool {
        match key {
            AttemptKey::Driver(uid, number) => {
                let Some(driver) = self.drivers.get(uid) else { return true };
                let attempts = &driver.record.attempts;
                if let Some(named) = attempts.iter().find(|attempt| attempt.number == number) {
                    return self.is_elsewhere(named.outcome.is_some(), named.worker, worker);
                }
                let numbers = attempts.iter().map(|attempt| attempt.number.0);
                is_beyond(number.0, numbers)
            }
            AttemptKey::Executor(uid, id) => {
                let Some(application) = self.applications.get(uid) else { return true };
                if let Some(named) = application.executor(id) {
                    return self.is_elsewhere(!named.is_open(), named.record.worker, worker);
                }
                let numbers = application.executors().map(|executor| executor.record.id.0);
                let granted = application.next_executor.0.checked_sub(1);
                is_beyond(id.0, numbers.chain(granted))
            }
        }
    }

    /// Whether the record names another tree. A number is given to one worker, so the same number
    /// on another worker comes from the time that the store does not know.
    fn is_elsewhere(&self, closed: bool, named: WorkerUid, worker: WorkerUid) -> bool {
        self.cluster.generation > 1 && !closed && named != worker
    }

    /// Quarantines an attempt that no record names. If a kill of its driver or application was
    /// asked for, that includes this attempt.
    pub(crate) fn quarantine(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid, key: AttemptKey) {
        let wished = self.wished_end(key);
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.quarantined.insert(key);
        let marked_for_kill = worker.marked_for_kill.contains_key(&key);
        let follows = if marked_for_kill || wished.is_some() {
            "its end was asked for"
        } else {
            "left running, `muster worker end-quarantined` ends it"
        };
        let message = format!("runs {key}, which no record names: {follows}");
        self.emit_worker_event(ctx.now.wall, uid, &message);
        if let Some(driver) = self.driver_behind(key) {
            self.hold_again(ctx.now.wall, driver);
        }
        if let Some(by) = wished {
            self.mark_for_kill(uid, key, by);
        } else if marked_for_kill {
            self.send_end(uid, key);
        }
    }

    /// Who asked for the end of the attempt's driver or application, if anybody did.
    fn wished_end(&self, key: AttemptKey) -> Option<KilledBy> {
        let driver = self.driver_behind(key).and_then(|uid| self.drivers.get(uid));
        let killed = driver.and_then(|driver| driver.record.kill.as_ref()).map(|kill| kill.by);
        let application = match key {
            AttemptKey::Driver(..) => None,
            AttemptKey::Executor(uid, _) => self.applications.get(uid),
        };
        let ending = application.and_then(|application| application.record.ending.as_ref());
        killed.or(ending.filter(|ending| ending.by == "operator").map(|_| KilledBy::Operator))
    }

    /// Ends the quarantined attempts of a driver or application that is killed.
    pub(crate) fn end_quarantined_of(&mut self, by: KilledBy, is_owned: impl Fn(&Core, AttemptKey) -> bool) {
        if !self.leave_unknown {
            return;
        }
        let all = self.workers.iter().flat_map(|worker| worker.quarantined.iter().map(|key| (worker.record.uid, *key)));
        let owned: Vec<_> = all.filter(|(_, key)| is_owned(self, *key)).collect();
        for (worker, key) in owned {
            self.mark_for_kill(worker, key, by);
            self.boundary();
        }
    }

    /// Drops the marks of attempts that are not in the inventory any more.
    pub(crate) fn drop_stale_kill_marks(&mut self, uid: WorkerUid) {
        if let Some(worker) = self.workers.get_mut(uid) {
            worker.marked_for_kill.retain(|key, _| worker.quarantined.contains(key));
        }
    }

    fn mark_for_kill(&mut self, uid: WorkerUid, key: AttemptKey, by: KilledBy) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.marked_for_kill.insert(key, by);
        self.send_end(uid, key);
    }

    /// Sends the kill, once for each new stream. Repeating a kill does no harm.
    fn send_end(&mut self, uid: WorkerUid, attempt: AttemptKey) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        let Some(by) = worker.marked_for_kill.get(&attempt).copied() else { return };
        if let Some(link) = worker.ready_link().filter(|_| worker.kills.insert(attempt)) {
            self.out.send(link, WorkerCommand::Kill { attempt, at_once: false, by });
        }
    }

    /// Ends one quarantined attempt for an operator. The mark is not durable: if the attempt is
    /// still there under a new leader, the operator repeats the request.
    pub(crate) fn end_quarantined(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        name: &str,
        attempt: AttemptKey,
        request: Option<RequestId>,
    ) {
        let Some(uid) = self.worker_of_request(call, name, request.as_ref(), RequestKind::EndQuarantined) else {
            return;
        };
        let Some(worker) = self.workers.get(uid) else { return };
        if !worker.quarantined.contains(&attempt) {
            let name = format!("{attempt} quarantined on {}", worker.record.name);
            return self.reply(call, Err(Rejection::NotFound { kind: "attempt", name }));
        }
        if worker.ready_link().is_none() {
            let subject = format!("worker {}", worker.record.name);
            let message =
                "it is not heard at present, so nothing on it can be ended: ask again once it is back".to_owned();
            return self.reply(call, Err(Rejection::WrongState { subject, message }));
        }
        self.note_request(ctx, request.as_ref(), uid, RequestKind::EndQuarantined);
        self.put_worker(uid, |record| Self::remember_on_worker(record, request));
        self.mark_for_kill(uid, attempt, KilledBy::Operator);
        self.emit_worker_event(ctx.now.wall, uid, &format!("an operator ends {attempt}, which no record names"));
        self.reply_worker(call, uid);
    }

    /// Reports the end of an attempt that no record names as an event, so that its outcome is not
    /// lost.
    pub(crate) fn tell_unknown_end(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid, report: &Report) {
        if let AttemptState::Ended(outcome) = &report.state {
            let message = format!("{}, which no record names, ended: {}", report.attempt, in_words(outcome));
            self.emit_worker_event(ctx.now.wall, uid, &message);
        }
    }
}

/// Whether a number is larger than all known numbers of its block. A restore may have lost the
/// records of such numbers.
fn is_beyond(number: u32, mut known: impl Iterator<Item = u32>) -> bool {
    !known.any(|known| block_of(known) == block_of(number) && known >= number)
}

fn in_words(outcome: &Outcome) -> String {
    let reason = outcome.reason.as_str();
    match outcome.exit {
        Exit::Code(code) => format!("{reason} with code {code}"),
        Exit::Signal(signal) => format!("{reason} by signal {signal}"),
        Exit::None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_beyond;

    #[test]
    fn after_each_generations_last_number_are_those_that_were_forgotten() {
        let (second, third) = (1 << 20, 2 << 20);
        let known = [1, 2, 4, second, third, third + 1];
        let forgotten: Vec<u32> = [3, 5, second - 1, second + 1, third + 2, 3 << 20]
            .into_iter()
            .filter(|number| is_beyond(*number, known.into_iter()))
            .collect();
        assert_eq!(forgotten, [5, second - 1, second + 1, third + 2, 3 << 20]);
    }
}
