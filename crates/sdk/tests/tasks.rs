//! Tasks with driver and executor in one process, over the same link as between processes.
#![expect(clippy::panic, clippy::unwrap_used, reason = "in a test the panic is the report")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_sdk::{
    Broadcast, FailedJob, Job, JobError, JobOptions, StartError, TaskContext, TaskError, TaskEvent, Tasks, TasksOptions,
};
use serde::{Deserialize, Serialize};

async fn local(cores: u32) -> Tasks {
    let options = TasksOptions { local: Some(cores), progress: false, ..TasksOptions::default() };
    Tasks::start(options).await.unwrap()
}

async fn failure<T: std::fmt::Debug>(job: Job<T>) -> FailedJob {
    match job.await.unwrap_err() {
        JobError::Failed(failed) => *failed,
        other => panic!("another error: {other}"),
    }
}

#[muster_sdk::function]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[muster_sdk::function]
fn nothing() {}

#[muster_sdk::function]
fn name_of(context: &TaskContext, prefix: String) -> String {
    context.count("letters", prefix.len() as u64);
    format!("{prefix}{}", context.partition())
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_the_order_of_the_arguments() {
    let tasks = local(3).await;
    assert_eq!(tasks.submit::<add>((2, 3)).await.unwrap(), 5);
    tasks.submit::<nothing>(()).await.unwrap();
    let mut job = tasks.map::<name_of>(["a", "bb", "c"].map(str::to_owned));
    assert_eq!((&mut job).await.unwrap(), ["a0", "bb1", "c2"]);
    assert_eq!(job.counts(), &BTreeMap::from([("letters".to_owned(), 4)]));
    let sums = tasks.map::<add>((0..20_000).map(|n| (n, 1))).await.unwrap();
    assert!(sums.iter().copied().eq(1..=20_000));
    // The function is still one.
    assert_eq!(add(1, 1), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_jobs_than_may_run_are_submitted_one_after_the_other() {
    let tasks = local(2).await;
    let jobs: Vec<_> = (0..8_500).map(|n| tasks.submit::<add>((n, n))).collect();
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(job.await.unwrap(), 2 * n);
    }
}

static TRIES: AtomicU64 = AtomicU64::new(0);

#[muster_sdk::function]
fn third_time_lucky(context: &TaskContext) -> Result<u32, String> {
    context.count("tries", 1);
    match TRIES.fetch_add(1, Ordering::Relaxed) {
        2 => Ok(context.tries_before()),
        n => Err(format!("not the {n}th time")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_is_tried_again_and_only_the_try_that_counts_has_counted() {
    let tasks = local(1).await;
    let mut events = tasks.events();
    let mut job = tasks.submit::<third_time_lucky>(());
    assert_eq!((&mut job).await.unwrap(), 2);
    assert_eq!(job.counts()["tries"], 1);
    let mut causes = Vec::new();
    loop {
        match events.recv().await.unwrap() {
            TaskEvent::AttemptFailed { cause, .. } => causes.push(cause),
            TaskEvent::JobEnded { error, .. } => break assert_eq!(error, None),
            _ => {}
        }
    }
    assert_eq!(causes, ["not the 0th time", "not the 1th time"]);
}

#[muster_sdk::function]
fn always_fails(n: u64) -> Result<u64, String> {
    if n == 3 { Err("three".to_owned()) } else { Ok(n) }
}

#[muster_sdk::function]
fn never_again() -> Result<(), TaskError> {
    Err(TaskError::for_ever("no"))
}

#[muster_sdk::function]
fn panics(n: u64) -> u64 {
    assert!(n != 2, "two is too many");
    n
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_names_what_failed() {
    let tasks = local(2).await;
    let failed = failure(tasks.map::<always_fails>(0..5)).await;
    let attempt = failed.attempt.clone().unwrap();
    assert_eq!((attempt.partition, attempt.number, attempt.executor), (3, 4, 0));
    let text = failed.to_string();
    assert!(text.starts_with(&format!("job {} (tasks::always_fails) failed in stage", failed.job)), "{text}");
    assert!(text.ends_with(": task 3, attempt 4, on executor 0: three"), "{text}");

    assert_eq!(failure(tasks.submit::<never_again>(())).await.attempt.unwrap().number, 1);
    let panicked = failure(tasks.map::<panics>(0..4)).await;
    assert_eq!((panicked.attempt.unwrap().number, panicked.cause.as_str()), (4, "it panicked: two is too many"));
    assert_eq!(tasks.submit::<add>((1, 1)).await.unwrap(), 2, "the executor goes on");
}

/// Encodes as something else than it decodes.
#[derive(Debug, Serialize)]
struct Poisonous(String);

impl<'de> Deserialize<'de> for Poisonous {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("poison"))
    }
}

#[derive(Debug)]
struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no form"))
    }
}

impl<'de> Deserialize<'de> for Unencodable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Unencodable)
    }
}

