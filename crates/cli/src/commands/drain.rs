//! `muster drain` and `muster undrain`.

use std::time::Duration;

use muster_client::v1::{DrainWorkerRequest, UndrainWorkerRequest, Worker};
use tokio::time::timeout;

use super::put;
use super::spec::wire;
use super::watch::WorkerWatch;
use crate::args::{DrainArgs, UndrainArgs};
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::length;
use crate::progress::Progress;

/// Ends of what runs on a worker are not all told as events of the worker: it is looked at this
/// often, too.
const LOOK: Duration = Duration::from_secs(1);

/// Places nothing more on a worker.
pub(super) async fn drain(master: MasterClient, args: DrainArgs) -> Result<(), CommandFailure> {
    let client = master.client();
    let deadline = args.deadline.map(wire);
    let request = |request_id| DrainWorkerRequest { worker_id: args.worker.clone(), request_id, deadline };
    let worker = named(&master, &args.worker, master.change(|id| client.drain_worker(request(id))).await).await?;
    if !args.wait {
        return put(&format!("{} drains; {}\n", worker.name, remaining(&worker)));
    }
    let name = worker.name.clone();
    let end = until_empty(&master, worker);
    match args.timeout {
        None => end.await?,
        Some(limit) => timeout(limit.0, end).await.map_err(|_| {
            let text = format!("{name} was not empty within {}; it goes on draining", length(limit.0));
            CommandFailure::TimedOut(text)
        })??,
    }
    put(&format!("{name} is empty\n"))
}

/// Undoes a drain.
pub(super) async fn undrain(master: MasterClient, args: UndrainArgs) -> Result<(), CommandFailure> {
    let client = master.client();
    let request = |request_id| UndrainWorkerRequest { worker_id: args.worker.clone(), request_id };
    let worker = named(&master, &args.worker, master.change(|id| client.undrain_worker(request(id))).await).await?;
    put(&format!("{} takes work again\n", worker.name))
}

async fn until_empty(master: &MasterClient, worker: Worker) -> Result<(), CommandFailure> {
    let progress = Progress::begin(format!("{}: {}", worker.name, remaining(&worker)));
    let patient = master.patient();
    let mut watch = WorkerWatch::of(&patient, worker);
    while !watch.worker().empty {
        progress.say(format!("{}: {}", watch.worker().name, remaining(watch.worker())));
        // A look that is cut short is made again: nothing of the watch is lost.
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
        (false, drivers, executors) => format!("{drivers} drivers and {executors} executors run there"),
    }
}

/// A name that is not found, with what may have been meant.
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
