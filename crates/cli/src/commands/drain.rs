//! `muster drain` and `muster undrain`.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use muster_client::WorkerUid;
use muster_client::v1::{DrainWorkerRequest, UndrainWorkerRequest, Worker, worker};
use muster_tls::{WORKER_CA_FILE, certificate_of_worker};
use tokio::time::timeout;

use super::put;
use super::spec::wire;
use super::watch::WorkerWatch;
use crate::args::{DrainArgs, UndrainArgs, WorkerTarget};
use crate::contexts::{Target, trust_in};
use crate::exit::ExitStatus;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{count, length, tell};
use crate::progress::Progress;
use crate::similar::similar;

/// How often a worker is read again: not every end of a process on it is an event of the worker.
const LOOK: Duration = Duration::from_secs(1);

/// The setting that names a worker, which its container's hooks find in their environment.
const WORKER_NAME: &str = "MUSTER_WORKER_NAME";
const NO_WORKER_NAME: &str =
    "--this-worker: MUSTER_WORKER_NAME is not set, and no worker's certificate is in the directory of MUSTER_STATE_DIR";

/// The most workers that are listed to find those of one host.
const MOST: usize = 100_000;

/// Where a worker without --state-dir keeps its state.
const STATE_DIR: &str = "/var/lib/muster/worker";

/// Who asks, and of whom.
struct DrainCaller {
    master: MasterClient,
    /// The worker of this machine, as its certificate names it.
    own: Option<WorkerUid>,
    /// Whether the certificate speaks, and not a token. It may read its worker and watch nothing.
    is_worker: bool,
}

impl DrainCaller {
    /// A token says more than the certificate of one worker, and stands before it.
    fn of(mut target: Target, by: &WorkerTarget) -> Result<DrainCaller, CommandFailure> {
        let (mut own, mut is_worker) = (None, false);
        if by.this_worker {
            let directory = std::env::var_os("MUSTER_STATE_DIR").filter(|path| !path.is_empty());
            let directory = directory.unwrap_or_else(|| STATE_DIR.into());
            let found = certificate_of_worker(Path::new(&directory)).map_err(|error| {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                CommandFailure::State(format!(
                    "--this-worker: the worker's certificate cannot be shown: {error}{cause}"
                ))
            })?;
            if let Some((uid, held)) = found {
                own = Some(uid);
                is_worker = target.token.is_none();
                // Whom the worker trusts is whom this is for.
                let trust = match target.trust.take() {
                    None => Some(trust_in(&Path::new(&directory).join(WORKER_CA_FILE))?),
                    given => given,
                };
                target.trust = if is_worker { trust.map(|trust| trust.showing(&held)) } else { trust };
            }
        }
        Ok(DrainCaller { master: MasterClient::new(&target)?, own, is_worker })
    }
}

/// Drains a worker, or all workers of a host.
pub(super) async fn drain(target: Target, args: DrainArgs) -> Result<ExitStatus, CommandFailure> {
    let caller = DrainCaller::of(target, &args.target)?;
    let master = &caller.master;
    let client = master.client();
    let deadline = args.deadline.map(wire);
    let may_be_unknown = args.target.this_worker;
    let mut changes = DrainResults::of(chosen(&caller, args.target).await?, may_be_unknown);
    for name in changes.names.clone() {
        let request = |request_id| DrainWorkerRequest { worker_id: name.clone(), request_id, deadline };
        let answer = master.change(|id| client.drain_worker(request(id))).await;
        changes.add(named(master, &name, answer).await)?;
    }
    let drained = changes.made;
    if !args.wait {
        drained.iter().try_for_each(|worker| put(&format!("{} drains; {}\n", worker.name, remaining(worker))))?;
        return Ok(changes.exit);
    }
    // How many of them were said to be empty, in their order.
    let said = Cell::new(0);
    let ends = async {
        for worker in &drained {
            until_empty(&caller, worker.clone()).await?;
            put(&format!("{} is empty\n", worker.name))?;
            said.set(said.get() + 1);
        }
        Ok::<(), CommandFailure>(())
    };
    match args.timeout {
        None => ends.await?,
        Some(limit) => match timeout(limit.0, ends).await {
            Ok(ended) => ended?,
            Err(_) => timed_out(master, &drained[said.get()..], &length(limit.0)).await?,
        },
    }
    Ok(changes.exit)
}

/// The workers to change, and what has become of them.
struct DrainResults {
    names: Vec<String>,
    made: Vec<Worker>,
    exit: ExitStatus,
    /// Whether a worker that is not known is none to change, rather than a failure.
    may_be_unknown: bool,
}

impl DrainResults {
    fn of(names: Vec<String>, may_be_unknown: bool) -> DrainResults {
        DrainResults { names, made: Vec::new(), exit: ExitStatus::OK, may_be_unknown }
    }

