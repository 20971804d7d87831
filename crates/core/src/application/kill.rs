//! Kills of executors by their application.

use std::collections::{BTreeMap, BTreeSet};

use muster_types::{ApplicationUid, ExecutorId, ExecutorState, KilledBy, ProfileId, RequestId, WorkerCommand};

use crate::core::{Core, Ctx};
use crate::idempotency::RequestKind;
use crate::{Answer, CallId, KillResult};

impl Core {
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one request")]
    pub(crate) fn kill_executors(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        name: &str,
        token: Option<&str>,
        executors: &[ExecutorId],
        replace: bool,
        request: Option<RequestId>,
    ) {
        let uid = match self.application_for(name, token) {
            Ok(uid) => uid,
            Err(rejection) => return self.reply(call, Err(rejection)),
        };
        let now = ctx.now;
        let repeat = |core: &mut Core| core.repeat_kill(now, call, uid, executors);
        if !self.is_new_request(call, uid, request.as_ref(), RequestKind::KillExecutors, repeat)
            || self.refuse_over(call, uid)
        {
            return;
        }
        self.note_application_request(ctx, request.as_ref(), uid, RequestKind::KillExecutors);
        let fresh: Vec<ExecutorId> = executors.iter().copied().filter(|id| self.can_be_killed(uid, *id)).collect();
        let lowered = if replace { BTreeMap::new() } else { self.counted_by_profile(uid, &fresh) };
        // The targets are written first. If a crash follows, the executors still run and the
        // repeated request ends them; in the other order they would be replaced.
        self.put_application(ctx.now, uid, request, |record| {
            for (profile, count) in lowered {
                let target = record.targets.entry(profile).or_default();
                *target = target.saturating_sub(count);
            }
        });
        let mut results = Vec::with_capacity(executors.len());
        for id in executors {
            results.push((*id, self.kill_one(ctx, uid, *id, replace)));
            self.boundary();
        }
        self.refresh_demand(ctx.now, uid);
        self.reply(call, Ok(Answer::Killed(results)));
    }

    fn can_be_killed(&self, uid: ApplicationUid, id: ExecutorId) -> bool {
        let executor = self.applications.get(uid).and_then(|application| application.executor(id));
        executor.is_some_and(|executor| executor.is_open() && executor.record.killed_by.is_none())
    }

    /// The executors to kill, by profile. Each is counted once, and only if it counted towards its
    /// target.
    fn counted_by_profile(&self, uid: ApplicationUid, ids: &[ExecutorId]) -> BTreeMap<ProfileId, u32> {
        let mut counted = BTreeMap::new();
        let Some(application) = self.applications.get(uid) else { return counted };
        let once: BTreeSet<_> = ids.iter().collect();
        for executor in once.into_iter().filter_map(|id| application.executor(*id)) {
            if executor.counts() {
                *counted.entry(executor.record.profile).or_default() += 1;
            }
        }
        counted
    }

    fn kill_one(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid, id: ExecutorId, replace: bool) -> KillResult {
        if self.can_be_killed(uid, id) {
            if replace {
                self.lose_executor(ctx, uid, id);
            }
            self.ask_for_executor_end(ctx, uid, id, KilledBy::Application);
            return KillResult::Killed;
        }
        match self.applications.get(uid) {
            Some(application) if id < application.next_executor => KillResult::AlreadyGone,
            Some(_) | None => KillResult::Unknown,
        }
    }

    /// Answers a repeated request with the same results, and does what a crash left undone.
    fn repeat_kill(&mut self, now: muster_types::Now, call: CallId, uid: ApplicationUid, executors: &[ExecutorId]) {
        let mut results = Vec::with_capacity(executors.len());
        let mut answered = BTreeSet::new();
        for id in executors {
            if self.can_be_killed(uid, *id) {
                self.mark_executor_killed(now, uid, *id, KilledBy::Application);
                self.boundary();
            }
            let Some(application) = self.applications.get(uid) else { return };
            let killed = application
                .executor(*id)
                .is_some_and(|executor| executor.record.killed_by == Some(KilledBy::Application));
            let result = if killed && answered.insert(*id) {
                KillResult::Killed
            } else if *id < application.next_executor {
                KillResult::AlreadyGone
            } else {
                KillResult::Unknown
            };
            results.push((*id, result));
        }
        self.reply(call, Ok(Answer::Killed(results)));
    }

    /// Asks for the end of an executor, unless that was asked before. Returns whether it did.
    pub(crate) fn ask_for_executor_end(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: ApplicationUid,
        id: ExecutorId,
        by: KilledBy,
    ) -> bool {
        let asks = self.can_be_killed(uid, id);
        if asks {
            self.mark_executor_killed(ctx.now, uid, id, by);
        }
        asks
    }

    fn mark_executor_killed(&mut self, now: muster_types::Now, uid: ApplicationUid, id: ExecutorId, by: KilledBy) {
        self.change_executor(uid, id, |executor, record| {
            executor.live = ExecutorState::Killing;
            record.state = ExecutorState::Killing;
            record.killed_by = Some(by);
        });
        self.emit_executor_event(now.wall, uid, id, "a kill was asked for");
        let Some(application) = self.applications.get(uid) else { return };
        let key = application.key(id);
        if let Some(worker) = application.executor(id).map(|executor| executor.record.worker) {
            self.send_to(worker, key, WorkerCommand::Kill { attempt: key, at_once: false, by });
        }
    }
}
