//! The loop: what comes is given to the scheduler, and what that decides is carried out. Nobody
//! else touches the state of jobs, so nothing of it is locked.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_dag::{
    ExecutorLoss, FetchFailure, JobFailure, JobId, JobRejection, JobSpec, OutputLocation, Scheduler, SchedulerConfig,
    SchedulerEffect, SchedulerInput, StageId, StageKind, StageSpec, TaskAttemptId, TaskEnd, TaskFailure, TaskId,
    TaskLaunch,
};
use muster_proto::v1;
use muster_types::{ExecutorId, Time};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use v1::executor_link_service_link_request::Message as Up;
use v1::executor_link_service_link_response::Message as Down;
use v1::task_ended::Kind;

use super::accept::ExecutorLinkInput;
use super::cluster::ClusterControl;
use super::failed_starts::FailedStarts;
use super::failure::failed_job;
use super::fetch::{FetchProgress, ResultFetches};
use super::locations::output_locations;
use super::outgoing::DriverOutgoing;
use super::stage_record::{StageCode, StageRecord, StageResults};
use super::{CallerInput, JobReceiver, NewJob, NewStage};
use crate::TaskEvent;
use crate::job::{JobError, JobOutcome};
use crate::outbox::{LinkOutbox, MESSAGE_BYTES};

/// Inputs that are handled before what they cause is sent.
const BATCH: usize = 64;
/// Between two events about how far a job is.
const PROGRESS: Duration = Duration::from_millis(100);

/// An executor that is linked.
struct DriverLink {
    link: u64,
    cores: u32,
    output_address: Arc<str>,
    outbox: LinkOutbox<DriverOutgoing>,
    /// What goes out at the end of the batch.
    work: v1::TaskWork,
    stages: BTreeSet<StageId>,
    /// The output epoch in which it was told last where the outputs of a stage are.
    output_epochs: BTreeMap<StageId, u64>,
    fetches: ResultFetches,
}

/// An executor that registers at this moment.
struct RegisteringLink {
    link: u64,
    cores: u32,
    output_address: Arc<str>,
    outbox: LinkOutbox<DriverOutgoing>,
}

