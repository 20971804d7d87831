//! The loop: what comes is given to the scheduler, and what that decides is carried out. Nobody
//! else touches the state of jobs, so nothing of it is locked.

mod executors;
mod jobs;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_dag::{
    FetchFailure, JobId, OutputLocation, Scheduler, SchedulerConfig, SchedulerEffect, SchedulerInput, StageId,
    TaskAttemptId, TaskEnd, TaskId,
};
use muster_proto::v1;
use muster_types::{ExecutorId, Time};
use tokio::sync::{broadcast, mpsc};
use v1::executor_link_service_link_request::Message as Up;
use v1::task_ended::Kind;

use super::CallerInput;
use super::accept::ExecutorLinkInput;
use super::cluster::ClusterControl;
use super::failed_starts::FailedStarts;
use super::fetch::FetchProgress;
use super::stage_record::StageRecord;
use crate::TaskEvent;
use executors::{DriverLink, RegisteringLink, refuse};
use jobs::JobRecord;

/// Inputs that are handled before what they cause is sent.
const BATCH: usize = 64;

/// The loop and its state.
pub(crate) struct DriverLoop {
    scheduler: Scheduler,
    began: Instant,
    links: BTreeMap<ExecutorId, DriverLink>,
    registering: Option<RegisteringLink>,
    /// What each executor is told when it registers.
    terms: v1::ExecutorRegistered,
    stages: HashMap<StageId, StageRecord>,
    jobs: HashMap<JobId, JobRecord>,
    broadcasts: BTreeMap<u64, Bytes>,
    /// Executors whose workers drain, and that were not told to end yet.
    draining: BTreeSet<ExecutorId>,
    /// The end that the scheduler is told of at this moment.
    succeeding: v1::TaskEnded,
    effects: Vec<SchedulerEffect>,
    /// Inputs that follow from effects.
    caused: VecDeque<SchedulerInput>,
    cluster: Option<ClusterControl>,
    events: broadcast::Sender<TaskEvent>,
    progress_sent: Instant,
    failed_starts: FailedStarts,
    /// Where this loop is told things by what it has started itself.
    own_inputs: mpsc::WeakUnboundedSender<CallerInput>,
    /// Why nothing can run any more.
    ended: Option<Arc<str>>,
    /// Whether executors are to end, those too that come late.
    is_stopping: bool,
}

impl DriverLoop {
    pub(crate) fn new(
        config: SchedulerConfig,
        terms: v1::ExecutorRegistered,
        cluster: Option<ClusterControl>,
        events: broadcast::Sender<TaskEvent>,
        own_inputs: mpsc::WeakUnboundedSender<CallerInput>,
    ) -> DriverLoop {
        DriverLoop {
            scheduler: Scheduler::new(config),
            began: Instant::now(),
            links: BTreeMap::new(),
            registering: None,
            terms,
            stages: HashMap::new(),
            jobs: HashMap::new(),
            broadcasts: BTreeMap::new(),
            draining: BTreeSet::new(),
            succeeding: v1::TaskEnded::default(),
            effects: Vec::new(),
            caused: VecDeque::new(),
            cluster,
            events,
            progress_sent: Instant::now(),
            failed_starts: FailedStarts::default(),
            own_inputs,
            ended: None,
            is_stopping: false,
        }
    }

