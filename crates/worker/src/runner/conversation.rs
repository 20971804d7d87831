//! One connection to one runner, from its hello to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use muster_agent::runner_protocol::{
    Accepted, Kill, KillReason, Limits, Program, Start, ToAgent, ToRunner, VERSION_WITH_CREDENTIALS,
    VERSION_WITH_NO_USER, VERSION_WITH_THAW,
};
use muster_types::{
    AttemptKey, AttemptState, Capabilities, Launch, Outcome, Reason, Report, Session, Time, WorkerCommand,
};
use tokio::time::MissedTickBehavior;

use super::connection::RunnerSocket;
use super::orders::{ConnectionNumber, RunnerOrder};
use super::pending::Pending;
use super::start::{Adopted, RunnerError};
use super::task::RunnerContext;
use crate::attempts::AgentFacts;
use crate::clock;
use crate::launch::PreparedLaunch;
use crate::launch::pool::{PrepareDone, PrepareJob};
use crate::link::LinkEvent;

/// Processes and threads of a tree: far more than programs use, and far fewer than a machine has,
/// so that a tree that forks without end harms only itself.
const PIDS_BASE: u64 = 4_096;
const PIDS_PER_CORE: u64 = 1_024;

/// Time between two pings.
const PING: Duration = Duration::from_secs(1);
/// A runner that has not answered a ping for this long counts as silent: its main loop never
/// touches a path that may hang, so it answers in microseconds.
const SILENCE: Duration = Duration::from_secs(3);
/// At the lease's end the runner must show at once that it is there and fences: if its silence were
/// found out only after the worker timeout, two copies could run.
const SILENCE_AT_LEASE_END: Duration = Duration::from_secs(1);
/// Time between two pings then, and how long after the lease's end they are sent.
const PING_AT_LEASE_END: Duration = Duration::from_millis(200);
const LEASE_END: Duration = Duration::from_secs(5);
/// Orders and results that are taken before their messages are written.
const BATCH: usize = 256;
/// The number under which the agent asks for the inventory for itself. No session has it, since
/// sessions count milliseconds from the boot.
const OWN_INVENTORY: u64 = 0;

pub(super) struct Conversation<'a> {
    connection: ConnectionNumber,
    capabilities: Capabilities,
    wire: RunnerSocket,
    /// The version that the runner speaks.
    version: u32,
    context: &'a mut RunnerContext,
    pending: Pending,
    facts: BTreeMap<AttemptKey, AgentFacts>,
    /// When the launches came whose processes do not run yet.
    launched: BTreeMap<AttemptKey, Instant>,
    inventory: Vec<Report>,
    pings: Pings,
    /// The end of the lease, as the runner was told.
    lease_end: Option<Time>,
}

