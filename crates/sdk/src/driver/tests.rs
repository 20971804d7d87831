//! The driver's side against executors that these tests play, over the link in memory.

use std::sync::Arc;

use muster_dag::ExecutorLoss;
use muster_proto::v1;
use muster_types::{ExecutorId, Secret};
use tokio_stream::StreamExt as _;
use v1::executor_link_service_link_request::Message as Up;
use v1::executor_link_service_link_response::Message as Down;
use v1::task_ended::Kind;

use super::outgoing::DriverOutgoing;
use super::start::{LoopInputs, start_loop};
use super::{ArgumentWriter, CallerInput, JobOptions, JobReceiver, NewJob, NewStage, StageCode};
use crate::TasksOptions;
use crate::build_digest::ExecutorBuild;
use crate::executor::ExecutorOutgoing;
use crate::job::JobOutcome;
use crate::outbox::{LinkOutbox, LinkOutboxStream};

const TOKEN: &str = "sesame";
const DIGEST: [u8; 32] = [7; 32];

fn driver() -> LoopInputs {
    start_loop(&TasksOptions::default(), None, Secret::new(TOKEN), ExecutorBuild::of_digest(DIGEST))
}

/// Submits a job of so many tasks, whose arguments are their partitions.
fn submit(driver: &LoopInputs, job: u64, tasks: u32) -> tokio::sync::oneshot::Receiver<JobOutcome> {
    let mut writer = ArgumentWriter::default();
    (0..tasks).for_each(|n| writer.add(&n).unwrap());
    let (outcome, receiver) = tokio::sync::oneshot::channel();
    let (id, code) = (muster_dag::StageId(job), StageCode::Function("f".into()));
    let (parents, kind) = (Vec::new(), muster_dag::StageKind::Results);
    let stage = NewStage { id, code, arguments: Arc::new(writer.finish()), tasks, parents, kind, handle: None };
    let (id, stages, options) = (muster_dag::JobId(job), vec![stage], JobOptions::default());
    let outcome = JobReceiver::Outcome(outcome);
    let job = NewJob { id, name: "f".into(), stages, options, receiver: outcome, permit: None };
    driver.inputs.tell(CallerInput::Submit(Box::new(job)));
    receiver
}

fn registration(executor: u32) -> v1::ExecutorRegistration {
    v1::ExecutorRegistration {
        executor_id: executor,
        worker_uid: vec![1; 16].into(),
        cores: 1,
        build_digest: DIGEST.to_vec().into(),
        token: TOKEN.to_owned(),
        ..Default::default()
    }
}

struct PlayedExecutor {
    up: LinkOutbox<ExecutorOutgoing>,
    down: LinkOutboxStream<DriverOutgoing>,
}

impl PlayedExecutor {
    fn dial(driver: &LoopInputs, first: Up) -> PlayedExecutor {
        let (up, stream) = LinkOutbox::<ExecutorOutgoing>::new();
        up.add(|outgoing| outgoing.first.push_back(first));
        PlayedExecutor { up, down: driver.links.accept(stream.map(Ok)) }
    }

    async fn ready(driver: &LoopInputs, executor: u32) -> PlayedExecutor {
        let mut dialled = PlayedExecutor::dial(driver, Up::Registration(registration(executor)));
        assert!(matches!(dialled.next().await, Some(Down::Registered(_))));
        dialled.up.add(|outgoing| outgoing.first.push_back(Up::Ready(v1::ExecutorReady {})));
        dialled
    }

    async fn next(&mut self) -> Option<Down> {
        self.down.next().await?.message
    }

    async fn work(&mut self) -> v1::TaskWork {
        match self.next().await {
            Some(Down::Work(work)) => work,
            other => panic!("no work: {other:?}"),
        }
    }

    /// The next launch, which is the only one of its message.
    async fn launch(&mut self) -> v1::TaskLaunch {
        loop {
            let mut work = self.work().await;
            if let Some(launch) = work.launches.pop() {
                assert!(work.launches.is_empty(), "one core gets one task before its length is known");
                return launch;
            }
        }
    }

