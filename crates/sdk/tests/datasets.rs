//! Datasets with driver and executor in one process.
#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_sdk::{Dataset, JobError, OutputCompression, TaskContext, TaskError, Tasks, TasksOptions};

fn options() -> TasksOptions {
    TasksOptions { local: Some(3), progress: false, ..TasksOptions::default() }
}

async fn local() -> Tasks {
    Tasks::start(options()).await.unwrap()
}

#[muster_sdk::function]
fn words(line: String) -> Vec<(String, u64)> {
    line.split_whitespace().map(|word| (word.to_owned(), 1)).collect()
}

#[muster_sdk::function]
fn add(one: u64, other: u64) -> u64 {
    one + other
}

#[muster_sdk::function]
fn double(n: u64) -> u64 {
    2 * n
}

#[muster_sdk::function]
fn is_even(n: u64) -> bool {
    n.is_multiple_of(2)
}

#[muster_sdk::function]
fn by_remainder(n: u64) -> (u64, u64) {
    (n % 7, n)
}

#[muster_sdk::function]
fn half_of_even(n: u64) -> Option<u64> {
    n.is_multiple_of(2).then_some(n / 2)
}

#[muster_sdk::function]
fn range(context: &TaskContext, length: u64) -> Vec<u64> {
    context.count("ranges", 1);
    (0..length).collect()
}