/// The state of the pings.
#[derive(Debug, Default)]
struct Pings {
    last: u64,
    open_since: Option<Time>,
    silent: bool,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        connection: ConnectionNumber,
        capabilities: Capabilities,
        adopted: Adopted,
        context: &'a mut RunnerContext,
    ) -> Conversation<'a> {
        Conversation {
            connection,
            capabilities,
            version: adopted.hello.version,
            wire: RunnerSocket::new(adopted),
            context,
            pending: Pending::default(),
            facts: BTreeMap::new(),
            launched: BTreeMap::new(),
            inventory: Vec::new(),
            pings: Pings::default(),
            lease_end: None,
        }
    }

    /// Talks until the connection ends. Returns why it ended.
    pub(super) async fn run(mut self) -> RunnerError {
        self.wire.put(&ToRunner::Inventory(OWN_INVENTORY));
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(error) = self.turn(&mut ping).await {
                return error;
            }
        }
    }

    async fn turn(&mut self, ping: &mut tokio::time::Interval) -> Result<(), RunnerError> {
        self.wire.flush()?;
        let room = self.wire.has_room();
        tokio::select! {
            ready = self.wire.ready() => {
                ready?;
                self.listen().await
            }
            Some((connection, order)) = self.context.orders.recv(), if room => {
                self.take_order(connection, order);
                for _ in 0..BATCH {
                    let Ok((connection, order)) = self.context.orders.try_recv() else { break };
                    self.take_order(connection, order);
                }
                Ok(())
            }
            Some(done) = self.context.done.recv(), if room => {
                self.take_done(done);
                for _ in 0..BATCH {
                    let Ok(done) = self.context.done.try_recv() else { break };
                    self.take_done(done);
                }
                Ok(())
            }
            _ = ping.tick() => {
                // Messages that have arrived are read before anything is found to be late.
                self.listen().await?;
                self.ping().await;
                ping.reset_after(self.until_ping());
                Ok(())
            }
        }
    }

    /// Whether the lease has just ended.
    fn is_lease_end(&self, now: Time) -> bool {
        self.lease_end.is_some_and(|end| end <= now && now < end + LEASE_END)
    }

    /// Time until the next ping, which is sent at the lease's end at the latest.
    fn until_ping(&self) -> Duration {
        let now = clock::now();
        if self.is_lease_end(now) {
            return PING_AT_LEASE_END;
        }
        self.lease_end.filter(|end| *end > now).map_or(PING, |end| end.since(now).min(PING))
    }

    async fn ping(&mut self) {
        let now = clock::now();
        let patience = if self.is_lease_end(now) { SILENCE_AT_LEASE_END } else { SILENCE };
        if self.pings.open_since.is_some_and(|since| now.since(since) > patience) && !self.pings.silent {
            tracing::error!("the runner does not answer");
            self.pings.silent = true;
            self.tell(LinkEvent::RunnerSilent).await;
        }
        if self.pings.open_since.is_none() {
            self.pings.last += 1;
            self.pings.open_since = Some(now);
            self.wire.put(&ToRunner::Ping(self.pings.last));
        }
    }

    async fn tell(&self, event: LinkEvent) {
        // The link is gone only if the whole agent is.
        let _ = self.context.link.send(event).await;
    }

    /// Takes everything that has arrived. Only the newest report of each attempt goes on.
    async fn listen(&mut self) -> Result<(), RunnerError> {
        let mut news: BTreeMap<AttemptKey, Report> = BTreeMap::new();
        for message in self.wire.read()? {
            match message {
                ToAgent::Report(report) => {
                    self.pending.hear(&report);
                    news.insert(report.attempt, *report);
                }
                ToAgent::Inventory { number, reports, last } => {
                    self.inventory.extend(reports);
                    if last {
                        self.pass_on(std::mem::take(&mut news)).await;
                        self.take_inventory(number).await;
                    }
                }
                ToAgent::Pong(_) => {
                    self.pings.open_since = None;
                    if std::mem::take(&mut self.pings.silent) {
                        tracing::info!("the runner answers again");
                        self.tell(LinkEvent::RunnerAnswers).await;
                    }
                }
                ToAgent::Refused(reason) => return Err(RunnerError::Refused(reason)),
                ToAgent::Hello(_) => {}
            }
        }
        self.pass_on(news).await;
        Ok(())
    }

    async fn pass_on(&mut self, news: BTreeMap<AttemptKey, Report>) {
        if news.is_empty() {
            return;
        }
        let reports: Vec<Report> = news.into_values().collect();
        reports.iter().for_each(|report| self.measure(report));
        let (facts, layout) = (&self.facts, &self.context.layout);
        self.context
            .attempts
            .take(&reports, |attempt| facts.get(attempt).copied().unwrap_or_else(|| layout.facts(attempt)));
        if reports.iter().any(|report| report.attempt.is_executor() && matches!(report.state, AttemptState::Ended(_))) {
            self.context.scratches.sweep(&self.context.attempts);
        }
        self.tell(LinkEvent::Reports(reports)).await;
    }

    fn measure(&mut self, report: &Report) {
        self.context.traced.hear(report);
        let metrics = self.context.status.metrics();
        if let AttemptState::Ended(outcome) = &report.state
            && !self.context.attempts.has_ended(&report.attempt)
        {
            metrics.count_end(outcome);
        }
        if report.state == AttemptState::Accepted {
            return;
        }
        if let Some(launched) = self.launched.remove(&report.attempt)
            // A short program may be known to run only by its end.
            && report.started.is_some()
        {
            metrics.launch_duration.observe(launched.elapsed());
        }
    }

    async fn take_inventory(&mut self, number: u64) {
        let reports = std::mem::take(&mut self.inventory);
        let (facts, layout) = (&self.facts, &self.context.layout);
        self.context
            .attempts
            .replace(reports.clone(), |attempt| facts.get(attempt).copied().unwrap_or_else(|| layout.facts(attempt)));
        self.context.scratches.sweep(&self.context.attempts);
        if number != OWN_INVENTORY {
            self.tell(LinkEvent::Inventory(Session(number), reports)).await;
        }
    }

    fn take_order(&mut self, connection: ConnectionNumber, order: RunnerOrder) {
        if let RunnerOrder::End(attempt, reason) = order {
            return self.wire.put(&ToRunner::Kill(Kill { attempt, at_once: false, grace: None, reason }));
        }
        if connection != self.connection {
            return;
        }
        match order {
            RunnerOrder::Obey(commands) => commands.into_iter().for_each(|command| self.obey(command)),
            RunnerOrder::AskInventory(session) => self.wire.put(&ToRunner::Inventory(session.0)),
            RunnerOrder::Renew(renewal) => {
                self.lease_end = Some(renewal.sent + renewal.lease);
                self.wire.put(&ToRunner::Renew(renewal));
            }
            RunnerOrder::Forget(acknowledgement) => {
                self.wire.put(&ToRunner::Closed(acknowledgement));
                self.facts.remove(&acknowledgement.attempt);
                self.launched.remove(&acknowledgement.attempt);
                self.context.traced.forget(&acknowledgement.attempt);
                self.context.attempts.forget(&acknowledgement);
                self.context.truncations.forget(&self.context.layout.log_dir(&acknowledgement.attempt));
            }
            RunnerOrder::End(..) => {}
        }
    }

    fn obey(&mut self, command: WorkerCommand) {
        match command {
            WorkerCommand::Launch(launch) => self.launch(launch),
            WorkerCommand::Kill { attempt, at_once, by } => {
                self.pending.cancel(&attempt);
                self.wire.put(&ToRunner::Kill(Kill { attempt, at_once, grace: None, reason: KillReason::By(by) }));
            }
            WorkerCommand::Thaw { attempt } => self.thaw(attempt),
            WorkerCommand::ApplicationGone(application) => {
                self.context.scratches.remove_when_idle(application, &self.context.attempts);
            }
        }
    }

    /// A runner of an older version freezes nothing, and would not understand a thaw.
    fn thaw(&mut self, attempt: AttemptKey) {
        if self.version >= VERSION_WITH_THAW {
            self.wire.put(&ToRunner::Thaw(attempt));
        }
    }

    /// The runner remembers the attempt before anything is done for it; for a known attempt it only
    /// reports the state.
    fn launch(&mut self, launch: Arc<Launch>) {
        let attempt = launch.attempt;
        self.wire.put(&ToRunner::Accept(accepted(&launch)));
        if self.pending.contains(&attempt) || self.context.attempts.knows(&attempt) {
            return;
        }
        self.launched.insert(attempt, Instant::now());
        self.context.traced.launch(&launch);
        self.facts.insert(attempt, AgentFacts { leased: launch.leased, log_limit: launch.log_limit });
        let cancelled = self.pending.begin(launch.clone());
        let cluster = self.context.status.view().cluster;
        if self.context.jobs.try_send(PrepareJob { launch, cluster, cancelled }).is_err() {
            self.pending.cancel(&attempt);
            let message = "too many launches wait to be prepared";
            let outcome = Outcome::without_exit(muster_types::Fault::Platform, Reason::WorkDirFailed, message);
            self.wire.put(&ToRunner::Abandon(attempt, outcome));
        }
    }

    fn take_done(&mut self, done: PrepareDone) {
        let Some(launch) = self.pending.finish(&done.attempt, &done.cancelled) else { return };
        let metrics = self.context.status.metrics();
        match done.result {
            // It would start the program as root.
            Ok(prepared) if self.version < VERSION_WITH_CREDENTIALS && prepared.account.is_some() => {
                let message = "RUNNER_TOO_OLD: the runner knows of no users; stop it with `muster-worker stop`";
                let outcome = Outcome::without_exit(muster_types::Fault::Platform, Reason::Refused, message);
                self.wire.put(&ToRunner::Abandon(done.attempt, outcome));
            }
            Ok(prepared) => {
                let fetched = u64::try_from(launch.artifacts.len()).unwrap_or(u64::MAX);
                metrics.artifacts_fetched.fetch_add(fetched, Ordering::Relaxed);
                let start = self.start(&launch, prepared);
                self.wire.put(&ToRunner::Start(Box::new(start)));
            }
            Err(error) => {
                let mut outcome = error.outcome();
                if outcome.reason == Reason::NoUser && self.version < VERSION_WITH_NO_USER {
                    outcome.reason = Reason::Refused;
                }
                if outcome.reason == Reason::ArtifactFailed {
                    metrics.artifacts_failed.fetch_add(1, Ordering::Relaxed);
                }
                tracing::warn!(attempt = %done.attempt, reason = outcome.reason.as_str(), message = outcome.message, "cannot launch");
                self.wire.put(&ToRunner::Abandon(done.attempt, outcome));
            }
        }
    }

    fn start(&self, launch: &Launch, prepared: PreparedLaunch) -> Start {
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let program = Program {
            program: prepared.program,
            args: prepared.args,
            env: prepared.env,
            work_dir: text(prepared.work_dir),
            stdout: text(prepared.stdout),
            stderr: text(prepared.stderr),
            credentials: prepared.account.map(|account| account.credentials.clone()),
        };
        Start { accepted: accepted(launch), program, limits: self.limits(launch) }
    }

    fn limits(&self, launch: &Launch) -> Limits {
        if !self.context.limits {
            return Limits::default();
        }
        let memory = Some(launch.resources.memory).filter(|bytes| *bytes > 0 && self.capabilities.memory_limit);
        let cores = Some(u64::from(launch.resources.cores)).filter(|cores| *cores > 0 && self.capabilities.cpu_limit);
        let pids = self.capabilities.pids_limit.then(|| PIDS_BASE + PIDS_PER_CORE * u64::from(launch.resources.cores));
        Limits { memory, cpu_millis: cores.map(|cores| cores * 1_000), pids }
    }
}

fn accepted(launch: &Launch) -> Accepted {
    Accepted {
        attempt: launch.attempt,
        id: launch.id.clone(),
        leased: launch.leased,
        resources: launch.resources.clone(),
        kill_grace: launch.kill_grace,
    }
}
