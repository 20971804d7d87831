//! The state machine: its state, and which method handles which input.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_types::{AllocatedResources, ApplicationUid, AttemptKey, Now, RoleBindings, Time, WorkerUid};

use crate::application::NewApplication;
use crate::idempotency::IdempotencyIndex;
use crate::outbox::Outbox;
use crate::placement::{DriverQueue, ExecutorQueue, Fleet};
use crate::request::NewDriver;
use crate::restore::RestoreHold;
use crate::retention::FinishedRecords;
use crate::state::{Applications, Drivers, Tokens, Workers};
use crate::timers::{Timer, Timers};
use crate::{CallId, ClusterInfo, Config, Entropy, Group, Input, Request};

/// The master's decisions. The caller feeds it inputs, runs [`Core::place`] once per batch, and
/// then acts on what [`Core::drain`] returns.
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) cluster: ClusterInfo,
    pub(crate) drivers: Drivers,
    pub(crate) workers: Workers,
    pub(crate) applications: Applications,
    pub(crate) tokens: Tokens,
    /// Roles of users and groups. No decision depends on them.
    pub(crate) roles: Arc<RoleBindings>,
    pub(crate) requests: IdempotencyIndex,
    pub(crate) retention: FinishedRecords,
    pub(crate) timers: Timers,
    pub(crate) fleet: Fleet,
    pub(crate) waiting: DriverQueue,
    pub(crate) demands: ExecutorQueue,
    /// Applications whose demand changed since the last placement.
    pub(crate) changed_demands: BTreeSet<ApplicationUid>,
    /// Attempts assigned to workers whose record could not be read.
    pub(crate) unplaced_attempts: BTreeMap<WorkerUid, Vec<(AttemptKey, AllocatedResources)>>,
    /// Whether attempts that no record names are left running: after a restore, or when some
    /// records could not be read.
    pub(crate) leave_unknown: bool,
    pub(crate) restore: RestoreHold,
    pub(crate) out: Outbox,
}

/// The time of an input, and the source of random numbers.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Now,
    pub(crate) entropy: &'a mut dyn Entropy,
}

impl Core {
    /// The core of an empty cluster.
    pub fn new(config: Config, cluster: ClusterInfo) -> Core {
        Core {
            requests: IdempotencyIndex::new(config.kept_requests, config.kept),
            leave_unknown: cluster.generation > 1,
            restore: RestoreHold::new(cluster.generation),
            unplaced_attempts: BTreeMap::new(),
            config,
            cluster,
            drivers: Drivers::default(),
            workers: Workers::default(),
            applications: Applications::default(),
            tokens: Tokens::default(),
            roles: Arc::default(),
            retention: FinishedRecords::default(),
            timers: Timers::default(),
            fleet: Fleet::new(),
            waiting: DriverQueue::new(),
            demands: ExecutorQueue::new(),
            changed_demands: BTreeSet::new(),
            out: Outbox::default(),
        }
    }

    /// Begins the term, in this cluster.
    pub(crate) fn begin(&mut self, cluster: ClusterInfo) {
        self.leave_unknown = cluster.generation > 1;
        self.restore = RestoreHold::new(cluster.generation);
        self.cluster = cluster;
    }

    /// Handles one input. It cannot fail: an invalid input is answered with a rejection, or
    /// ignored.
    pub fn handle(&mut self, now: Now, entropy: &mut dyn Entropy, input: Input) {
        let ctx = &mut Ctx { now, entropy };
        match input {
            Input::Call(call, request) => self.handle_call(ctx, call, request),
            Input::SessionBroken(application, session) => self.break_session(ctx, application, session),
            Input::Hello(link, hello) => self.hello(ctx, link, *hello),
            Input::Inventory(link, reports, complete) => self.inventory(ctx, link, reports, complete),
            Input::Reports(link, reports) => self.reports(ctx, link, reports),
            Input::LinkBroken(link) => self.break_link(ctx, link),
            Input::Expired(workers) => self.expire_workers(ctx, workers),
            Input::Tick => self.tick(ctx),
        }
        self.boundary();
    }

