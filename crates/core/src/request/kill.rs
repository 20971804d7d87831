//! Kills of drivers.

use muster_types::{DriverRecord, DriverState, DriverUid, KillRecord, KilledBy, RequestId, WorkerCommand};

use crate::core::{Core, Ctx};
use crate::idempotency::{Lookup, RequestEffect};
use crate::{CallId, Rejection};

/// Request ids kept in the record of a kill: the newest.
const KEPT_KILL_REQUESTS: usize = 8;

fn remember_on_kill(record: &mut DriverRecord, request: RequestId) {
    let Some(kill) = &mut record.kill else { return };
    kill.requests.push(request);
    let surplus = kill.requests.len().saturating_sub(KEPT_KILL_REQUESTS);
    kill.requests.drain(..surplus);
}

impl Core {
    pub(crate) fn kill_driver(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        name: &str,
        request: Option<RequestId>,
        version: Option<u64>,
        by: KilledBy,
    ) {
        let Some(driver) = self.drivers.find(name) else {
            let name = name.to_owned();
            return self.reply(call, Err(Rejection::NotFound { kind: "driver", name }));
        };
        let uid = driver.record.uid;
        let found = driver.record.version;
        match request.as_ref().map_or(Lookup::New, |request| self.requests.see(request)) {
            Lookup::New => {}
            Lookup::Expired => return self.reply(call, Err(Rejection::RequestIdExpired)),
            Lookup::Before(made) if made == RequestEffect::KillDriver(uid) => return self.reply_driver(call, uid),
            Lookup::Before(_) => return self.reply(call, Err(Rejection::RequestIdReused)),
        }
        if let Some(wanted) = version.filter(|wanted| *wanted != found) {
            return self.reply(call, Err(Rejection::VersionMismatch { wanted, found }));
        }
        if let Some(request) = request.clone() {
            self.requests.remember(ctx.now.wall, request, RequestEffect::KillDriver(uid));
        }
        self.ask_for_end(ctx, uid, request, by);
        self.end_quarantined_of(by, |core, key| core.driver_behind(key) == Some(uid));
        self.reply_driver(call, uid);
    }

    /// A second kill changes nothing. Its request id is recorded all the same, so that the next
    /// leader answers a repetition alike, also when the driver has another version by then.
    fn ask_for_end(&mut self, ctx: &mut Ctx<'_>, uid: DriverUid, request: Option<RequestId>, by: KilledBy) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        if driver.live.is_terminal() {
            return;
        }
        if driver.record.kill.is_some() {
            if let Some(request) = request {
                self.put_driver(ctx.now, uid, |record| remember_on_kill(record, request));
            }
            return;
        }
        let kill = KillRecord { by, requests: request.into_iter().collect(), asked: ctx.now.wall };
        let Some((attempt, worker)) = driver.open_key() else {
            if self.restore.holds(uid) {
                return self.hold_kill(ctx, uid, kill);
            }
            return self.end_unplaced(ctx, uid, |record| record.kill = Some(kill), "killed before it ran");
        };
        let absent = driver.absent;
        driver.live = DriverState::Killing;
        self.put_driver(ctx.now, uid, |record| record.kill = Some(kill));
        self.emit_driver_event(ctx.now.wall, uid, None, "a kill was asked for");
        // An attempt that its worker does not have needs no kill. The answer would count as the end
        // of a driver of which a copy may run.
        if !absent {
            self.send_to(worker, attempt, WorkerCommand::Kill { attempt, at_once: false, by });
        }
    }

    /// Ends a driver that has no open attempt.
    pub(crate) fn end_unplaced(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: DriverUid,
        change: impl FnOnce(&mut DriverRecord),
        message: &str,
    ) {
        let Some(driver) = self.drivers.get_mut(uid) else { return };
        driver.live = DriverState::Killed;
        driver.retry = None;
        self.waiting.remove(uid);
        self.put_driver(ctx.now, uid, |record| {
            change(record);
            record.ended = Some(record.updated);
        });
        self.emit_driver_event(ctx.now.wall, uid, None, message);
        self.finish_driver(ctx.now, uid);
    }
}
