//! Where launches are prepared: on a thread of its own, so that a file system that hangs delays
//! launches and nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_types::{AttemptKey, Launch};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::environment::ClusterVariables;
use super::prepare::{PrepareError, PreparedLaunch, Preparer};
use crate::protection;

/// Launches that may wait. A master places at most a few times as many as the worker has cores.
const JOBS: usize = 8_192;
/// Results that may wait.
const RESULTS: usize = 256;
/// Launches that fetch at the same time: more would only share the same network.
const FETCHES: usize = 4;
/// Threads that fetch. Those whose attempt was killed count too, since they may hang in the kernel,
/// as on a file server that is away.
const THREADS: usize = 64;
/// Stack of a thread that fetches: TLS needs many nested calls.
pub(super) const STACK: usize = 1 << 20;
/// Time between two checks whether an attempt was killed while it fetches.
const LOOK: Duration = Duration::from_millis(100);

/// A launch to prepare.
#[derive(Debug)]
pub struct PrepareJob {
    /// The launch.
    pub launch: Arc<Launch>,
    /// What is known of the cluster.
    pub cluster: Arc<ClusterVariables>,
    /// Set when the attempt is no longer wanted.
    pub cancelled: Arc<AtomicBool>,
}

/// A launch that was prepared, or could not be.
#[derive(Debug)]
pub struct PrepareDone {
    /// The attempt.
    pub attempt: AttemptKey,
    /// The flag of its job.
    pub cancelled: Arc<AtomicBool>,
    /// The program, or why there is none.
    pub result: Result<PreparedLaunch, PrepareError>,
}

/// Starts the thread. It ends when the sender of jobs is dropped.
pub fn start(
    preparer: Preparer,
    runtime: Handle,
) -> io::Result<(mpsc::Sender<PrepareJob>, mpsc::Receiver<PrepareDone>)> {
    let (jobs, to_do) = mpsc::channel(JOBS);
    let (done, results) = mpsc::channel(RESULTS);
    let semaphore = |permits| Arc::new(Semaphore::new(permits));
    let (fetches, threads) = (semaphore(FETCHES), semaphore(THREADS));
    let bench = PreparePool { preparer: Arc::new(preparer), runtime, done, fetches, threads };
    let run = move || {
        protection::be_usual();
        bench.run(to_do);
    };
    std::thread::Builder::new().name("prepare".to_owned()).stack_size(256 << 10).spawn(run)?;
    Ok((jobs, results))
}

struct PreparePool {
    preparer: Arc<Preparer>,
    runtime: Handle,
    done: mpsc::Sender<PrepareDone>,
    fetches: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

impl PreparePool {
    fn run(self, mut jobs: mpsc::Receiver<PrepareJob>) {
        while let Some(job) = jobs.blocking_recv() {
            if job.cancelled.load(Ordering::Relaxed) {
                continue;
            }
            let result = self.preparer.prepare(&job.launch, &job.cluster);
            match result {
                Ok(prepared) if Preparer::needs_fetch(&job.launch) => self.fetch(job, prepared),
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
        let (preparer, done) = (self.preparer.clone(), self.done.clone());
        let (fetches, threads) = (self.fetches.clone(), self.threads.clone());
        self.runtime.spawn(async move {
            // The semaphores are never closed, so a permit is missing only when the program ends.
            let (Ok(thread), Ok(_fetch)) = (threads.acquire_owned().await, fetches.acquire_owned().await) else {
                return;
            };
            let (attempt, cancelled) = (job.launch.attempt, job.cancelled.clone());
            let (sender, fetched) = oneshot::channel();
            let fetch = move || {
                protection::be_usual();
                let result = preparer.fetch(&job.launch, &prepared, &job.cancelled).map(|()| prepared);
                drop(thread);
                // Nobody waits for a cancelled one.
                let _ = sender.send(result);
            };
            let builder = std::thread::Builder::new().name("fetch".to_owned()).stack_size(STACK);
            let result = match builder.spawn(fetch) {
                Err(error) => Err(PrepareError::Thread(error)),
                // A thread that hangs for a cancelled attempt must not hold up the others.
                Ok(_) => tokio::select! {
                    result = fetched => match result {
                        Ok(result) => result,
                        Err(_) => return,
                    },
                    () = is_set(&cancelled) => return,
                },
            };
            let _ = done.send(PrepareDone { attempt, cancelled, result }).await;
        });
    }
}

async fn is_set(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}
