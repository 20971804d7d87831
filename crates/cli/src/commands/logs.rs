//! `muster logs`.

use muster_client::v1::read_log_request::Subject;
use muster_client::v1::{Driver, LogStream, ReadLogRequest};

use super::follow::Follow;
use super::log_copy::{LogCopy, OpenLine, Out, attempt_log};
use super::tail::tail_lines;
use super::verdict::has_ended;
use super::watch::DriverWatch;
use crate::args::LogsArgs;
use crate::failure::CommandFailure;
use crate::master::MasterClient;

/// The most names in a message.
const NAMED: usize = 5;

/// Shows one or both logs of a process. With `-f` and a driver's name alone, it continues through
/// the driver's restarts.
pub(super) async fn logs(master: MasterClient, args: LogsArgs) -> Result<(), CommandFailure> {
    let streams = streams(&args);
    let driver = match master.driver(&args.target.id).await {
        Ok((driver, _)) => driver,
        Err(failure) if failure.is_not_found() => return executor_logs(&master, &args, streams, failure).await,
        Err(failure) => return Err(failure),
    };
    let attempt = match (args.target.number, driver.attempts.last()) {
        (Some(number), _) if driver.attempts.iter().any(|attempt| attempt.attempt == number) => number,
        (Some(number), _) => return Err(no_attempt(&driver, number)),
        (None, _) if args.follow && args.tail.is_none() && args.tail_bytes.is_none() => {
            return follow(&master, driver, streams).await;
        }
        (None, Some(newest)) => newest.attempt,
        (None, None) => {
            return Err(CommandFailure::State(format!("driver {} has not run yet; -f waits for it", driver.driver_id)));
        }
    };
    let requests =
        streams.into_iter().map(|(stream, out)| (attempt_log(&driver.uid, attempt, stream, args.follow), out));
    show(&master, &args, requests.collect()).await
}

/// The streams to show, and the output of each. A single stream goes to standard output, so that it
/// can be piped.
fn streams(args: &LogsArgs) -> Vec<(LogStream, Out)> {
    match (args.both, args.stderr) {
        (true, _) => vec![(LogStream::Stdout, Out::Stdout), (LogStream::Stderr, Out::Stderr)],
        (false, true) => vec![(LogStream::Stderr, Out::Stdout)],
        (false, false) => vec![(LogStream::Stdout, Out::Stdout)],
    }
}

/// Shows the logs of an executor, because no driver has the name.
async fn executor_logs(
    master: &MasterClient,
    args: &LogsArgs,
    streams: Vec<(LogStream, Out)>,
    no_driver: CommandFailure,
) -> Result<(), CommandFailure> {
    let application = match master.application(&args.target.id).await {
        Ok((application, _)) => application,
        Err(failure) if failure.is_not_found() => return Err(no_driver),
        Err(failure) => return Err(failure),
    };
    let Some(number) = args.target.number else {
        let executors = master.ask(master.client().executors(&application.uid, "", NAMED)).await?.items;
        let names: Vec<String> = executors
            .iter()
            .map(|executor| format!("{}/{}", application.application_id, executor.executor_id))
            .collect();
        return Err(CommandFailure::State(match names.as_slice() {
            [] => format!("{} is an application that has no executors yet", args.target.id),
            names => format!("{} is an application; name one of its executors: {}", args.target.id, names.join(", ")),
        }));
    };
    let requests = streams.into_iter().map(|(stream, out)| {
        let subject = Some(Subject::ApplicationId(application.uid.clone()));
        let mut request = ReadLogRequest { subject, executor_id: Some(number), ..Default::default() };
        request.follow = args.follow;
        request.set_stream(stream);
        (request, out)
    });
    show(master, args, requests.collect()).await
}

/// Shows all requested logs concurrently.
async fn show(
    master: &MasterClient,
    args: &LogsArgs,
    requests: Vec<(ReadLogRequest, Out)>,
) -> Result<(), CommandFailure> {
    let master = if args.follow { master.patient() } else { master.clone() };
    let mut tasks = Vec::new();
    for (mut request, out) in requests {
        request.tail_bytes = args.tail_bytes.map_or(0, |size| size.0);
        let (master, lines, name) = (master.clone(), args.tail, args.target.id.clone());
        tasks.push(tokio::spawn(async move {
            match lines {
                Some(lines) => tail_lines(&master, request, lines, out, name).await,
                None => LogCopy { request, out, name, line: OpenLine::default() }.run_alone(&master).await,
            }
        }));
    }
    for task in tasks {
        // A task of ours that panicked has been reported already.
        task.await.unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// Follows a driver through its restarts until it has ended.
async fn follow(
    master: &MasterClient,
    mut driver: Driver,
    streams: Vec<(LogStream, Out)>,
) -> Result<(), CommandFailure> {
    // The output of earlier attempts can be requested by their number.
    let last = driver.attempts.len().saturating_sub(1);
    driver.attempts.drain(..last);
    let first = driver.attempts.first().map_or(0, |attempt| attempt.attempt);
    let mut follow = Follow::begin(master, &driver.uid, streams).after(first.saturating_sub(1));
    let patient = master.patient();
    let mut watch = DriverWatch::of(&patient, driver);
    loop {
        follow.see(watch.driver());
        if has_ended(watch.driver()) {
            return follow.finish().await;
        }
        tokio::select! {
            seen = watch.next() => seen?,
            failed = follow.failed() => return failed,
        }
    }
}

fn no_attempt(driver: &Driver, number: u32) -> CommandFailure {
    let kept: Vec<String> = driver.attempts.iter().map(|attempt| attempt.attempt.to_string()).collect();
    CommandFailure::State(match kept.as_slice() {
        [] => format!("driver {} has not run yet", driver.driver_id),
        kept => format!("driver {} has no attempt {number}; it has {}", driver.driver_id, kept.join(", ")),
    })
}