    /// Adds the answer for one worker. Where there are several, a failure is told and the others
    /// go on, because half a machine would be left otherwise.
    fn add(&mut self, answer: Result<Worker, CommandFailure>) -> Result<(), CommandFailure> {
        match answer {
            Ok(worker) => self.made.push(worker),
            Err(failure) if self.may_be_unknown && failure.is_not_found() => tell(&format!("{failure}: nothing to do")),
            Err(failure) if self.names.len() > 1 => {
                tell(&format!("error: {failure}"));
                self.exit = failure.exit();
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }
}

/// Names the workers that still run something; those that were not waited for yet may be empty.
async fn timed_out(master: &MasterClient, waited_for: &[Worker], limit: &str) -> Result<(), CommandFailure> {
    let mut left = Vec::new();
    for worker in waited_for {
        let (worker, _) = master.worker(&worker.uid).await?;
        if worker.empty {
            put(&format!("{} is empty\n", worker.name))?;
        } else {
            left.push(format!("{} ({})", worker.name, remaining(&worker)));
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    let left = left.join(", ");
    Err(CommandFailure::TimedOut(format!("not empty within {limit}: {left}; draining goes on")))
}

/// Undoes a drain.
pub(super) async fn undrain(target: Target, args: UndrainArgs) -> Result<ExitStatus, CommandFailure> {
    let caller = DrainCaller::of(target, &args.target)?;
    let client = caller.master.client();
    let may_be_unknown = args.target.this_worker;
    let mut changes = DrainResults::of(chosen(&caller, args.target).await?, may_be_unknown);
    for name in changes.names.clone() {
        let request = |request_id| UndrainWorkerRequest { worker_id: name.clone(), request_id };
        let answer = caller.master.change(|id| client.undrain_worker(request(id))).await;
        changes.add(named(&caller.master, &name, answer).await)?;
    }
    changes.made.iter().try_for_each(|worker| put(&format!("{} takes work again\n", worker.name)))?;
    Ok(changes.exit)
}

/// The name of the one worker, or the uids of all workers of a host in the order of their names. A
/// forgotten worker is refused for ever and is left out. A lost one is not: it may come back, and
/// must find the drain that its machine was given, or be rid of it.
async fn chosen(caller: &DrainCaller, target: WorkerTarget) -> Result<Vec<String>, CommandFailure> {
    if let Some(own) = caller.own {
        return Ok(vec![own.to_string()]);
    }
    let master = &caller.master;
    if target.this_worker {
        let name = std::env::var(WORKER_NAME).ok().filter(|name| !name.is_empty());
        return name.map(|name| vec![name]).ok_or_else(|| CommandFailure::Usage(NO_WORKER_NAME.to_owned()));
    }
    let Some(host) = target.host else { return Ok(target.worker.into_iter().collect()) };
    let mut all = master.ask(master.client().workers("", MOST)).await?.items;
    all.retain(|worker| worker.state() != worker::State::Forgotten);
    let of_host: Vec<String> =
        all.iter().filter(|worker| worker.host == host).map(|worker| worker.uid.clone()).collect();
    if of_host.is_empty() {
        let similar = similar(&host, all.iter().map(|worker| worker.host.as_str()));
        return Err(CommandFailure::NotFound { kind: "host with a worker", id: host, similar });
    }
    Ok(of_host)
}

async fn until_empty(caller: &DrainCaller, worker: Worker) -> Result<(), CommandFailure> {
    let progress = Progress::begin(format!("{}: {}", worker.name, remaining(&worker)));
    let patient = caller.master.patient();
    let mut watch = WorkerWatch::of(&patient, worker);
    while !watch.worker().empty {
        progress.say(format!("{}: {}", watch.worker().name, remaining(watch.worker())));
        if caller.is_worker {
            tokio::time::sleep(LOOK).await;
            watch.look().await?;
            continue;
        }
        // `next` can be cancelled without losing an event; the worker is read again.
        match timeout(LOOK, watch.next()).await {
            Ok(changed) => changed?,
            Err(_) => watch.look().await?,
        }
    }
    Ok(())
}

fn remaining(worker: &Worker) -> String {
    match (worker.empty, worker.drivers, worker.executors) {
        (true, _, _) => "nothing runs there".to_owned(),
        (false, drivers, executors) => {
            format!("{} and {} there", count(drivers.into(), "driver"), count(executors.into(), "executor"))
        }
    }
}

/// Turns a not-found answer into a failure with similar names.
async fn named(
    master: &MasterClient,
    name: &str,
    answer: Result<Worker, CommandFailure>,
) -> Result<Worker, CommandFailure> {
    match answer {
        Err(failure) if failure.is_not_found() => Err(master.no_worker(name).await),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stops_one_and_no_others() {
        let failure = || CommandFailure::NotFound { kind: "worker", id: "w1".to_owned(), similar: Vec::new() };
        let mut one = DrainResults::of(vec!["w1".to_owned()], false);
        assert!(one.add(Err(failure())).is_err());
        let mut two = DrainResults::of(vec!["w1".to_owned(), "w2".to_owned()], false);
        two.add(Err(failure())).unwrap();
        two.add(Ok(Worker::default())).unwrap();
        assert_eq!(two.made.len(), 1);
        assert_eq!(two.exit, ExitStatus::FAILED);
    }

    #[test]
    fn a_hook_of_a_worker_that_has_not_joined_has_nothing_to_do() {
        let unknown = CommandFailure::NotFound { kind: "worker", id: "w1".to_owned(), similar: Vec::new() };
        let mut own = DrainResults::of(vec!["w1".to_owned()], true);
        own.add(Err(unknown)).unwrap();
        assert_eq!((own.made.len(), own.exit), (0, ExitStatus::OK));
        // Any other failure stays one.
        assert!(own.add(Err(CommandFailure::TimedOut("no master".to_owned()))).is_err());
    }
}
