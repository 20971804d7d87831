//! Where executors report: each connection gets shares until all are counted or it is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::exchange::Executor;
use crate::say;
use crate::work_queue::WorkQueue;

/// The executors that are connected, and those that Muster says are gone.
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

    /// Takes connections, each on a thread of its own, for as long as the process lives.
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
        // With all counted the connection stands until `close`: an executor ends when it is hung
        // up, and one that ends while Muster still wants it is replaced.
        Ok(())
    }

    /// False for one that is gone already (its connection may have waited to be taken), and for one
    /// that comes when all is counted.
    fn admit(&self, executor: u32, stream: TcpStream) -> bool {
        let mut present = self.present();
        let admitted = !present.closed && !present.gone.contains(&executor);
        if admitted {
            present.streams.insert(executor, stream);
        }
        admitted
    }

    /// Muster says that an executor is gone. Its connection may stand for long yet (a frozen
    /// process keeps its own), so it is cut here.
    pub(crate) fn is_gone(&self, executor: u32) {
        let mut present = self.present();
        present.gone.insert(executor);
        if let Some(stream) = present.streams.remove(&executor) {
            // It may be broken already, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Hangs up: executors end by themselves, with 0. Muster knows by then that none is wanted any
    /// more.
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