    fn end(&self, launch: &v1::TaskLaunch, result: &'static [u8]) {
        let kind = Kind::Succeeded.into();
        let ended =
            v1::TaskEnded { task_attempt: launch.task_attempt, kind, result: result.into(), ..Default::default() };
        self.up.add(|outgoing| outgoing.end(v1::TaskEnded { ran_nanos: 1_000_000_000, ..ended }));
    }
}

async fn results(outcome: tokio::sync::oneshot::Receiver<JobOutcome>) -> Vec<Vec<u8>> {
    outcome.await.unwrap().unwrap().iter().map(<[u8]>::to_vec).collect()
}

#[tokio::test]
async fn who_is_not_an_executor_of_this_application_and_build_is_refused_in_words() {
    let driver = driver();
    let _first = PlayedExecutor::ready(&driver, 1).await;
    let with = |change: fn(&mut v1::ExecutorRegistration)| {
        let mut registration = registration(2);
        change(&mut registration);
        Up::Registration(registration)
    };
    let other = format!("it is another build: the driver is {}, the executor {}", "07".repeat(32), "08".repeat(32));
    let refusals = [
        (with(|it| it.token = "open".to_owned()), "its token is not that of this application"),
        (with(|it| it.token = String::new()), "its token is not that of this application"),
        (with(|it| it.build_digest = vec![8; 32].into()), other.as_str()),
        (with(|it| it.worker_uid = vec![1; 15].into()), "the uid of its worker has not 16 bytes"),
        (with(|it| it.executor_id = 1), "Duplicate executor ID: 1"),
        (with(|it| it.cores = 0), "Executor has no cores: 2"),
        (Up::Ready(v1::ExecutorReady {}), "an executor says who it is first of all"),
    ];
    for (first, sentence) in refusals {
        let mut refused = PlayedExecutor::dial(&driver, first);
        let refusal = Down::Refused(v1::ExecutorRefused { message: sentence.to_owned() });
        assert_eq!((refused.next().await, refused.next().await), (Some(refusal), None));
    }
}

#[tokio::test]
async fn a_second_answer_of_an_executor_changes_nothing() {
    let driver = driver();
    let mut executor = PlayedExecutor::ready(&driver, 1).await;
    let outcome = submit(&driver, 1, 2);
    let first = executor.launch().await;
    executor.end(&first, b"one");
    executor.end(&first, b"another");
    let second = executor.launch().await;
    executor.end(&first, b"a third");
    executor.end(&second, b"two");
    assert_eq!(results(outcome).await, [b"one", b"two"]);
}

#[tokio::test]
async fn a_stage_is_told_to_an_executor_once() {
    let driver = driver();
    let mut executor = PlayedExecutor::ready(&driver, 1).await;
    let outcome = submit(&driver, 5, 2);
    let work = executor.work().await;
    assert_eq!(work.stages, [v1::TaskStage { stage: 5, function: "f".to_owned(), ..Default::default() }]);
    executor.end(&work.launches[0], b"");
    let work = executor.work().await;
    assert_eq!((work.stages.len(), work.launches[0].partition, work.launches[0].stage), (0, 1, 5));
    executor.end(&work.launches[0], b"");
    results(outcome).await;
    assert_eq!(executor.work().await.stage_drops, [5]);
}

#[tokio::test]
async fn the_masters_word_on_an_end_comes_before_the_broken_stream_is_judged() {
    let driver = driver();
    let mut executor = PlayedExecutor::ready(&driver, 1).await;
    let outcome = submit(&driver, 1, 1);
    // 53 is no fault of a task, which would fail with the fourth end that is.
    for number in 1..9 {
        let launch = executor.launch().await;
        assert_eq!(launch.launches_before, number - 1);
        // The stream breaks, and nothing is concluded from that: the next executor gets nothing.
        drop(executor);
        executor = PlayedExecutor::ready(&driver, number + 1).await;
        let lost = CallerInput::ExecutorLost(ExecutorId(number), ExecutorLoss::Exited { code: 53 });
        driver.inputs.tell(lost);
    }
    let launch = executor.launch().await;
    executor.end(&launch, b"at last");
    assert_eq!(results(outcome).await, [b"at last"]);
}