    /// Takes the groups for the next commit, in order. Each group is atomic, and every prefix of
    /// them is a legal state.
    pub fn drain(&mut self) -> Vec<Group> {
        self.seal();
        self.out.take()
    }

    /// When the core next wants a [`Input::Tick`].
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    fn handle_call(&mut self, ctx: &mut Ctx<'_>, call: CallId, request: Request) {
        match request {
            Request::SubmitDriver { id, spec, request, owner, trace, validate_only } => {
                self.submit_driver(ctx, call, NewDriver { id, spec, owner, trace }, request, validate_only);
            }
            Request::KillDriver { driver, request, version, by } => {
                self.kill_driver(ctx, call, &driver, request, version, by);
            }
            Request::ExplainDriver { driver } => self.explain_driver(call, &driver),
            Request::RegisterApplication { id, spec, owner, trace, request, token } => {
                let new = NewApplication { id, spec, owner, trace };
                self.register_application(ctx, call, new, request, token.as_deref());
            }
            Request::OpenSession { application, token } => {
                self.open_session(ctx, call, &application, token.as_deref());
            }
            Request::ExplainApplication { application } => self.explain_application(call, &application),
            Request::RequestExecutors { application, token, sequence, targets, excluded_hosts, request } => {
                let wanted = crate::application::ExecutorRequest { sequence, targets, excluded_hosts };
                self.request_executors(ctx, call, &application, token.as_deref(), wanted, request);
            }
            Request::KillExecutors { application, token, executors, replace, request } => {
                self.kill_executors(ctx, call, &application, token.as_deref(), &executors, replace, request);
            }
            Request::Unregister { application, token, success, message, grace, request } => {
                let wanted = crate::application::UnregisterRequest { success, message, grace };
                self.unregister(ctx, call, &application, token.as_deref(), wanted, request);
            }
            Request::KillApplication { application, request } => {
                self.kill_application(ctx, call, &application, request);
            }
            Request::Drain { worker, request, deadline } => self.drain_worker(ctx, call, &worker, request, deadline),
            Request::Undrain { worker, request } => self.undrain_worker(ctx, call, &worker, request),
            Request::Forget { worker, request } => self.forget_worker(ctx, call, &worker, request),
            Request::Revoke { worker, request } => self.revoke_worker(ctx, call, &worker, request),
            Request::ForgetAttempt { worker, attempt, request } => {
                self.forget_attempt(ctx, call, &worker, attempt, request);
            }
            Request::EndQuarantined { worker, attempt, request } => {
                self.end_quarantined(ctx, call, &worker, attempt, request);
            }
            Request::CreateToken { token, by } => self.create_token(ctx, call, token, by),
            Request::RevokeToken { token, by } => self.revoke_token(ctx, call, token, &by),
            Request::BindRole { principal, role, by } => self.bind_role(ctx, call, principal, role, &by),
        }
    }

    fn tick(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(timer) = self.timers.take_due(ctx.now.time) {
            match timer {
                Timer::Retry(driver) => self.end_backoff(ctx, driver),
                Timer::Progress(attempt @ AttemptKey::Driver(..)) => self.ask_back_driver(ctx, attempt),
                Timer::Progress(attempt @ AttemptKey::Executor(..)) => self.ask_back_executor(ctx, attempt),
                Timer::LeaseEnd(attempt) => self.end_lease(ctx, attempt),
                Timer::Session(application, session) => self.end_session_grace(ctx, application, session),
                Timer::Ending(application) => self.end_ending_grace(ctx, application),
                Timer::Backoff(application) => self.refresh_demand(ctx.now, application),
                Timer::Drain(worker) => self.end_drain(ctx, worker),
                Timer::Retention => self.retire(ctx),
                Timer::Tokens => self.retire_tokens(ctx),
                Timer::LostWorker(worker) => self.retire_worker(ctx, worker),
                Timer::Settled => self.end_settling(ctx),
            }
            self.boundary();
        }
    }
}
