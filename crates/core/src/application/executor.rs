//! Reports, losses and ends of executors.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{
    ApplicationState, ApplicationUid, AttemptState, ExecutorId, ExecutorRecord, ExecutorState, Exit, Fault, KilledBy,
    Outcome, Reason, Report, WallTime,
};

use crate::ApplicationEvent;
use crate::core::{Core, Ctx};
use crate::restart;
use crate::state::{Application, Executor};
use crate::timers::Timer;

impl Core {
    /// Changes an executor and its record, and stores it.
    pub(crate) fn change_executor(
        &mut self,
        uid: ApplicationUid,
        id: ExecutorId,
        change: impl FnOnce(&mut Executor, &mut ExecutorRecord),
    ) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        let mut stored = None;
        application.change(id, |executor| {
            let mut record = (*executor.record).clone();
            change(executor, &mut record);
            executor.record = Arc::new(record.clone());
            stored = Some(record);
        });
        if let Some(record) = stored {
            self.out.write_executor(uid, record);
            self.out.touched.executors.insert((uid, id));
        }
    }

    /// A report of an executor that is open.
    pub(crate) fn executor_report(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid, id: ExecutorId, report: &Report) {
        if let AttemptState::Ended(outcome) = &report.state {
            return self.close_executor(ctx, uid, id, outcome.clone(), report.started, report.ended);
        }
        let Some(application) = self.applications.get_mut(uid) else { return };
        let Some(before) = application.executor(id).map(|executor| (executor.live, executor.pid)) else { return };
        let live_before = application.live();
        application.change(id, |executor| {
            executor.progress = true;
            executor.pid = report.pid;
            executor.started = report.started.or(executor.started);
            if executor.record.killed_by.is_none() {
                executor.live = match &report.state {
                    AttemptState::Accepted => ExecutorState::Launching,
                    AttemptState::Running
                    | AttemptState::Frozen
                    | AttemptState::Killing { .. }
                    | AttemptState::Ended(_) => ExecutorState::Running,
                };
            }
        });
        let Some(after) = application.executor(id).map(|executor| (executor.live, executor.pid)) else { return };
        if before == after {
            return;
        }
        let changed = application.live() != live_before;
        self.emit_executor_event(ctx.now.wall, uid, id, "");
        if changed {
            self.emit_application_event(ctx.now.wall, uid, "");
        }
        if after.0 == ExecutorState::Running
            && let Some(shown) = self.shown_executor(uid, id)
        {
            self.tell_session(uid, ApplicationEvent::Running(shown));
        }
        if before.0 == ExecutorState::Unreachable {
            self.refresh_demand(ctx.now, uid);
        }
    }

    /// Closes an executor, if it is open. The caller has one of the proofs of I-CLOSE that nothing
    /// of it is left.
    pub(crate) fn close_executor(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: ApplicationUid,
        id: ExecutorId,
        outcome: Outcome,
        started: Option<WallTime>,
        ended: Option<WallTime>,
    ) {
        let Some(application) = self.applications.get(uid) else { return };
        let Some(executor) = application.executor(id).filter(|executor| executor.is_open()) else { return };
        let live_before = application.live();
        let (key, worker) = (application.key(id), executor.record.worker);
        let replaced = executor.counts();
        let outcome = restart::judge(outcome, is_users(executor.record.killed_by));
        let outcome = restart::name_time_out(outcome, executor.is_taken_back());
        let state = end_state(&outcome, executor.record.killed_by);
        if replaced {
            self.lose_executor(ctx, uid, id);
        }
        let now = ctx.now;
        let verdict = outcome.clone();
        self.change_executor(uid, id, |executor, record| {
            executor.live = state;
            executor.pid = None;
            record.state = state;
            record.started = started.or(executor.started);
            record.ended = Some(ended.unwrap_or(now.wall));
            record.outcome = Some(verdict);
        });
        self.release(worker, key);
        self.emit_executor_event(ctx.now.wall, uid, id, "");
        self.tell_session_of_end(uid, id, &outcome);
        self.keep_finished(uid, id);
        if self.applications.get(uid).is_some_and(|application| application.live() != live_before) {
            self.emit_application_event(ctx.now.wall, uid, "");
        }
        self.count_executor_failure(ctx, uid, &outcome);
        self.fail_without_executors(ctx, uid);
        self.refresh_demand(ctx.now, uid);
        self.complete_ending(ctx, uid);
    }

    fn tell_session_of_end(&mut self, uid: ApplicationUid, id: ExecutorId, outcome: &Outcome) {
        let Some(shown) = self.shown_executor(uid, id) else { return };
        let machine_stands = self.workers.get(shown.record.worker).is_some_and(|worker| worker.link.is_some());
        let event = match (outcome.reason, machine_stands) {
            (Reason::Lost | Reason::Forgotten, false) => ApplicationEvent::WorkerLost(shown),
            (Reason::Lost | Reason::Forgotten, true) => ApplicationEvent::ProcessLost(shown),
            (Reason::Exited, true) if outcome.exit == Exit::None => ApplicationEvent::ProcessLost(shown),
            _ => ApplicationEvent::Ended(shown),
        };
        self.tell_session(uid, event);
    }

    /// Tells the session that an executor's worker is lost. The executor may still run there.
    pub(crate) fn tell_worker_lost(&mut self, uid: ApplicationUid, id: ExecutorId) {
        if let Some(shown) = self.shown_executor(uid, id) {
            self.tell_session(uid, ApplicationEvent::WorkerLost(shown));
        }
    }

    /// Called when an executor no longer counts towards its target. The replacement always backs
    /// off; further losses during a back-off do not prolong it.
    pub(crate) fn lose_executor(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid, id: ExecutorId) {
        let random = ctx.entropy.next();
        let Some(application) = self.applications.get_mut(uid) else { return };
        if application.is_over() || application.backoff.is_some_and(|until| until > ctx.now.time) {
            return self.refresh_demand(ctx.now, uid);
        }
        let policy = &application.record.spec.executor_restart;
        let started = application.executor(id).and_then(|executor| executor.started);
        let ran = started.map_or(0, |started| ctx.now.wall.0.saturating_sub(started.0));
        if Duration::from_millis(ran) >= policy.backoff_reset_after {
            application.losses = 0;
        }
        application.losses = application.losses.saturating_add(1);
        let until = ctx.now.time + restart::delay(policy, application.losses, random);
        application.backoff = Some(until);
        self.timers.arm(until, Timer::Backoff(uid));
        self.refresh_demand(ctx.now, uid);
    }

    /// Counts a failure within the window, if the program is responsible for it.
    fn count_executor_failure(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid, outcome: &Outcome) {
        if outcome.fault != Fault::Program || outcome.is_success() {
            return;
        }
        let Some(application) = self.applications.get(uid).filter(|application| !application.is_over()) else { return };
        let policy = application.record.spec.executor_restart.clone();
        self.put_application(ctx.now, uid, None, |record| {
            restart::count_failure(&mut record.failures, &policy, record.updated);
        });
    }

    /// Ends an application with too many failures once none of its executors runs. A running
    /// executor would show that the program works and that a machine is at fault.
    fn fail_without_executors(&mut self, ctx: &mut Ctx<'_>, uid: ApplicationUid) {
        let Some(application) = self.applications.get(uid).filter(|application| !application.is_over()) else { return };
        let policy = &application.record.spec.executor_restart;
        let failed = restart::failures_within(&application.record.failures, policy, ctx.now.wall);
        if failed < policy.max_attempts.max(1) || self.may_run_any(application) {
            return;
        }
        let message = format!("{failed} executors failed within {} s, and none runs", policy.window.as_secs());
        self.begin_ending(ctx, uid, ApplicationState::Failed, "application", message, Duration::ZERO);
    }

    /// Whether an executor runs, or may run: its worker is disconnected, or has not reported to
    /// this leader.
    fn may_run_any(&self, application: &Application) -> bool {
        let open = application.open.iter().filter_map(|id| application.executor(*id));
        open.into_iter().any(|executor| match executor.live {
            ExecutorState::Running | ExecutorState::Unreachable => true,
            ExecutorState::Launching => {
                self.workers.get(executor.record.worker).is_some_and(|worker| !worker.accounted)
            }
            ExecutorState::Killing
            | ExecutorState::Exited
            | ExecutorState::Killed
            | ExecutorState::Failed
            | ExecutorState::Lost => false,
        })
    }

    /// Keeps the newest finished executors of an application.
    fn keep_finished(&mut self, uid: ApplicationUid, id: ExecutorId) {
        let most = self.config.kept_executors;
        let Some(application) = self.applications.get_mut(uid) else { return };
        application.finished.push_back(id);
        while application.finished.len() > most {
            if let Some(oldest) = application.finished.pop_front() {
                application.remove(oldest);
                self.out.touched.executors.insert((uid, oldest));
            }
        }
    }

    /// Sets whether an executor drains. A draining executor does not count towards its target, and
    /// its session is told.
    pub(crate) fn mark_executor_draining(
        &mut self,
        ctx: &mut Ctx<'_>,
        uid: ApplicationUid,
        id: ExecutorId,
        draining: bool,
    ) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        application.change(id, |executor| executor.draining = draining);
        self.out.touched.executors.insert((uid, id));
        self.refresh_demand(ctx.now, uid);
        let Some(shown) = self.shown_executor(uid, id).filter(|_| draining) else { return };
        let drain = self.workers.get(shown.record.worker).and_then(|worker| worker.record.drain.as_ref());
        let deadline = drain.and_then(|drain| drain.deadline).map(|length| ctx.now.wall + length);
        self.tell_session(uid, ApplicationEvent::Draining(shown, deadline));
    }
}

/// Whether a user asked for the end, and not Muster itself.
fn is_users(by: Option<KilledBy>) -> bool {
    match by {
        Some(KilledBy::Application | KilledBy::Operator) => true,
        Some(KilledBy::Preemption | KilledBy::Drain | KilledBy::Lease | KilledBy::Fence) | None => false,
    }
}

fn end_state(outcome: &Outcome, killed_by: Option<KilledBy>) -> ExecutorState {
    match outcome.reason {
        Reason::Lost | Reason::Forgotten => ExecutorState::Lost,
        _ if killed_by.is_some() => ExecutorState::Killed,
        Reason::Exited | Reason::OutOfMemory | Reason::LogLimit => ExecutorState::Exited,
        Reason::Killed | Reason::Drained | Reason::OwnerEnded | Reason::LeaseEnded => ExecutorState::Killed,
        Reason::NeverStarted
        | Reason::NotFound
        | Reason::NotExecutable
        | Reason::SpawnFailed
        | Reason::ArtifactFailed
        | Reason::WorkDirFailed
        | Reason::UnknownVariable
        | Reason::Refused
        | Reason::NoUser => ExecutorState::Failed,
    }
}
