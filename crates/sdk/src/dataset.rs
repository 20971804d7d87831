//! Datasets: records on executors, and what is done with them in stages.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use muster_dag::{StageId, StageKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::driver::{ArgumentWriter, CallerInput, CallerInputs, NewStage, StageArguments, StageCode, StageResults};
use crate::plan::{MergeRule, ParentStage, PlanSink, PlanSource, PlanStep, StagePlan};
use crate::record::{DataRecord, RecordError, encode_record, put_record};
use crate::{ArgumentError, Collection, Job, JobError, TaskFunction, Tasks};

/// The most partitions of a dataset. Each reader is told where all of those are that it reads, and
/// each output may have a block for every reader.
pub(crate) const MOST_PARTITIONS: u32 = 1_000_000;

/// Records of one type on the executors, in partitions. It is a description: nothing runs until
/// [`collect`](Dataset::collect) or [`count`](Dataset::count) makes a job of it. It is cheap to
/// clone.
///
/// Functions are named, not given: each is one that `#[muster_sdk::function]` marks.
///
/// ```no_run
/// use muster_sdk::Tasks;
///
/// #[muster_sdk::function]
/// fn words(line: String) -> Vec<(String, u64)> {
///     line.split_whitespace().map(|word| (word.to_owned(), 1)).collect()
/// }
///
/// #[muster_sdk::function]
/// fn add(one: u64, other: u64) -> u64 {
///     one + other
/// }
///
/// # async fn example(tasks: Tasks) -> Result<(), muster_sdk::JobError> {
/// let lines = ["to be or not", "to be"].map(str::to_owned);
/// let counts = tasks.dataset(lines, 2).flat_map::<words>().reduce_by_key::<add>(2);
/// for (word, count) in counts.collect().await? {
///     println!("{count} {word}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// [`map`](Dataset::map), [`flat_map`](Dataset::flat_map) and [`filter`](Dataset::filter) run in
/// the tasks that make their records. [`reduce_by_key`](Dataset::reduce_by_key),
/// [`group_by_key`](Dataset::group_by_key) and [`join`](Dataset::join) begin a new stage: the tasks
/// before them keep their outputs on their executors, and the tasks behind read them from there.
/// Such outputs are kept, for other jobs too, as long as a dataset that reads them is. What an
/// executor that is lost has kept is made again, and no more than that.
///
/// Keys are equal when postcard writes them alike, and what one task reads of them must fit into
/// its memory.
pub struct Dataset<T> {
    tasks: Tasks,
    stage: OpenStage,
    error: Option<JobError>,
    element: PhantomData<fn() -> T>,
}

/// A stage to which steps may still be added.
#[derive(Clone)]
struct OpenStage {
    source: DatasetSource,
    steps: Vec<PlanStep>,
    tasks: u32,
}

/// Where the records of a dataset come from.
#[derive(Clone)]
enum DatasetSource {
    Arguments { plan: PlanSource, arguments: Arc<StageArguments> },
    Stages { parents: Vec<Arc<KeptStageHandle>>, rule: MergeRule },
}

/// A stage whose outputs are kept until this is dropped.
struct KeptStageHandle {
    id: StageId,
    plan: StagePlan,
    arguments: Arc<StageArguments>,
    tasks: u32,
    parents: Vec<Arc<KeptStageHandle>>,
    driver: CallerInputs,
}

impl Drop for KeptStageHandle {
    fn drop(&mut self) {
        self.driver.tell(CallerInput::ReleaseStage(self.id));
    }
}

impl<T> Clone for Dataset<T> {
    fn clone(&self) -> Self {
        Dataset {
            tasks: self.tasks.clone(),
            stage: self.stage.clone(),
            error: self.error.clone(),
            element: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Dataset<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("tasks", &self.stage.tasks).field("steps", &self.stage.steps).finish()
    }
}

impl OpenStage {
    fn plan(&self, sink: PlanSink) -> StagePlan {
        let source = match &self.source {
            DatasetSource::Arguments { plan, .. } => plan.clone(),
            DatasetSource::Stages { parents, rule } => PlanSource::Outputs {
                parents: parents.iter().map(|parent| ParentStage { stage: parent.id.0, tasks: parent.tasks }).collect(),
                rule: rule.clone(),
            },
        };
        StagePlan { source, steps: self.steps.clone(), sink }
    }

    fn arguments(&self) -> Arc<StageArguments> {
        match &self.source {
            DatasetSource::Arguments { arguments, .. } => arguments.clone(),
            DatasetSource::Stages { .. } => Arc::default(),
        }
    }

