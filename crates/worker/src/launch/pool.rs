//! Where launches are prepared: a thread of its own, so that a file system that hangs delays
//! launches and nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_types::{AttemptKey, Launch};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use super::environment::ClusterVariables;
use super::prepare::{PrepareError, PreparedLaunch, Preparer};

/// Launches that may wait. A master places no more than the worker has cores, times a few.
const JOBS: usize = 8_192;
/// Results that may wait.
const RESULTS: usize = 256;
/// Launches that fetch at the same time: more would only share the same network.
const FETCHES: usize = 4;

/// A launch to prepare.
#[derive(Debug)]
pub struct PrepareJob {
    /// What is launched.
    pub launch: Arc<Launch>,
    /// What is known of the cluster.
    pub cluster: Arc<ClusterVariables>,
    /// Set when the attempt is not wanted any more.
    pub cancelled: Arc<AtomicBool>,
}

/// A launch that was prepared, or could not be.
#[derive(Debug)]
pub struct PrepareDone {
    /// Which.
    pub attempt: AttemptKey,
    /// That of the job.
    pub cancelled: Arc<AtomicBool>,
    /// The program.
    pub result: Result<PreparedLaunch, PrepareError>,
}

/// Starts the thread. It ends when the sender of jobs is dropped.
pub fn start(
    preparer: Preparer,
    runtime: Handle,
) -> io::Result<(mpsc::Sender<PrepareJob>, mpsc::Receiver<PrepareDone>)> {
    let (jobs, to_do) = mpsc::channel(JOBS);
    let (done, results) = mpsc::channel(RESULTS);
    let bench = PreparePool { preparer: Arc::new(preparer), runtime, done, fetches: Arc::new(Semaphore::new(FETCHES)) };
    std::thread::Builder::new().name("prepare".to_owned()).stack_size(256 << 10).spawn(move || bench.run(to_do))?;
    Ok((jobs, results))
}

struct PreparePool {
    preparer: Arc<Preparer>,
    runtime: Handle,
    done: mpsc::Sender<PrepareDone>,
    fetches: Arc<Semaphore>,
}

impl PreparePool {
    fn run(self, mut jobs: mpsc::Receiver<PrepareJob>) {
        while let Some(job) = jobs.blocking_recv() {
            if job.cancelled.load(Ordering::Relaxed) {
                continue;
            }
            let result = self.preparer.prepare(&job.launch, &job.cluster);
            match result {
                Ok(prepared) if !job.launch.artifacts.is_empty() => self.fetch(job, prepared),
                result => {
                    let done = PrepareDone { attempt: job.launch.attempt, cancelled: job.cancelled, result };
                    if self.done.blocking_send(done).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn fetch(&self, job: PrepareJob, prepared: PreparedLaunch) {
        let (preparer, done, fetches) = (self.preparer.clone(), self.done.clone(), self.fetches.clone());
        self.runtime.spawn(async move {
            // Never closed: the permit is only missing when the program ends.
            let Ok(_permit) = fetches.acquire_owned().await else { return };
            let (attempt, cancelled) = (job.launch.attempt, job.cancelled.clone());
            let fetched = tokio::task::spawn_blocking(move || {
                preparer.fetch(&job.launch, &prepared, &job.cancelled).map(|()| prepared)
            });
            if let Ok(result) = fetched.await {
                let _ = done.send(PrepareDone { attempt, cancelled, result }).await;
            }
        });
    }
}