/// A job that runs.
struct JobRecord {
    name: Arc<str>,
    failed: u32,
    /// The stages that it has added; the last one is what it is for.
    stages: Vec<StageId>,
    receiver: JobReceiver,
    _permit: Option<OwnedSemaphorePermit>,
}

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

    fn submit(&mut self, job: NewJob) {
        let NewJob { id, name, stages, options, receiver, permit } = job;
        if let Some(reason) = &self.ended {
            return receiver.end(id, Err(JobError::Ended(reason.clone())));
        }
        let name = options.name.unwrap_or(name);
        // What is handed on at once is kept nowhere.
        let sink = match &receiver {
            JobReceiver::Outcome(_) => None,
            JobReceiver::Sink(sink) => Some(sink.clone()),
        };
        let (mut added, mut specs, mut handles, mut tasks) = (Vec::new(), Vec::new(), Vec::new(), 0u32);
        for stage in stages {
            if let Some(known) = self.stages.get_mut(&stage.id) {
                known.job = id;
                continue;
            }
            let NewStage { id: stage, code, arguments, tasks: count, parents, kind, handle } = stage;
            handles.extend(handle);
            added.push(stage);
            tasks = tasks.saturating_add(count);
            specs.push(StageSpec { parents: parents.clone(), kind, ..StageSpec::results(stage, count) });
            let sink = sink.clone().filter(|_| kind == StageKind::Results);
            let results = match kind {
                StageKind::Results if sink.is_none() => StageResults::new(count as usize),
                StageKind::Results | StageKind::Outputs => StageResults::default(),
            };
            let parents = parents.into();
            self.stages.insert(stage, StageRecord { job: id, code, arguments, parents, results, sink });
        }
        self.jobs.insert(id, JobRecord { name: name.clone(), failed: 0, stages: added, receiver, _permit: permit });
        self.event(TaskEvent::JobStarted { job: id.0, name, tasks });
        let spec = JobSpec {
            job: id,
            stages: specs,
            target: target_of(id),
            pool: options.pool,
            group: options.group,
            tags: options.tags,
        };
        self.give(SchedulerInput::SubmitJob(Box::new(spec)));
    }

    fn lose(&mut self, executor: ExecutorId, loss: ExecutorLoss) {
        // Where one works, another that cannot start is its worker's fault.
        if let Some(code) = self.failed_starts.ended(executor, &loss)
            && self.links.is_empty()
            && self.ended.is_none()
            && let Some(cluster) = &self.cluster
        {
            let reason = format!("executors end before they are ready: executor {executor} with exit code {code}");
            self.end_with_words(reason, cluster.last_words(executor.0));
        }
        self.give(SchedulerInput::ExecutorLost(executor, loss));
    }

    /// Ends all jobs once it is known what the executor has said, unless another one is linked by
    /// then.
    fn end_with_words(&mut self, reason: String, words: impl Future<Output = String> + Send + 'static) {
        let Some(own) = self.own_inputs.upgrade() else { return };
        tokio::spawn(async move {
            let words = words.await;
            let reason = match words.trim_end() {
                "" => reason,
                words => format!("{reason}\nthe executor's last words:\n{words}"),
            };
            // An error means that the driver has ended.
            let _ = own.send(CallerInput::StartsFailed(reason.into()));
        });
    }

    /// Those of which the master knows nothing any more have ended, and how is not known.
    fn lose_all_but(&mut self, alive: &[v1::Executor]) {
        let alive: BTreeSet<ExecutorId> = alive.iter().map(|executor| ExecutorId(executor.executor_id)).collect();
        self.failed_starts.keep(&alive);
        let gone: Vec<ExecutorId> = self.links.keys().filter(|id| !alive.contains(id)).copied().collect();
        for executor in gone {
            self.give(SchedulerInput::ExecutorLost(executor, ExecutorLoss::ProcessLost));
        }
    }

    fn end_all(&mut self, reason: &Arc<str>) {
        self.ended.get_or_insert_with(|| reason.clone());
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        for job in jobs {
            self.end_job(job, Err(JobError::Ended(reason.clone())));
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

    /// Has a result fetched, if it still counts.
    fn fetch(&mut self, executor: ExecutorId, ended: v1::TaskEnded) {
        let attempt = TaskAttemptId(ended.task_attempt);
        let counts = self.scheduler.task_of(attempt).is_some();
        let Some(link) = self.links.get_mut(&executor) else { return };
        if counts {
            link.fetches.add(ended);
            self.fetch_next(executor);
        } else {
            link.work.result_drops.push(attempt.0);
            self.give(SchedulerInput::AttemptEnded(executor, attempt, TaskEnd::Killed));
        }
    }

    fn fetch_next(&mut self, executor: ExecutorId) {
        let Some(link) = self.links.get_mut(&executor) else { return };
        if let Some(attempt) = link.fetches.next() {
            link.work.result_fetches.push(attempt.0);
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

    fn send_broadcast(&mut self, executor: ExecutorId, number: u64) {
        let Some(link) = self.links.get(&executor) else { return };
        let value = self.broadcasts.get(&number).cloned();
        link.outbox.add(|outgoing| {
            let missing = value.is_none();
            let mut rest = value.unwrap_or_default();
            loop {
                let data = rest.split_to(rest.len().min(MESSAGE_BYTES));
                let last = rest.is_empty();
                outgoing.broadcast_pieces.push_back(v1::DataPiece { number, data, last, missing });
                if last {
                    return;
                }
            }
        });
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

    fn launch(&mut self, launch: TaskLaunch) {
        let TaskId { stage, partition } = launch.task;
        let Some(parents) = self.stages.get(&stage).map(|record| record.parents.clone()) else { return };
        self.tell_locations(launch.executor, &parents, launch.output_epoch);
        let (Some(record), Some(link)) = (self.stages.get(&stage), self.links.get_mut(&launch.executor)) else {
            return;
        };
        if link.stages.insert(stage) {
            let (function, plan) = match &record.code {
                StageCode::Function(name) => (name.to_string(), Bytes::new()),
                StageCode::Plan(plan) => (String::new(), plan.clone()),
            };
            link.work.stages.push(v1::TaskStage { stage: stage.0, function, plan });
        }
        link.work.launches.push(v1::TaskLaunch {
            task_attempt: launch.attempt.0,
            stage: stage.0,
            partition,
            launches_before: u32::from(launch.number),
            argument: record.arguments.get(partition),
        });
    }

    /// Tells an executor where the outputs of stages are, once in each output epoch: they are
    /// elsewhere only in a later one.
    fn tell_locations(&mut self, executor: ExecutorId, parents: &[StageId], output_epoch: u64) {
        for parent in parents {
            let Some(link) = self.links.get(&executor) else { return };
            if link.output_epochs.get(parent) == Some(&output_epoch) {
                continue;
            }
            let address = |executor| self.links.get(&executor).map(|link| &*link.output_address);
            let locations = output_locations(&self.scheduler, *parent, address);
            let Some(link) = self.links.get_mut(&executor) else { return };
            link.output_epochs.insert(*parent, output_epoch);
            link.work.output_locations.push(locations);
        }
    }

    fn keep_result(&mut self, task: TaskId) {
        let Some(stage) = self.stages.get_mut(&task.stage) else { return };
        match &stage.sink {
            Some(sink) => sink.task_succeeded(stage.job.0, task.partition, self.succeeding.result.clone()),
            None => stage.results.set(task.partition, &self.succeeding.result),
        }
        let target = target_of(stage.job);
        if !self.succeeding.counts.is_empty()
            && let Some(target) = self.stages.get_mut(&target)
        {
            target.results.add_counts(std::mem::take(&mut self.succeeding.counts));
        }
    }

    fn kill(&mut self, executor: ExecutorId, attempt: TaskAttemptId) {
        let Some(link) = self.links.get_mut(&executor) else { return };
        if link.fetches.remove(attempt) {
            // It has ended already, and only its result was still to come.
            link.work.result_drops.push(attempt.0);
            self.caused.push_back(SchedulerInput::AttemptEnded(executor, attempt, TaskEnd::Killed));
        } else {
            link.work.kills.push(attempt.0);
        }
    }

    fn note_failure(&mut self, failure: &TaskFailure) {
        let Some(stage) = self.stages.get(&failure.task.stage) else { return };
        let job = stage.job;
        if failure.counted
            && let Some(record) = self.jobs.get_mut(&job)
        {
            record.failed += 1;
            self.event(TaskEvent::AttemptFailed {
                job: job.0,
                partition: failure.task.partition,
                executor: failure.executor.0,
                cause: failure.cause.to_string(),
            });
        }
    }

    fn succeed_job(&mut self, job: JobId) {
        let results = self.stages.get_mut(&target_of(job)).map(|stage| std::mem::take(&mut stage.results));
        self.end_job(job, Ok(results.unwrap_or_default()));
    }

    fn reject_job(&mut self, job: JobId, rejection: JobRejection) {
        // The scheduler knows none of them.
        let added = self.jobs.get(&job).map(|record| record.stages.clone()).unwrap_or_default();
        added.into_iter().for_each(|stage| drop(self.stages.remove(&stage)));
        self.end_job(job, Err(JobError::Rejected(rejection)));
    }

    fn fail_job(&mut self, failure: JobFailure) {
        let Some(name) = self.jobs.get(&failure.job).map(|record| record.name.clone()) else { return };
        let job = failure.job;
        let mut failed = failed_job(failure, name);
        let Some((cluster, attempt)) = self.cluster.as_ref().zip(failed.attempt.as_mut()) else {
            return self.end_job(job, Err(JobError::Failed(Box::new(failed))));
        };
        let words = cluster.last_words(attempt.executor);
        let Some(record) = self.forget_job(job, Some(failed.to_string())) else { return };
        tokio::spawn(async move {
            if let Some(attempt) = failed.attempt.as_mut() {
                attempt.last_words = words.await;
            }
            record.receiver.end(job, Err(JobError::Failed(Box::new(failed))));
        });
    }

    fn end_job(&mut self, job: JobId, outcome: JobOutcome) {
        let error = outcome.as_ref().err().map(ToString::to_string);
        if let Some(record) = self.forget_job(job, error) {
            record.receiver.end(job, outcome);
        }
    }

    fn forget_job(&mut self, job: JobId, error: Option<String>) -> Option<JobRecord> {
        self.forget_stage(target_of(job));
        let record = self.jobs.remove(&job)?;
        self.event(TaskEvent::JobEnded { job: job.0, error });
        Some(record)
    }

    /// Forgets a stage, here and on all executors.
    fn forget_stage(&mut self, stage: StageId) {
        self.stages.remove(&stage);
        for link in self.links.values_mut() {
            let was_told = link.output_epochs.remove(&stage).is_some();
            if link.stages.remove(&stage) || was_told {
                link.work.stage_drops.push(stage.0);
            }
        }
    }

    fn accept(&mut self, executor: ExecutorId) {
        let Some(RegisteringLink { link, cores, output_address, outbox }) = self.registering.take() else { return };
        self.failed_starts.linked(executor);
        let terms = self.terms;
        outbox.add(|outgoing| outgoing.first.push_back(Down::Registered(terms)));
        let (stages, output_epochs, fetches) = Default::default();
        let work = v1::TaskWork { stop: self.is_stopping, ..Default::default() };
        let linked = DriverLink { link, cores, output_address, outbox, work, stages, output_epochs, fetches };
        self.links.insert(executor, linked);
    }

    fn remove(&mut self, executor: ExecutorId, loss: ExecutorLoss) {
        if let Some(link) = self.links.remove(&executor) {
            link.outbox.close();
        }
        self.event(TaskEvent::ExecutorRemoved { executor: executor.0, cause: loss.to_string() });
    }

    /// Ends executors of workers that drain, once they have nothing to do and keep nothing: else
    /// they stay until their worker ends them.
    fn stop_drained(&mut self) {
        let (scheduler, links) = (&self.scheduler, &mut self.links);
        self.draining.retain(|executor| {
            let Some(link) = links.get_mut(executor) else { return false };
            let is_over = scheduler.is_expendable(*executor);
            link.work.stop |= is_over;
            !is_over
        });
    }

    /// Sends what was gathered.
    fn flush(&mut self) {
        for link in self.links.values_mut().filter(|link| link.work != v1::TaskWork::default()) {
            let work = &mut link.work;
            link.outbox.add(|outgoing| outgoing.append(work));
        }
    }

    fn send_progress(&mut self) {
        if self.events.receiver_count() == 0 || self.progress_sent.elapsed() < PROGRESS {
            return;
        }
        self.progress_sent = Instant::now();
        for (job, record) in &self.jobs {
            let stages = record.stages.iter().filter_map(|stage| self.scheduler.progress(*stage));
            let (mut done, mut running) = (0, 0);
            for stage in stages {
                done += stage.done;
                running += stage.running;
            }
            // An error means that nobody watches.
            let _ = self.events.send(TaskEvent::JobProgressed { job: job.0, done, running, failed: record.failed });
        }
    }

    fn event(&self, event: TaskEvent) {
        // An error means that nobody watches.
        let _ = self.events.send(event);
    }
}

/// The stage that a job is for has its number.
fn target_of(job: JobId) -> StageId {
    StageId(job.0)
}

fn fetch_failed(failed: v1::FetchFailed, message: String) -> TaskEnd {
    TaskEnd::FetchFailed(FetchFailure {
        output: TaskId { stage: StageId(failed.stage), partition: failed.partition },
        location: OutputLocation::Executor(ExecutorId(failed.executor_id)),
        unreachable: failed.unreachable,
        message,
    })
}

fn refuse(outbox: &LinkOutbox<DriverOutgoing>, message: String) {
    outbox.add(|outgoing| outgoing.first.push_back(Down::Refused(v1::ExecutorRefused { message })));
    outbox.close();
}