    fn parents(&self) -> &[Arc<KeptStageHandle>] {
        match &self.source {
            DatasetSource::Arguments { .. } => &[],
            DatasetSource::Stages { parents, .. } => parents,
        }
    }

    /// The stages of a job for this one, parents before children.
    fn job_stages(&self, id: StageId, sink: PlanSink) -> Result<Vec<NewStage>, JobError> {
        let mut stages: Vec<NewStage> = Vec::new();
        let mut to_visit: Vec<(&Arc<KeptStageHandle>, bool)> = self.parents().iter().map(|one| (one, false)).collect();
        // A stage is added when all that it reads was added.
        while let Some((stage, is_ready)) = to_visit.pop() {
            if stages.iter().any(|added| added.id == stage.id) {
                continue;
            }
            if is_ready {
                stages.push(stage.as_new_stage()?);
            } else {
                to_visit.push((stage, true));
                to_visit.extend(stage.parents.iter().map(|parent| (parent, false)));
            }
        }
        let parents = self.parents().iter().map(|parent| parent.id).collect();
        let (code, kind) = (encoded(&self.plan(sink))?, StageKind::Results);
        stages.push(NewStage { id, code, arguments: self.arguments(), tasks: self.tasks, parents, kind, handle: None });
        Ok(stages)
    }
}

impl KeptStageHandle {
    fn as_new_stage(self: &Arc<Self>) -> Result<NewStage, JobError> {
        Ok(NewStage {
            id: self.id,
            code: encoded(&self.plan)?,
            arguments: self.arguments.clone(),
            tasks: self.tasks,
            parents: self.parents.iter().map(|parent| parent.id).collect(),
            kind: StageKind::Outputs,
            handle: Some(self.clone()),
        })
    }
}

fn encoded(plan: &StagePlan) -> Result<StageCode, JobError> {
    let encoded = postcard::to_stdvec(plan).map_err(|error| ArgumentError::Encode(0, error))?;
    Ok(StageCode::Plan(encoded.into()))
}

impl<T> Dataset<T> {
    /// One whose tasks have arguments.
    pub(crate) fn of_arguments(
        tasks: Tasks,
        plan: PlanSource,
        arguments: Result<StageArguments, ArgumentError>,
    ) -> Dataset<T> {
        let checked = arguments.and_then(|arguments| {
            let count = u32::try_from(arguments.len()).unwrap_or(u32::MAX);
            check_partitions(count).map(|()| (arguments, count))
        });
        let (arguments, count, error) = match checked {
            Ok((arguments, count)) => (arguments, count, None),
            Err(error) => (StageArguments::default(), 0, Some(error.into())),
        };
        let source = DatasetSource::Arguments { plan, arguments: Arc::new(arguments) };
        let stage = OpenStage { source, steps: Vec::new(), tasks: count };
        Dataset { tasks, stage, error, element: PhantomData }
    }

    /// How many partitions it has: each is made by one task.
    pub fn partitions(&self) -> u32 {
        self.stage.tasks
    }

    fn with_step<U>(&self, step: PlanStep) -> Dataset<U> {
        let mut stage = self.stage.clone();
        stage.steps.push(step);
        Dataset { tasks: self.tasks.clone(), stage, error: self.error.clone(), element: PhantomData }
    }

    /// What a function makes of each record.
    pub fn map<F: TaskFunction<Arguments = T>>(&self) -> Dataset<F::Output> {
        self.with_step(PlanStep::Map(F::NAME.to_owned()))
    }

    /// All that a function makes of each record: none, one or many.
    pub fn flat_map<F>(&self) -> Dataset<<F::Output as Collection>::Item>
    where
        F: TaskFunction<Arguments = T>,
        F::Output: Collection,
    {
        self.with_step(PlanStep::FlatMap(F::NAME.to_owned()))
    }

    /// The records of which a function says that they stay.
    pub fn filter<F: TaskFunction<Arguments = T, Output = bool>>(&self) -> Dataset<T> {
        self.with_step(PlanStep::Filter(F::NAME.to_owned()))
    }

    /// The number of records.
    pub fn count(&self) -> Job<u64> {
        self.submit("count", PlanSink::Count, decode_count)
    }

    fn submit<R>(
        &self,
        name: &'static str,
        sink: PlanSink,
        decode: fn(&StageResults) -> Result<R, JobError>,
    ) -> Job<R> {
        let stages = |id| match &self.error {
            Some(error) => Err(error.clone()),
            None => self.stage.job_stages(id, sink),
        };
        self.tasks.submit_stages(name, stages, decode)
    }

