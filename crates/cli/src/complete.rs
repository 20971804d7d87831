//! Completes ids for shells. It asks the master, for a short time.

use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use muster_client::v1::{Application, Driver, Executor, Worker};

use crate::args::ConnectionArgs;
use crate::contexts::Target;
use crate::master::MasterClient;
use crate::output::{application_state, driver_state, executor_state, is_running, worker_state};

/// The environment variable by which the shell's script requests completions.
pub(crate) const VARIABLE: &str = "MUSTER_COMPLETE";

/// The time limit of one completion.
const BOUND: Duration = Duration::from_millis(500);
/// The most ids that are listed, which is more than a shell shows well.
const MOST: usize = 1000;

/// An id with a short description.
struct Suggestion {
    id: String,
    about: String,
    running: bool,
}

/// Names of drivers.
pub(crate) fn drivers(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, async |master| of_drivers(&master).await)
}

/// Names of drivers and applications.
pub(crate) fn drivers_and_applications(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, async |master| both(&master).await)
}

/// Names of drivers and applications that have not ended.
pub(crate) fn live_drivers_and_applications(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, async |master| {
        let mut all = both(&master).await;
        all.retain(|named| named.running);
        all
    })
}

/// Names of applications.
pub(crate) fn applications(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, async |master| of_applications(&master).await)
}

/// Executors, as application and number.
pub(crate) fn executors(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, async |master| {
        let all = master.client().executors("", "", MOST).await.map(|listed| listed.items).unwrap_or_default();
        all.into_iter()
            .map(|executor: Executor| {
                let state = executor_state(executor.state);
                Suggestion {
                    id: format!("{}/{}", executor.application_id, executor.executor_id),
                    running: is_running(&state),
                    about: state,
                }
            })
            .collect()
    })
}

/// Names of workers.
pub(crate) fn workers(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, async |master| {
        let all = master.client().workers("", MOST).await.map(|listed| listed.items).unwrap_or_default();
        all.into_iter()
            .map(|worker: Worker| Suggestion { id: worker.name, about: worker_state(worker.state), running: true })
            .collect()
    })
}

async fn both(master: &MasterClient) -> Vec<Suggestion> {
    let (mut all, applications) = tokio::join!(of_drivers(master), of_applications(master));
    all.extend(applications);
    all
}

async fn of_drivers(master: &MasterClient) -> Vec<Suggestion> {
    let all = master.client().drivers("", MOST).await.map(|listed| listed.items).unwrap_or_default();
    let named = |driver: Driver| {
        let state = driver_state(driver.state);
        Suggestion { id: driver.driver_id, running: is_running(&state), about: format!("driver, {state}") }
    };
    all.into_iter().map(named).collect()
}

async fn of_applications(master: &MasterClient) -> Vec<Suggestion> {
    let all = master.client().applications("", MOST).await.map(|listed| listed.items).unwrap_or_default();
    let named = |application: Application| {
        let state = application_state(application.state);
        Suggestion {
            id: application.application_id,
            running: is_running(&state),
            about: format!("application, {state}"),
        }
    };
    all.into_iter().map(named).collect()
}

/// Asks the master that the completed line names. Without an answer there are no candidates.
fn candidates(current: &OsStr, ask: impl AsyncFnOnce(MasterClient) -> Vec<Suggestion>) -> Vec<CompletionCandidate> {
    let Some(begin) = current.to_str() else { return Vec::new() };
    let connection = ConnectionArgs::of_masters(master_of(std::env::args()));
    let Ok(master) = Target::of(&connection).and_then(|target| MasterClient::with_deadline(&target, BOUND)) else {
        return Vec::new();
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let named = runtime.block_on(async { tokio::time::timeout(BOUND, ask(master)).await }).unwrap_or_default();
    named
        .into_iter()
        .filter(|named| named.id.starts_with(begin))
        .map(|named| CompletionCandidate::new(named.id).help(Some(named.about.into())))
        .collect()
}

/// The last `--master` of a line.
fn master_of(words: impl Iterator<Item = String>) -> Option<String> {
    let mut found = None;
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if word == "--master" {
            found = words.peek().filter(|next| !next.is_empty()).cloned().or(found);
        } else if let Some(address) = word.strip_prefix("--master=") {
            found = Some(address.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_of_the_line_is_asked() {
        let of = |line: &str| master_of(line.split(' ').map(str::to_owned));
        assert_eq!(of("muster -- muster --master a:1 kill x"), Some("a:1".into()));
        assert_eq!(of("muster --master=a:1 kill --master b:2"), Some("b:2".into()));
        assert_eq!(of("muster kill --master"), None);
    }

    #[test]
    fn a_master_that_does_not_answer_is_not_waited_for() {
        let begun = std::time::Instant::now();
        assert!(drivers(OsStr::new("x")).is_empty());
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
