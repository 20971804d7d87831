//! Grants of executors: each is written, then launched.

use std::sync::Arc;

use muster_types::{
    ApplicationUid, AttemptKey, ExecutorId, ExecutorRecord, ExecutorState, KilledBy, Launch, Now, ProfileId,
    WorkerCommand,
};

use crate::ApplicationEvent;
use crate::core::{Core, Ctx};
use crate::placement::ExecutorPlacement;
use crate::restore::first_number;
use crate::state::{Application, Executor};
use crate::timers::Timer;

impl Core {
    /// Creates an executor on the worker that placement chose. The fleet has already taken its
    /// resources.
    pub(crate) fn grant_executor(&mut self, ctx: &mut Ctx<'_>, placement: ExecutorPlacement) {
        let uid = placement.application;
        self.skip_forgotten_numbers(uid);
        let Some(application) = self.applications.get_mut(uid) else { return };
        let Some(worker) = self.workers.get_mut(placement.worker) else { return };
        let before = application.live();
        let id = application.next_executor;
        worker.assigned.insert(application.key(id), placement.resources.clone());
        let record = Arc::new(ExecutorRecord {
            id,
            profile: placement.profile,
            worker: placement.worker,
            worker_name: worker.record.name.clone(),
            host: worker.record.host.clone(),
            incarnation: worker.record.incarnation,
            resources: placement.resources,
            state: ExecutorState::Launching,
            killed_by: None,
            created: ctx.now.wall,
            started: None,
            ended: None,
            outcome: None,
            launch_timed_out: false,
        });
        let mut executor = Executor::new(Arc::clone(&record));
        executor.launched = Some(ctx.now.time);
        application.add(executor);
        let changed = application.live() != before;
        self.out.write_executor(uid, (*record).clone());
        self.out.touched.workers.insert(placement.worker);
        self.changed_demands.insert(uid);
        self.emit_executor_event(ctx.now.wall, uid, id, "");
        if changed {
            self.emit_application_event(ctx.now.wall, uid, "");
        }
        if let Some(shown) = self.shown_executor(uid, id) {
            self.tell_session(uid, ApplicationEvent::Added(shown));
        }
        self.launch_executor(ctx.now, uid, id);
    }

    /// Makes the next executor's number larger than all earlier ones, including those that a
    /// restored store does not know.
    fn skip_forgotten_numbers(&mut self, uid: ApplicationUid) {
        let least = ExecutorId(first_number(self.cluster.generation));
        let Some(application) = self.applications.get_mut(uid) else { return };
        if application.record.generation < self.cluster.generation {
            application.next_executor = application.next_executor.max(least);
        }
    }

    fn launch_executor(&mut self, now: Now, uid: ApplicationUid, id: ExecutorId) {
        let Some(application) = self.applications.get(uid) else { return };
        let Some(executor) = application.executor(id) else { return };
        let Some(launch) = launch_of(application, executor) else { return };
        let (key, worker) = (application.key(id), executor.record.worker);
        self.send_to(worker, key, WorkerCommand::Launch(Arc::new(launch)));
        self.timers.arm(now.time + self.config.launch_progress, Timer::Progress(key));
    }

    /// Launches an executor again under the same number, because the worker's present incarnation
    /// never accepted it. A write of this term precedes the launch.
    pub(crate) fn launch_executor_again(&mut self, now: Now, uid: ApplicationUid, id: ExecutorId) {
        self.change_executor(uid, id, |executor, record| {
            executor.live = ExecutorState::Launching;
            executor.pid = None;
            executor.progress = false;
            executor.launched = Some(now.time);
            record.state = ExecutorState::Launching;
        });
        self.refresh_demand(now, uid);
        self.emit_executor_event(now.wall, uid, id, "launched again: its worker never had it");
        self.launch_executor(now, uid, id);
    }

    /// Takes back a launch of which nothing was heard, as that of a driver. The executor stays open
    /// until its end is reported, and another takes its place after a pause.
    pub(crate) fn ask_back_executor(&mut self, ctx: &mut Ctx<'_>, key: AttemptKey) {
        let AttemptKey::Executor(uid, id) = key else { return };
        let Some(application) = self.applications.get(uid) else { return };
        let Some(executor) = application.executor(id).filter(|executor| executor.is_open()) else { return };
        let worker = executor.record.worker;
        let stuck = executor.live == ExecutorState::Launching && !executor.progress && !executor.is_taken_back();
        let due = executor.launched.is_some_and(|at| at + self.config.launch_progress <= ctx.now.time);
        let heard = self.workers.get(worker).is_some_and(|worker| worker.ready_link().is_some());
        if !stuck || !due || !heard {
            return;
        }
        self.lose_executor(ctx, uid, id);
        self.mark_taken_back(ctx.now, key, true);
        self.set_failing(ctx.now.wall, worker, true);
        self.emit_executor_event(ctx.now.wall, uid, id, "its launch made no progress and is asked back");
        self.send_to(worker, key, WorkerCommand::Kill { attempt: key, at_once: true, by: KilledBy::Fence });
    }
}

fn launch_of(application: &Application, executor: &Executor) -> Option<Launch> {
    let record = &executor.record;
    let profile = application.profile(record.profile)?;
    let template = profile.template.as_ref().unwrap_or(&application.record.spec.template);
    let mut variables = profile.variables.clone();
    let ProfileId(number) = profile.id;
    variables.insert("EXECUTOR_ID".to_owned(), record.id.to_string());
    variables.insert("APP_ID".to_owned(), application.record.id.to_string());
    variables.insert("PROFILE_ID".to_owned(), number.to_string());
    Some(Launch {
        attempt: application.key(record.id),
        id: application.record.id.to_string(),
        leased: application.leased,
        command: Arc::clone(&template.command),
        artifacts: Arc::clone(&template.artifacts),
        resources: record.resources.clone(),
        kill_grace: template.kill_grace,
        log_limit: template.log_limit,
        token: None,
        variables,
        resources_component: Arc::clone(&template.resources_component),
        owner: application.record.owner.clone(),
        run_as: None,
        trace: application.record.trace,
    })
}