    /// Ends the stage: its outputs are kept for so many readers.
    fn keep(&self, readers: u32, combine: Option<String>) -> Arc<KeptStageHandle> {
        Arc::new(KeptStageHandle {
            id: self.tasks.next_stage(),
            plan: self.stage.plan(PlanSink::Keep { readers, combine }),
            arguments: self.stage.arguments(),
            tasks: self.stage.tasks,
            parents: self.stage.parents().to_vec(),
            driver: self.tasks.driver().clone(),
        })
    }

    fn merged<U>(&self, parents: Vec<Arc<KeptStageHandle>>, rule: MergeRule, partitions: u32) -> Dataset<U> {
        let source = DatasetSource::Stages { parents, rule };
        let stage = OpenStage { source, steps: Vec::new(), tasks: partitions };
        let error = self.error.clone().or_else(|| check_partitions(partitions).err().map(JobError::from));
        Dataset { tasks: self.tasks.clone(), stage, error, element: PhantomData }
    }
}

impl<T: DeserializeOwned> Dataset<T> {
    /// All records, partition by partition.
    pub fn collect(&self) -> Job<Vec<T>> {
        self.submit("collect", PlanSink::Collect, decode_collected)
    }
}

impl<K, V> Dataset<(K, V)> {
    /// One value for each key: a function makes one of two until one is left. It is called in any
    /// order, by the tasks that have the values as well as by those that read them, so it must not
    /// matter to it which comes first.
    pub fn reduce_by_key<F>(&self, partitions: u32) -> Dataset<(K, V)>
    where
        F: TaskFunction<Arguments = (V, V), Output = V>,
    {
        let kept = self.keep(partitions, Some(F::NAME.to_owned()));
        self.merged(vec![kept], MergeRule::Reduce(F::NAME.to_owned()), partitions)
    }

    /// All values of each key, in the order of the partitions that they come from.
    pub fn group_by_key(&self, partitions: u32) -> Dataset<(K, Vec<V>)> {
        self.merged(vec![self.keep(partitions, None)], MergeRule::Group, partitions)
    }

    /// Each value of a key with each value of the other dataset for the same key. Keys that only
    /// one of them has are left out.
    pub fn join<W>(&self, other: &Dataset<(K, W)>, partitions: u32) -> Dataset<(K, (V, W))> {
        let parents = vec![self.keep(partitions, None), other.keep(partitions, None)];
        let mut joined = self.merged(parents, MergeRule::Join, partitions);
        joined.error = joined.error.or_else(|| other.error.clone());
        joined
    }
}

fn check_partitions(count: u32) -> Result<(), ArgumentError> {
    if count <= MOST_PARTITIONS { Ok(()) } else { Err(ArgumentError::Partitions(count)) }
}

fn decode_collected<T: DeserializeOwned>(results: &StageResults) -> Result<Vec<T>, JobError> {
    let mut all = Vec::new();
    for (partition, result) in results.iter().enumerate() {
        let mut records: Vec<T> = decode("collect", partition, result)?;
        all.append(&mut records);
    }
    Ok(all)
}

fn decode_count(results: &StageResults) -> Result<u64, JobError> {
    let counts = results.iter().enumerate().map(|(partition, result)| decode::<u64>("count", partition, result));
    counts.sum()
}

fn decode<T: DeserializeOwned>(function: &'static str, partition: usize, result: &[u8]) -> Result<T, JobError> {
    postcard::from_bytes(result).map_err(|cause| JobError::Result { partition, function, cause })
}

/// The arguments of tasks that each have some of the values.
pub(crate) fn value_arguments<T: Serialize>(
    values: impl IntoIterator<Item = T>,
    partitions: u32,
) -> Result<StageArguments, ArgumentError> {
    check_partitions(partitions)?;
    let mut parts = vec![Vec::new(); partitions as usize];
    let mut buffer = Vec::new();
    for (number, value) in values.into_iter().enumerate() {
        let key_length = encode_record(&value, &mut buffer).map_err(|error| not_encoded(number, error))?;
        if let Some(part) = parts.get_mut(number % (partitions.max(1) as usize)) {
            put_record(part, DataRecord { bytes: &buffer, key_length });
        }
    }
    let mut writer = ArgumentWriter::default();
    parts.iter().try_for_each(|part| writer.add_encoded(part))?;
    Ok(writer.finish())
}

fn not_encoded(number: usize, error: RecordError) -> ArgumentError {
    let cause = match error {
        RecordError::Postcard(cause) => cause,
        // What it says has no place in an error of postcard's.
        RecordError::Custom(_) | RecordError::Taker(_) => postcard::Error::SerdeSerCustom,
    };
    ArgumentError::Encode(number, cause)
}
