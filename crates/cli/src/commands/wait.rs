//! Waits for a driver, with its output.

use std::time::Duration;

use muster_client::v1::{Driver, LogStream};
use tokio::time::{Instant, timeout};

use super::follow::Follow;
use super::log_copy::Out;
use super::verdict::{exit_of, has_ended, speaks_for_itself};
use super::watch::DriverWatch;
use crate::exit::ExitStatus;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{DisplayClock, driver_state, ending, length, pending_line, tell};
use crate::progress::Progress;

/// How long output may take to arrive after the end: it is read from a worker, which may be away.
const LAST_OUTPUT: Duration = Duration::from_secs(30);

/// How a wait ended.
enum WaitEnd {
    Ended(Box<Driver>),
    Failed(CommandFailure),
    TimedOut,
    Interrupted,
}

/// Waits for a driver and returns the exit code.
pub(super) async fn wait(
    master: &MasterClient,
    driver: Driver,
    output: bool,
    limit: Option<Duration>,
) -> Result<ExitStatus, CommandFailure> {
    let id = driver.driver_id.clone();
    tell(&id);
    let streams = vec![(LogStream::Stdout, Out::Stdout), (LogStream::Stderr, Out::Stderr)];
    let mut follow = output.then(|| Follow::begin(master, &driver.uid, streams));
    let end = tokio::select! {
        end = until_ended(master, driver, follow.as_mut()) => end,
        () = passed(limit) => WaitEnd::TimedOut,
        _ = tokio::signal::ctrl_c() => WaitEnd::Interrupted,
    };
    let how_to = format!("`muster logs -f {id}` follows it, `muster kill {id}` ends it");
    match end {
        WaitEnd::Ended(driver) => {
            finish(follow, &id).await;
            Ok(report(&driver))
        }
        WaitEnd::Failed(failure) => {
            tell(&format!("error: {failure}\n  how {id} ends is unknown here; `muster get driver {id}` shows it"));
            Ok(ExitStatus::PLATFORM)
        }
        WaitEnd::TimedOut => {
            let limit = limit.map(length).unwrap_or_default();
            tell(&format!("{id} has not ended within {limit} and goes on; {how_to}"));
            Ok(ExitStatus::TIMED_OUT)
        }
        WaitEnd::Interrupted => {
            tell(&format!("\n{id} goes on; {how_to}"));
            Ok(ExitStatus::INTERRUPTED)
        }
    }
}

async fn until_ended(master: &MasterClient, driver: Driver, mut follow: Option<&mut Follow>) -> WaitEnd {
    let patient = master.patient();
    let mut progress = None;
    let mut watch = DriverWatch::of(&patient, driver);
    loop {
        let driver = watch.driver();
        if let Some(follow) = follow.as_mut() {
            follow.see(driver);
        }
        if has_ended(driver) {
            return WaitEnd::Ended(Box::new(driver.clone()));
        }
        show(&mut progress, driver, follow.is_some());
        if let Err(failure) = watch.next().await {
            return WaitEnd::Failed(failure);
        }
    }
}

/// Says what is waited for, but not between the lines of the driver's own output.
fn show(progress: &mut Option<Progress>, driver: &Driver, output: bool) {
    let state = driver_state(driver.state);
    if output && state == "RUNNING" {
        *progress = None;
        return;
    }
    let reason = driver.pending.as_ref().map(pending_line).unwrap_or_default();
    let retry = driver.retry_time.as_ref().map(|time| format!("runs again {}", DisplayClock::now().until(time)));
    let parts = [format!("{} is {state}", driver.driver_id), reason, retry.unwrap_or_default()];
    let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    match progress {
        Some(progress) => progress.say(text),
        None => *progress = Some(Progress::begin(text)),
    }
}

/// Waits for the rest of the output.
async fn finish(follow: Option<Follow>, id: &str) {
    let Some(follow) = follow else { return };
    match timeout(LAST_OUTPUT, follow.finish()).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) if failure.is_silent() => {}
        Ok(Err(failure)) => tell(&format!("[output is incomplete: {failure}]")),
        Err(_) => tell(&format!("[output is incomplete: its worker does not answer; `muster logs {id}` tries again]")),
    }
}

/// Reports what the exit code alone does not tell, and returns the exit code.
fn report(driver: &Driver) -> ExitStatus {
    let exit = exit_of(driver);
    if !speaks_for_itself(driver) {
        let ending = driver.outcome.as_ref().map(ending).filter(|ending| !ending.is_empty());
        let ending = ending.map(|ending| format!(": {ending}")).unwrap_or_default();
        tell(&format!("{} {}{ending}", driver.driver_id, driver_state(driver.state)));
    }
    exit
}

/// Completes when the limit has passed; without a limit, never.
async fn passed(limit: Option<Duration>) {
    match limit.and_then(|limit| Instant::now().checked_add(limit)) {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}
