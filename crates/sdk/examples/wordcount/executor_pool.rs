//! The pool of connected executors: each gets shares until all are counted or it is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::exchange::Executor;
use crate::say;
use crate::work_queue::WorkQueue;

/// The connected executors, and those that Muster has reported as gone.
pub(crate) struct ExecutorPool {
    shares: Vec<Vec<PathBuf>>,
    queue: WorkQueue,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    streams: BTreeMap<u32, TcpStream>,
    gone: BTreeSet<u32>,
    closed: bool,
}

impl ExecutorPool {
    pub(crate) fn new(shares: Vec<Vec<PathBuf>>) -> ExecutorPool {
        let queue = WorkQueue::new(shares.len());
        ExecutorPool { shares, queue, present: Mutex::default() }
    }

    pub(crate) fn queue(&self) -> &WorkQueue {
        &self.queue
    }

    /// Accepts connections, each on its own thread, for as long as the process lives.
    pub(crate) fn open(self: &Arc<Self>, listener: TcpListener) {
        let pool = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pool = pool.clone();
                thread::spawn(move || {
                    if let Err(error) = pool.attend(stream) {
                        say!("an executor that connected is not heard: {error}");
                    }
                });
            }
        });
    }

    /// Gives an executor shares until all are counted or it is lost.
    pub(crate) fn attend(&self, stream: TcpStream) -> io::Result<()> {
        let mut executor = Executor::new(stream.try_clone()?)?;
        if !self.admit(executor.id, stream) {
            return Ok(());
        }
        while let Some(share) = self.queue.take() {
            match executor.count(&self.shares[share]) {
                Ok(count) => self.queue.put(share, count),
                Err(error) => {
                    say!("executor {} is lost ({error}); its share is given to another", executor.id);
                    self.queue.give_back(share);
                    self.present().streams.remove(&executor.id);
                    break;
                }
            }
        }
        // When all is counted, the connection stays open until `close`: an executor ends when its
        // connection closes, and Muster replaces one that ends before the application is
        // unregistered.
        Ok(())
    }

    /// Refuses an executor that is gone already (its connection may have waited for this), and one
    /// that arrives after all is counted.
    fn admit(&self, executor: u32, stream: TcpStream) -> bool {
        let mut present = self.present();
        let admitted = !present.closed && !present.gone.contains(&executor);
        if admitted {
            present.streams.insert(executor, stream);
        }
        admitted
    }

    /// Cuts the connection of an executor that Muster reports as gone. It could stay open for long,
    /// because a frozen process keeps its connections.
    pub(crate) fn is_gone(&self, executor: u32) {
        let mut present = self.present();
        present.gone.insert(executor);
        if let Some(stream) = present.streams.remove(&executor) {
            // An error means that it is broken already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Closes all connections, so that the executors end by themselves with exit code 0. The
    /// application is unregistered by then.
    pub(crate) fn close(&self) {
        let mut present = self.present();
        present.closed = true;
        for stream in std::mem::take(&mut present.streams).into_values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
