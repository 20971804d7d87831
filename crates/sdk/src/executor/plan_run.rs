//! Runs the plan of a stage for one task: records go from its source through its steps to its
//! sink, one at a time.

use std::sync::Arc;

use muster_proto::v1;

use super::context::TaskContext;
use super::merge::{Groups, Joins, Reductions};
use super::output::{KeptOutput, OutputWriter, read_outputs};
use crate::function::RegisteredFunction;
use crate::plan::{MergeRule, ParentStage, PlanSink, PlanSource, PlanStep, StagePlan};
use crate::record::{DataRecord, RecordShape, put_varint, take_record};
use crate::{TaskError, foreign};

type Function = &'static RegisteredFunction;

/// What the tasks of a stage do.
#[derive(Debug, Clone)]
pub(crate) enum StageWork {
    /// One call; its result goes to the caller.
    Function(Function),
    /// One call of a function of another language, by the number of the value that it travels as.
    Foreign(u64),
    /// A plan.
    Plan(Arc<RunnablePlan>),
}

/// A plan whose functions were found.
#[derive(Debug)]
pub(crate) struct RunnablePlan {
    source: RunnableSource,
    steps: Vec<RunnableStep>,
    sink: RunnableSink,
}

#[derive(Debug)]
enum RunnableSource {
    Call(Function),
    Argument,
    Reduce(Vec<ParentStage>, Function),
    Group(Vec<ParentStage>),
    Join(Vec<ParentStage>),
}

#[derive(Debug, Clone, Copy)]
enum RunnableStep {
    Map(Function),
    FlatMap(Function),
    Filter(Function),
}

#[derive(Debug)]
enum RunnableSink {
    Collect,
    Count,
    Keep { readers: u32, combine: Option<Function> },
}

/// What a task has made.
pub(crate) enum TaskProduct {
    /// A result for the caller.
    Result(Vec<u8>),
    /// An output for other tasks.
    Output(KeptOutput),
}

impl StageWork {
    /// Finds what a stage needs of this program, which may have something that runs functions of
    /// another language.
    pub(crate) fn find(stage: &v1::TaskStage, has_foreign: bool) -> Result<StageWork, TaskError> {
        if let Some(number) = foreign::number_of(&stage.function).filter(|_| has_foreign) {
            return Ok(StageWork::Foreign(number));
        }
        if stage.plan.is_empty() {
            return RegisteredFunction::find(&stage.function).map(StageWork::Function);
        }
        let plan: StagePlan = postcard::from_bytes(&stage.plan)
            .map_err(|error| TaskError::for_ever(format_args!("the plan of the stage cannot be decoded: {error}")))?;
        Ok(StageWork::Plan(Arc::new(RunnablePlan::find(plan)?)))
    }

    /// Does it for one task.
    pub(crate) fn run(&self, context: &TaskContext, stage: u64, argument: &[u8]) -> Result<TaskProduct, TaskError> {
        match self {
            StageWork::Function(function) => function.run(context, argument).map(TaskProduct::Result),
            StageWork::Foreign(number) => foreign::call(context, *number, argument).map(TaskProduct::Result),
            StageWork::Plan(plan) => plan.run(context, stage, argument),
        }
    }
}

impl RunnablePlan {
    fn find(plan: StagePlan) -> Result<RunnablePlan, TaskError> {
        let find = |name: &String| RegisteredFunction::find(name);
        let source = match plan.source {
            PlanSource::Call(function) => RunnableSource::Call(find(&function)?),
            PlanSource::Argument => RunnableSource::Argument,
            PlanSource::Outputs { parents, rule: MergeRule::Reduce(function) } => {
                RunnableSource::Reduce(parents, find(&function)?)
            }
            PlanSource::Outputs { parents, rule: MergeRule::Group } => RunnableSource::Group(parents),
            PlanSource::Outputs { parents, rule: MergeRule::Join } => RunnableSource::Join(parents),
        };
        let steps = plan.steps.iter().map(|step| {
            Ok(match step {
                PlanStep::Map(function) => RunnableStep::Map(find(function)?),
                PlanStep::FlatMap(function) => RunnableStep::FlatMap(find(function)?),
                PlanStep::Filter(function) => RunnableStep::Filter(find(function)?),
            })
        });
        let steps = steps.collect::<Result<_, TaskError>>()?;
        let sink = match plan.sink {
            PlanSink::Collect => RunnableSink::Collect,
            PlanSink::Count => RunnableSink::Count,
            PlanSink::Keep { readers, combine } => {
                RunnableSink::Keep { readers, combine: combine.as_ref().map(find).transpose()? }
            }
        };
        Ok(RunnablePlan { source, steps, sink })
    }

