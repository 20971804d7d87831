//! The read view: what readers see, advanced by each transaction after its commit. Readers never
//! touch the core.
//!
//! A caller's own write is here before its reply is sent. Every answer says at which commit it was
//! read.

mod executors;
pub(crate) mod filter;
mod page;
mod shown;
mod table;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use muster_core::{ApplicationView, DriverView, ExecutorView, ViewUpdate, WorkerView};
use muster_store::DropInBackground;
use muster_types::{ApplicationUid, Commit, ExecutorId};

pub(crate) use executors::Executors;
pub(crate) use page::{Cursor, Pageable, executor_key};
pub(crate) use table::{NameTable, StateCounts};

/// Everything that is shown, at one commit.
#[derive(Default)]
pub(crate) struct Tables {
    /// The newest commit that is wholly in.
    pub commit: Commit,
    /// Drivers.
    pub drivers: NameTable<DriverView>,
    /// Applications.
    pub applications: NameTable<ApplicationView>,
    /// Executors of the applications.
    pub executors: Executors,
    /// Workers.
    pub workers: NameTable<WorkerView>,
}

impl Tables {
    fn show(&mut self, show: ViewUpdate) {
        match show {
            ViewUpdate::Driver(driver) => self.drivers.put(driver),
            ViewUpdate::DriverGone(uid) => self.drivers.remove(uid.0),
            ViewUpdate::Application(application) => self.applications.put(application),
            ViewUpdate::ApplicationGone(uid) => {
                self.applications.remove(uid.0);
                self.executors.remove_application(uid);
            }
            ViewUpdate::Executor(executor) => self.executors.put(executor),
            ViewUpdate::ExecutorGone(application, executor) => self.executors.remove(application, executor),
            ViewUpdate::Worker(worker) => self.workers.put(worker),
            ViewUpdate::WorkerGone(uid) => self.workers.remove(uid.0),
        }
    }
}

/// The view. One writer (the commit loop), which holds the lock for a handful of map inserts at a
/// time; readers hold it for at most a thousand records at a time.
#[derive(Default)]
pub(crate) struct View {
    tables: RwLock<DropInBackground<Tables>>,
}

impl View {
    /// Applies a transaction's changes at once: no reader sees a part of them.
    pub(crate) fn advance(&self, commit: Commit, shows: impl IntoIterator<Item = ViewUpdate>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for show in shows {
            tables.show(show);
        }
        tables.commit = tables.commit.max(commit);
    }

    /// Reads. Keep it short: the commit loop waits for it.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, DropInBackground<Tables>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A driver by name or uid, with the commit it was read at.
    pub(crate) fn driver(&self, name: &str) -> (Commit, Option<Arc<DriverView>>) {
        let tables = self.read();
        (tables.commit, tables.drivers.find(name).cloned())
    }

    /// An application by name or uid, with the commit it was read at.
    pub(crate) fn application(&self, name: &str) -> (Commit, Option<Arc<ApplicationView>>) {
        let tables = self.read();
        (tables.commit, tables.applications.find(name).cloned())
    }

    /// A worker by name or uid, with the commit it was read at.
    pub(crate) fn worker(&self, name: &str) -> (Commit, Option<Arc<WorkerView>>) {
        let tables = self.read();
        (tables.commit, tables.workers.find(name).cloned())
    }

    /// One executor.
    pub(crate) fn executor(&self, application: ApplicationUid, executor: ExecutorId) -> Option<Arc<ExecutorView>> {
        self.read().executors.get(application, executor).cloned()
    }
}