    /// Runs until nobody could tell it anything any more.
    pub(crate) async fn run(
        mut self,
        mut links: mpsc::Receiver<ExecutorLinkInput>,
        mut callers: mpsc::UnboundedReceiver<CallerInput>,
    ) {
        let mut may_hear = true;
        let (mut heard, mut asked) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        loop {
            let deadline = self.scheduler.next_deadline().map(|at| self.began + Duration::from_nanos(at.0));
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                count = links.recv_many(&mut heard, BATCH), if may_hear => may_hear = count > 0,
                count = callers.recv_many(&mut asked, BATCH) => if count == 0 { return },
                () = due => self.give(SchedulerInput::Tick),
            }
            heard.drain(..).for_each(|input| self.hear(input));
            asked.drain(..).for_each(|input| self.answer(input));
            self.stop_drained();
            self.flush();
            self.send_progress();
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Gives an input to the scheduler, and carries out what it decides.
    fn give(&mut self, input: SchedulerInput) {
        let mut next = Some(input);
        while let Some(input) = next {
            self.scheduler.handle(self.now(), input);
            let mut effects = std::mem::take(&mut self.effects);
            effects.extend(self.scheduler.drain());
            for effect in effects.drain(..) {
                self.carry_out(effect);
            }
            self.effects = effects;
            next = self.caused.pop_front();
        }
    }

    fn answer(&mut self, input: CallerInput) {
        match input {
            CallerInput::Submit(job) => self.submit(*job),
            CallerInput::Cancel(jobs, reason) => self.give(SchedulerInput::Cancel { jobs, reason }),
            CallerInput::SetPool(pool) => self.give(SchedulerInput::SetPool(pool)),
            CallerInput::Broadcast(number, value) => drop(self.broadcasts.insert(number, value)),
            CallerInput::Forget(number) => {
                self.broadcasts.remove(&number);
                self.links.values_mut().for_each(|link| link.work.broadcast_drops.push(number));
            }
            CallerInput::ReleaseStage(stage) => self.give(SchedulerInput::ReleaseStage(stage)),
            CallerInput::ExecutorLost(executor, loss) => self.lose(executor, loss),
            CallerInput::ExecutorDraining(executor) => {
                self.give(SchedulerInput::DecommissionExecutor(executor));
                self.draining.insert(executor);
            }
            CallerInput::ExecutorsAlive(alive) => self.lose_all_but(&alive),
            CallerInput::ExecutorsPending(missing, reason) => {
                self.event(TaskEvent::ExecutorsPending { missing, reason });
            }
            CallerInput::StartsFailed(_) if !self.links.is_empty() => {}
            CallerInput::StartsFailed(reason) | CallerInput::Ended(reason) => self.end_all(&reason),
            CallerInput::Stop(stopped) => {
                self.end_all(&"the driver was stopped".into());
                self.is_stopping = true;
                self.links.values_mut().for_each(|link| link.work.stop = true);
                self.flush();
                // An error means that nobody waits for it.
                let _ = stopped.send(());
            }
        }
    }

    fn hear(&mut self, input: ExecutorLinkInput) {
        match input {
            ExecutorLinkInput::Register { link, spec, output_address, outbox } => {
                self.registering = Some(RegisteringLink { link, cores: spec.cores, output_address, outbox });
                self.give(SchedulerInput::RegisterExecutor(spec));
            }
            ExecutorLinkInput::Message(executor, link, message) => {
                if self.links.get(&executor).is_some_and(|known| known.link == link) {
                    self.hear_executor(executor, message);
                }
            }
            ExecutorLinkInput::Broken(executor, link) => {
                if self.links.get(&executor).is_some_and(|known| known.link == link) {
                    self.give(SchedulerInput::ExecutorDisconnected(executor));
                }
            }
        }
    }

    fn hear_executor(&mut self, executor: ExecutorId, message: Up) {
        self.give(SchedulerInput::ExecutorHeartbeat(executor));
        match message {
            Up::Ready(_) => {
                let cores = self.links.get(&executor).map_or(0, |link| link.cores);
                self.event(TaskEvent::ExecutorAdded { executor: executor.0, cores });
                self.give(SchedulerInput::ExecutorReady(executor));
            }
            Up::Report(report) => self.hear_report(executor, report),
            Up::Registration(_) | Up::Heartbeat(_) => {}
        }
    }

    fn hear_report(&mut self, executor: ExecutorId, report: v1::TaskReport) {
        for started in report.started {
            let (attempt, ago) = (TaskAttemptId(started.task_attempt), Duration::from_micros(started.ran_micros));
            self.give(SchedulerInput::AttemptStarted(executor, attempt, ago));
        }
        for ended in report.ended {
            if ended.kept_bytes > 0 {
                self.fetch(executor, ended);
            } else {
                self.end_attempt(executor, ended);
            }
        }
        for attempt in report.commit_questions {
            self.give(SchedulerInput::AskCommit(executor, TaskAttemptId(attempt)));
        }
        for piece in report.result_pieces {
            let Some(link) = self.links.get_mut(&executor) else { return };
            match link.fetches.add_piece(&piece) {
                FetchProgress::Goes => {}
                FetchProgress::Complete(ended) => self.end_attempt(executor, ended),
                FetchProgress::Lost(attempt) => {
                    self.give(SchedulerInput::AttemptEnded(executor, attempt, TaskEnd::ResultLost));
                }
            }
            self.fetch_next(executor);
        }
        for number in report.broadcasts_wanted {
            self.send_broadcast(executor, number);
        }
    }

    fn end_attempt(&mut self, executor: ExecutorId, mut ended: v1::TaskEnded) {
        let attempt = TaskAttemptId(ended.task_attempt);
        let message = std::mem::take(&mut ended.message);
        let end = match ended.kind() {
            Kind::Succeeded => TaskEnd::Succeeded {
                ran: Duration::from_nanos(ended.ran_nanos),
                kept_by: None,
                result_bytes: ended.result.len() as u64,
            },
            Kind::Unspecified | Kind::Failed => TaskEnd::Failed { message, retry: true },
            Kind::FailedForEver => TaskEnd::Failed { message, retry: false },
            Kind::Killed => TaskEnd::Killed,
            Kind::CommitDenied => TaskEnd::CommitDenied,
            Kind::NotStarted => TaskEnd::NotStarted,
            Kind::FetchFailed => fetch_failed(ended.fetch_failed.take().unwrap_or_default(), message),
        };
        self.succeeding = ended;
        self.give(SchedulerInput::AttemptEnded(executor, attempt, end));
        self.succeeding = v1::TaskEnded::default();
    }

    fn carry_out(&mut self, effect: SchedulerEffect) {
        match effect {
            SchedulerEffect::Launch(launch) => self.launch(launch),
            SchedulerEffect::TaskSucceeded { task, .. } => self.keep_result(task),
            SchedulerEffect::Kill { executor, attempt, .. } => self.kill(executor, attempt),
            SchedulerEffect::TaskFailed(failure) => self.note_failure(&failure),
            SchedulerEffect::JobSucceeded(job) => self.succeed_job(job),
            SchedulerEffect::JobFailed(failure) => self.fail_job(*failure),
            SchedulerEffect::JobRejected(job, rejection) => self.reject_job(job, rejection),
            SchedulerEffect::ResultsTakenBack(stage) => {
                if let Some(stage) = self.stages.get_mut(&stage) {
                    stage.results.clear();
                }
            }
            SchedulerEffect::CommitAnswer { executor, attempt, allowed } => {
                if let Some(link) = self.links.get_mut(&executor) {
                    link.work.commit_answers.push(v1::CommitAnswer { task_attempt: attempt.0, allowed });
                }
            }
            SchedulerEffect::ExecutorAccepted(executor) => self.accept(executor),
            SchedulerEffect::ExecutorRefused(executor, refusal) => {
                if let Some(registering) = self.registering.take() {
                    refuse(&registering.outbox, refusal.sentence(executor));
                }
            }
            SchedulerEffect::ExecutorRemoved(executor, loss) => self.remove(executor, loss),
            SchedulerEffect::ReplaceExecutor(executor, _) => {
                if let Some(cluster) = &self.cluster {
                    cluster.replace(executor);
                }
            }
            SchedulerEffect::StageReleased(stage) => self.forget_stage(stage),
            SchedulerEffect::StageStarted { .. }
            | SchedulerEffect::StageCompleted(_)
            | SchedulerEffect::StageFailed { .. }
            | SchedulerEffect::Unschedulable(_) => {}
        }
    }

    /// Sends what was gathered.
    fn flush(&mut self) {
        for link in self.links.values_mut().filter(|link| link.work != v1::TaskWork::default()) {
            let work = &mut link.work;
            link.outbox.add(|outgoing| outgoing.append(work));
        }
    }

    fn event(&self, event: TaskEvent) {
        // An error means that nobody watches.
        let _ = self.events.send(event);
    }
}

fn fetch_failed(failed: v1::FetchFailed, message: String) -> TaskEnd {
    TaskEnd::FetchFailed(FetchFailure {
        output: TaskId { stage: StageId(failed.stage), partition: failed.partition },
        location: OutputLocation::Executor(ExecutorId(failed.executor_id)),
        unreachable: failed.unreachable,
        message,
    })
}
