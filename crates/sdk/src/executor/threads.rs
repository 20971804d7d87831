//! The threads that run tasks.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use muster_proto::v1;
use v1::task_ended::Kind;

use super::plan_run::TaskProduct;
use super::queue::{QueuedTask, RunningAttempt};
use super::state::{LARGEST_RESULT, SharedByThreads, ended};
use crate::{TaskContext, TaskError};

/// As much as a main thread has: functions are users' code.
const STACK_BYTES: usize = 8 << 20;
/// The longest message of a failure that is sent.
const LONGEST_MESSAGE: usize = 16 << 10;

/// Starts a thread for each core.
pub(crate) fn start(state: &Arc<SharedByThreads>, cores: u32) -> io::Result<()> {
    for number in 0..cores {
        let state = state.clone();
        let thread = thread::Builder::new().name(format!("task-{number}")).stack_size(STACK_BYTES);
        thread.spawn(move || run_tasks(&state))?;
    }
    Ok(())
}

fn run_tasks(state: &Arc<SharedByThreads>) {
    match &state.foreign {
        Some(foreign) => foreign.enter_thread(&mut || run_until_closed(state)),
        None => run_until_closed(state),
    }
}

fn run_until_closed(state: &Arc<SharedByThreads>) {
    let mut before = None;
    while let Some((task, running)) = state.queue.next(before) {
        before = Some(task.attempt);
        run_task(state, task, running);
    }
}

fn run_task(state: &Arc<SharedByThreads>, task: QueuedTask, running: Arc<RunningAttempt>) {
    let context = TaskContext { state: state.clone(), attempt: running.clone(), counts: Mutex::new(BTreeMap::new()) };
    let QueuedTask { work, argument, stage, partition, .. } = task;
    let called = catch_unwind(AssertUnwindSafe(|| work.and_then(|work| work.run(&context, stage, &argument))));
    let made = called.unwrap_or_else(|panic| Err(TaskError::new(format_args!("it panicked: {}", words_of(&*panic)))));
    let made = made.and_then(check_size);
    let mut fetch_failed = None;
    let (kind, result, message) = match made {
        _ if running.is_killed.load(Ordering::Relaxed) => (Kind::Killed, Vec::new(), String::new()),
        Ok(TaskProduct::Result(result)) => (Kind::Succeeded, result, String::new()),
        Ok(TaskProduct::Output(output)) => {
            state.keep_output(stage, partition, output);
            (Kind::Succeeded, Vec::new(), String::new())
        }
        Err(_) if running.was_denied.load(Ordering::Relaxed) => (Kind::CommitDenied, Vec::new(), String::new()),
        Err(error) => {
            let kind = match error.unread_output() {
                Some(output) => {
                    fetch_failed = Some(v1::FetchFailed {
                        stage: output.stage,
                        partition: output.partition,
                        executor_id: output.executor,
                        unreachable: output.unreachable,
                    });
                    Kind::FetchFailed
                }
                None if error.is_for_ever() => Kind::FailedForEver,
                None => Kind::Failed,
            };
            (kind, Vec::new(), shortened(error.to_string()))
        }
    };
    let counts = context.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ran_nanos = u64::try_from(running.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let ended = v1::TaskEnded { ran_nanos, message, counts, fetch_failed, ..ended(running.id, kind) };
    // What has just ended may wait for what follows, if that is there; the look at what runs for
    // long sends it at last.
    let may_wait = !state.queue.is_drained();
    state.end_with_result(ended, result, may_wait);
}

fn check_size(made: TaskProduct) -> Result<TaskProduct, TaskError> {
    let size = match &made {
        TaskProduct::Result(result) => result.len(),
        TaskProduct::Output(_) => 0,
    };
    if size <= LARGEST_RESULT {
        return Ok(made);
    }
    Err(TaskError::for_ever(format_args!("its result has {size} bytes, and a result may have {LARGEST_RESULT}")))
}

/// What a panic has said.
fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let at = (0..=LONGEST_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(at);
        message.push('…');
    }
    message
}