    fn run(&self, context: &TaskContext, stage: u64, argument: &[u8]) -> Result<TaskProduct, TaskError> {
        let sink = match self.sink {
            RunnableSink::Collect => TaskSink::Collect { records: 0, bytes: Vec::new() },
            RunnableSink::Count => TaskSink::Count(0),
            RunnableSink::Keep { readers, combine } => {
                let store = &context.state.outputs.store;
                let combine = combine.map(|function| Box::new(combining(context, function)) as Box<_>);
                TaskSink::Keep(Box::new(OutputWriter::new(store, (stage, context.attempt()), readers, combine)))
            }
        };
        let mut pipeline = RecordPipeline { context, steps: &self.steps, sink };
        match &self.source {
            RunnableSource::Call(function) => {
                let mut taker = |record: DataRecord<'_>| pipeline.take(0, record);
                function.emit(context, argument, RecordShape::Elements, &mut taker)?;
            }
            RunnableSource::Argument => {
                let mut rest = argument;
                while let Some(record) = take_record(&mut rest) {
                    pipeline.take(0, record)?;
                }
                if !rest.is_empty() {
                    return Err(TaskError::for_ever("the argument of the task ends within a record"));
                }
            }
            RunnableSource::Reduce(parents, function) => {
                let mut reductions = Reductions::new(combining(context, function));
                read_all(context, parents, &mut |_, _, record| reductions.add(record))?;
                reductions.give(&mut |record| pipeline.take(0, record))?;
            }
            RunnableSource::Group(parents) => {
                let mut groups = Groups::default();
                read_all(context, parents, &mut |_, partition, record| groups.add(partition, record))?;
                groups.give(&mut |record| pipeline.take(0, record))?;
            }
            RunnableSource::Join(parents) => {
                let mut joins = Joins::default();
                read_all(context, parents, &mut |parent, partition, record| joins.add(parent, partition, record))?;
                joins.give(&mut |record| pipeline.take(0, record))?;
            }
        }
        pipeline.sink.finish()
    }
}

/// A function of two values as they travel: a pair is its two elements, one after the other.
fn combining(context: &TaskContext, function: Function) -> impl Fn(&[u8], &[u8]) -> Result<Vec<u8>, TaskError> + '_ {
    move |one, other| function.run(context, &[one, other].concat())
}

/// Takes a record of the task of a partition, of the parent of a position.
type ParentTaker<'a> = dyn FnMut(usize, u32, DataRecord<'_>) -> Result<(), TaskError> + 'a;

fn read_all(context: &TaskContext, parents: &[ParentStage], taker: &mut ParentTaker<'_>) -> Result<(), TaskError> {
    let outputs = &context.state.outputs;
    let is_killed = || context.is_killed();
    for (position, parent) in parents.iter().enumerate() {
        let mut one = |partition: u32, record: DataRecord<'_>| taker(position, partition, record);
        let from = (&outputs.reader, &*outputs.store, &outputs.directory);
        read_outputs(from, *parent, context.partition(), &is_killed, &mut one)?;
    }
    Ok(())
}

/// Where the records of a task go.
enum TaskSink<'a> {
    Collect { records: u64, bytes: Vec<u8> },
    Count(u64),
    Keep(Box<OutputWriter<'a>>),
}

impl TaskSink<'_> {
    fn take(&mut self, record: DataRecord<'_>) -> Result<(), TaskError> {
        match self {
            TaskSink::Collect { records, bytes } => {
                *records += 1;
                bytes.extend_from_slice(record.bytes);
            }
            TaskSink::Count(records) => *records += 1,
            TaskSink::Keep(writer) => writer.add(record)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<TaskProduct, TaskError> {
        let mut result = Vec::new();
        match self {
            // A list as postcard writes it.
            TaskSink::Collect { records, bytes } => {
                put_varint(&mut result, records);
                result.extend_from_slice(&bytes);
            }
            TaskSink::Count(records) => put_varint(&mut result, records),
            TaskSink::Keep(writer) => return writer.finish().map(TaskProduct::Output),
        }
        Ok(TaskProduct::Result(result))
    }
}

/// The way of a record.
struct RecordPipeline<'a> {
    context: &'a TaskContext,
    steps: &'a [RunnableStep],
    sink: TaskSink<'a>,
}

impl RecordPipeline<'_> {
    /// Takes a record before the step of a position.
    fn take(&mut self, position: usize, record: DataRecord<'_>) -> Result<(), TaskError> {
        let context = self.context;
        let Some(step) = self.steps.get(position).copied() else {
            if context.is_killed() {
                return Err(TaskError::new("it was killed"));
            }
            return self.sink.take(record);
        };
        let mut next = |record: DataRecord<'_>| self.take(position + 1, record);
        match step {
            RunnableStep::Map(function) => function.emit(context, record.bytes, RecordShape::Value, &mut next),
            RunnableStep::FlatMap(function) => function.emit(context, record.bytes, RecordShape::Elements, &mut next),
            RunnableStep::Filter(function) => {
                let stays = function.run(context, record.bytes)?;
                if stays == [1] { next(record) } else { Ok(()) }
            }
        }
    }
}