#[muster_sdk::function]
fn takes_poison(_poison: Poisonous) {}

#[muster_sdk::function]
fn gives_poison() -> Poisonous {
    Poisonous("drop".to_owned())
}

#[muster_sdk::function]
fn gives_nothing_that_travels() -> Unencodable {
    Unencodable
}

#[muster_sdk::function]
fn takes_nothing_that_travels(_nothing: Unencodable) {}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_travel_is_an_error_and_nothing_hangs() {
    let tasks = local(1).await;
    let refused = tasks.map::<add>([]).await.unwrap_err().to_string();
    assert!(refused.contains("has no tasks"), "{refused}");
    let poisoned = failure(tasks.submit::<takes_poison>(Poisonous(String::new()))).await;
    assert!(poisoned.cause.contains("the argument of `tasks::takes_poison` cannot be decoded"), "{poisoned}");
    assert_eq!(poisoned.attempt.unwrap().number, 1, "no try can mend it");
    let poison = tasks.submit::<gives_poison>(()).await.unwrap_err().to_string();
    assert!(poison.starts_with("result 0 of `tasks::gives_poison` cannot be decoded"), "{poison}");
    let formless = failure(tasks.submit::<gives_nothing_that_travels>(())).await;
    assert!(formless.cause.contains("cannot be encoded"), "{formless}");
    let unsent = tasks.submit::<takes_nothing_that_travels>(Unencodable).await.err().unwrap().to_string();
    assert!(unsent.contains("argument 0 cannot be encoded"), "{unsent}");
    let large = tasks.submit::<name_of>("x".repeat(17 << 20)).await.unwrap_err().to_string();
    assert!(large.contains("broadcast what is large"), "{large}");
}