#[muster_sdk::function]
fn lengths(words: Vec<String>) -> HashMap<String, usize> {
    words.into_iter().map(|word| (word.clone(), word.len())).collect()
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_mapped_filtered_and_counted_in_their_tasks() {
    let tasks = local().await;
    let numbers = tasks.dataset(0..1000u64, 4);
    assert_eq!(numbers.partitions(), 4);
    assert_eq!(sorted(numbers.collect().await.unwrap()), (0..1000).collect::<Vec<u64>>());
    let halved = numbers.map::<double>().filter::<is_even>().flat_map::<half_of_even>();
    assert_eq!(sorted(halved.collect().await.unwrap()), (0..1000).collect::<Vec<u64>>());
    assert_eq!(numbers.filter::<is_even>().count().await.unwrap(), 500);
    let mut job = tasks.dataset_of::<range>([0, 10, 5]).collect();
    let ranges = (&mut job).await.unwrap();
    assert_eq!(ranges, (0..10).chain(0..5).collect::<Vec<u64>>());
    assert_eq!(job.counts()["ranges"], 3);
    // More partitions than values, and a function that returns a map.
    let words = vec![["a".to_owned(), "bb".to_owned()].to_vec()];
    let lengths = tasks.dataset(words, 3).flat_map::<lengths>().collect().await.unwrap();
    assert_eq!(sorted(lengths), [("a".to_owned(), 1), ("bb".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_counted_over_two_stages() {
    let tasks = local().await;
    let lines: Vec<String> = (0..500).map(|n| format!("the {n} and the {}", n % 10)).collect();
    let mut expected = BTreeMap::new();
    for word in lines.iter().flat_map(|line| line.split_whitespace()) {
        *expected.entry(word.to_owned()).or_insert(0) += 1;
    }
    let counts = tasks.dataset(lines, 7).flat_map::<words>().reduce_by_key::<add>(5);
    let counted = counts.collect().await.unwrap();
    assert_eq!(counted.len(), expected.len(), "each word once");
    assert_eq!(counted.into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(counts.count().await.unwrap(), expected.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_all_values_in_the_order_of_their_partitions() {
    let tasks = local().await;
    let numbers: Vec<u64> = (0..700).collect();
    let grouped = tasks.dataset_of::<range>([700]).map::<by_remainder>().group_by_key(4).collect().await.unwrap();
    let grouped: BTreeMap<u64, Vec<u64>> = grouped.into_iter().collect();
    assert_eq!(grouped.len(), 7);
    for (remainder, values) in grouped {
        let expected: Vec<u64> = numbers.iter().copied().filter(|n| n % 7 == remainder).collect();
        assert_eq!(values, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_has_every_pair_of_equal_keys() {
    let tasks = local().await;
    let colours = [(1u32, "red"), (2, "green"), (2, "lime"), (3, "blue")].map(|(n, name)| (n, name.to_owned()));
    let sizes = [(2u32, 20u8), (3, 30), (3, 31), (4, 40)];
    let joined = tasks.dataset(colours, 3).join(&tasks.dataset(sizes, 2), 4).collect().await.unwrap();
    let found: BTreeSet<_> = joined.iter().map(|(key, (name, size))| (*key, name.as_str(), *size)).collect();
    let expected = [(2, "green", 20), (2, "lime", 20), (3, "blue", 30), (3, "blue", 31)];
    assert_eq!((found, joined.len()), (BTreeSet::from(expected), 4));
}

#[muster_sdk::function]
fn counted_pair(context: &TaskContext, n: u64) -> (u64, u64) {
    context.count("pairs", 1);
    (n % 3, n)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_complete_does_not_run_again_for_another_job_while_its_dataset_is_there() {
    let tasks = local().await;
    let sums = tasks.dataset(0..100u64, 4).map::<counted_pair>().reduce_by_key::<add>(2);
    let mut first = sums.collect();
    let found = (&mut first).await.unwrap();
    assert_eq!(first.counts()["pairs"], 100);
    let mut second = sums.clone().collect();
    assert_eq!((&mut second).await.unwrap(), found);
    assert!(second.counts().is_empty(), "its outputs were kept: {:?}", second.counts());
    // Three stages behind each other, of which the first is shared by both sides of a join.
    let joined = sums.join(&sums, 3).reduce_first().await;
    assert_eq!(joined, 3);
}

/// Only so that a test reads well.
trait ReduceFirst {
    async fn reduce_first(self) -> u64;
}

impl ReduceFirst for Dataset<(u64, (u64, u64))> {
    async fn reduce_first(self) -> u64 {
        self.count().await.unwrap()
    }
}

#[muster_sdk::function]
fn fails_at_five(n: u64) -> Result<(u64, u64), TaskError> {
    if n == 5 { Err(TaskError::for_ever("five")) } else { Ok((n, n)) }
}

#[muster_sdk::function]
fn no_sum(_one: u64, _other: u64) -> Result<u64, TaskError> {
    Err(TaskError::for_ever("it does not add up"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_names_the_stage_and_nothing_hangs() {
    let tasks = local().await;
    let numbers = tasks.dataset(0..10u64, 2);
    let failed = numbers.map::<fails_at_five>().reduce_by_key::<add>(2).collect().await.unwrap_err();
    let JobError::Failed(failed) = failed else { panic!("another error: {failed}") };
    assert_eq!((failed.cause.as_str(), failed.attempt.unwrap().partition), ("five", 1));
    let failed = numbers.map::<by_remainder>().reduce_by_key::<no_sum>(2).count().await.unwrap_err();
    assert!(failed.to_string().contains("it does not add up"), "{failed}");
    let refused = tasks.dataset(Vec::<u64>::new(), 0).collect().await.unwrap_err();
    assert!(refused.to_string().contains("has no tasks"), "{refused}");
    let refused = numbers.map::<by_remainder>().group_by_key(0).collect().await.unwrap_err();
    assert!(refused.to_string().contains("has no tasks"), "{refused}");
    let refused = tasks.dataset([1u64], u32::MAX).count().await.unwrap_err();
    assert!(refused.to_string().contains("a dataset may have 1000000"), "{refused}");
    let refused = numbers.map::<by_remainder>().group_by_key(1_000_001).count().await.unwrap_err();
    assert!(refused.to_string().contains("a dataset may have 1000000"), "{refused}");
    let large = tasks.dataset(["x".repeat(17 << 20)], 1).count().await.unwrap_err();
    assert!(large.to_string().contains("broadcast what is large"), "{large}");
    assert_eq!(numbers.count().await.unwrap(), 10, "the executor goes on");
}

#[muster_sdk::function]
fn incompressible(n: u64) -> Vec<(u64, Vec<u8>)> {
    let mut state = n | 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..20).map(|key| (key, (0..10_000).map(|_| byte()).collect())).collect()
}

#[muster_sdk::function]
fn total_length(key: u64, values: Vec<Vec<u8>>) -> (u64, usize) {
    (key, values.iter().map(Vec::len).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_without_room_in_memory_go_to_the_scratch_directory() {
    for (output_memory, output_compression) in
        [(Some(0), OutputCompression::Lz4), (Some(300_000), OutputCompression::None), (None, OutputCompression::None)]
    {
        let tasks = Tasks::start(TasksOptions { output_memory, output_compression, ..options() }).await.unwrap();
        let lengths = tasks.dataset_of::<incompressible>(0..10).group_by_key(3).map::<total_length>();
        let lengths = sorted(lengths.collect().await.unwrap());
        assert_eq!(lengths, (0..20).map(|key| (key, 100_000)).collect::<Vec<_>>());
    }
}