#[tokio::test]
async fn an_executor_whose_worker_drains_ends_when_it_has_nothing_to_do_and_keeps_nothing() {
    let driver = driver();
    let mut first = PlayedExecutor::ready(&driver, 1).await;
    let (outcome, receiver) = tokio::sync::oneshot::channel();
    let stage = |id, parents: Vec<u64>, kind| NewStage {
        id: muster_dag::StageId(id),
        code: StageCode::Function("f".into()),
        arguments: Arc::default(),
        tasks: 1,
        parents: parents.into_iter().map(muster_dag::StageId).collect(),
        kind,
        handle: None,
    };
    let stages =
        vec![stage(1, Vec::new(), muster_dag::StageKind::Outputs), stage(2, vec![1], muster_dag::StageKind::Results)];
    let job = NewJob {
        id: muster_dag::JobId(2),
        name: "j".into(),
        stages,
        options: JobOptions::default(),
        receiver: JobReceiver::Outcome(outcome),
        permit: None,
    };
    driver.inputs.tell(CallerInput::Submit(Box::new(job)));
    let made = first.launch().await;
    driver.inputs.tell(CallerInput::ExecutorDraining(ExecutorId(1)));
    let mut second = PlayedExecutor::ready(&driver, 2).await;
    first.end(&made, b"");
    // The second one reads what the first one keeps.
    let work = second.work().await;
    let keeper = v1::OutputKeeper { executor_id: 1, address: String::new(), partitions: vec![0] };
    assert_eq!(work.output_locations, [v1::OutputLocations { stage: 1, keepers: vec![keeper] }]);
    second.end(&work.launches[0], b"read");
    assert_eq!(results(receiver).await, [b"read"]);
    driver.inputs.tell(CallerInput::ReleaseStage(muster_dag::StageId(1)));
    let work = first.work().await;
    assert_eq!((work.stage_drops.as_slice(), work.stop), ([1].as_slice(), true), "not before it keeps nothing");
}

#[tokio::test]
async fn a_large_result_is_asked_for_and_one_that_is_gone_costs_a_try() {
    let driver = driver();
    let mut executor = PlayedExecutor::ready(&driver, 1).await;
    let outcome = submit(&driver, 1, 1);
    let launch = executor.launch().await;
    let kept = |attempt| v1::TaskEnded {
        task_attempt: attempt,
        kind: Kind::Succeeded.into(),
        kept_bytes: 3,
        ..Default::default()
    };
    executor.up.add(|outgoing| outgoing.end(kept(launch.task_attempt)));
    assert_eq!(executor.work().await.result_fetches, [launch.task_attempt]);
    let missing = v1::DataPiece { number: launch.task_attempt, last: true, missing: true, ..Default::default() };
    executor.up.add(|outgoing| outgoing.result_pieces.push_back(missing));
    let again = executor.launch().await;
    assert_eq!(again.launches_before, 1);
    executor.up.add(|outgoing| outgoing.end(kept(again.task_attempt)));
    assert_eq!(executor.work().await.result_fetches, [again.task_attempt]);
    for (data, last) in [("ab", false), ("c", true)] {
        let piece = v1::DataPiece { number: again.task_attempt, data: data.into(), last, missing: false };
        executor.up.add(|outgoing| outgoing.result_pieces.push_back(piece));
    }
    assert_eq!(results(outcome).await, [b"abc"]);
}

#[tokio::test]
async fn messages_to_an_executor_are_bounded_and_name_a_stage_before_its_tasks() {
    let mut outgoing = DriverOutgoing::default();
    let argument = bytes::Bytes::from(vec![0; 100_000]);
    for n in 0..30 {
        outgoing.work.launches.push(v1::TaskLaunch {
            task_attempt: n,
            argument: argument.clone(),
            ..Default::default()
        });
    }
    outgoing.work.stages.push(v1::TaskStage::default());
    outgoing.work.kills.push(29);
    let mut next = || match crate::outbox::OutgoingBatch::take_message(&mut outgoing)?.message {
        Some(Down::Work(work)) => Some((work.stages.len(), work.launches.len(), work.kills.len())),
        _ => None,
    };
    let messages: Vec<_> = std::iter::from_fn(&mut next).collect();
    assert_eq!(messages, [(1, 10, 0), (0, 10, 0), (0, 10, 1)]);
}