#[muster_sdk::function]
fn length_of(context: &TaskContext, text: Broadcast<String>) -> Result<usize, TaskError> {
    Ok(text.get(context)?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_value_is_there_for_every_task_until_it_is_forgotten() {
    let tasks = local(4).await;
    let (small, large) = ("abc".to_owned(), "x".repeat(5 << 20));
    for text in [small, large] {
        let value = tasks.broadcast(&text).unwrap();
        assert_eq!(tasks.map::<length_of>([value; 16]).await.unwrap(), [text.len(); 16]);
        tasks.forget(value);
        let error = failure(tasks.submit::<length_of>(value)).await;
        assert!(error.cause.contains("was forgotten"), "{error}");
    }
}

#[muster_sdk::function]
fn zeros(length: usize) -> Vec<u8> {
    vec![0; length]
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_are_fetched_and_too_large_ones_end_the_job() {
    let mut options = TasksOptions { local: Some(4), progress: false, ..TasksOptions::default() };
    options.scheduler.max_result_bytes = 40 << 20;
    let tasks = Tasks::start(options).await.unwrap();
    let sizes = [0, 100, 1 << 20, 3 << 20, 20 << 20];
    let lengths: Vec<usize> = tasks.map::<zeros>(sizes).await.unwrap().iter().map(Vec::len).collect();
    assert_eq!(lengths, sizes);
    let failed = failure(tasks.map::<zeros>([15 << 20; 4])).await;
    assert!(failed.cause.contains("and a job may have 41943040"), "{failed}");
    assert_eq!(tasks.map::<zeros>([15 << 20; 2]).await.unwrap().len(), 2, "nothing is left of it");
}

static RUNNING: AtomicU64 = AtomicU64::new(0);

/// Runs until it is killed.
#[muster_sdk::function]
fn until_killed(context: &TaskContext) {
    RUNNING.fetch_add(1, Ordering::SeqCst);
    while !context.is_killed() {
        std::thread::sleep(Duration::from_millis(1));
    }
    RUNNING.fetch_sub(1, Ordering::SeqCst);
}

async fn wait_until_running(count: u64) {
    while RUNNING.load(Ordering::SeqCst) != count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A way to cancel a job.
type Cancel<'a> = dyn Fn(&Job<Vec<()>>) + 'a;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_cancelled_by_hand_by_group_by_tag_and_by_being_dropped() {
    let tasks = local(2).await;
    let options = JobOptions { group: Some("g".into()), tags: vec!["t".into()], ..JobOptions::default() };
    let cancels: [&Cancel<'_>; 4] = [
        &|job| job.cancel("by hand"),
        &|_| tasks.cancel_group("g", false, "by group"),
        &|_| tasks.cancel_tag("t", "by tag"),
        &|_| tasks.cancel_all("by all"),
    ];
    for (cancel, reason) in cancels.iter().zip(["by hand", "by group", "by tag", "by all"]) {
        let job = tasks.with(options.clone()).map::<until_killed>([(); 5]);
        wait_until_running(2).await;
        cancel(&job);
        assert_eq!(failure(job).await.cause, format!("it was cancelled: {reason}"));
        wait_until_running(0).await;
    }
    let job = tasks.map::<until_killed>([(); 5]);
    wait_until_running(2).await;
    drop(job);
    wait_until_running(0).await;
    assert_eq!(tasks.submit::<add>((1, 2)).await.unwrap(), 3);
    tasks.cancel_group("later", true, "in advance");
    let later = tasks.with(JobOptions { group: Some("later".into()), ..JobOptions::default() });
    assert!(later.submit::<add>((1, 2)).await.unwrap_err().to_string().contains("its group was cancelled"));
}

#[muster_sdk::function]
fn commits(context: &TaskContext) -> Result<u32, TaskError> {
    context.ask_commit()?;
    context.ask_commit()?;
    if context.tries_before() == 0 { Err(TaskError::new("after all")) } else { Ok(context.tries_before()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_may_commit_when_the_one_before_has_failed() {
    assert_eq!(local(1).await.submit::<commits>(()).await.unwrap(), 1);
}

/// Takes 60 ms the first time, so that those which were sent ahead behind it are given back.
#[muster_sdk::function]
fn slow_at_last(n: u64) -> u64 {
    if n >= 200 {
        std::thread::sleep(Duration::from_millis(60));
    }
    n
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_behind_one_that_runs_for_long_are_given_back_and_run() {
    let tasks = local(2).await;
    let done = tasks.map::<slow_at_last>(0..220).await.unwrap();
    assert!(done.iter().copied().eq(0..220));
}

static ENDED: AtomicU64 = AtomicU64::new(0);

#[muster_sdk::function]
fn until_told(context: &TaskContext) {
    while !context.is_killed() {
        std::thread::sleep(Duration::from_millis(1));
    }
    ENDED.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_tasks_are_stopped_what_runs_is_told() {
    let tasks = local(1).await;
    let mut events = tasks.events();
    let job = tasks.map::<until_told>([(); 2]);
    while !matches!(events.recv().await.unwrap(), TaskEvent::JobProgressed { running: 1, .. }) {}
    tasks.stop(None).await.unwrap();
    assert!(matches!(job.await, Err(JobError::Ended(_))));
    assert!(matches!(tasks.submit::<add>((1, 1)).await, Err(JobError::Ended(_))));
    while ENDED.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn nothing_is_started_without_cores() {
    for options in [
        TasksOptions { local: Some(0), ..TasksOptions::default() },
        TasksOptions { executors: 0, ..TasksOptions::default() },
        TasksOptions { executor_cores: 0, ..TasksOptions::default() },
    ] {
        assert!(matches!(Tasks::start(options).await, Err(StartError::NoCores)));
    }
}
