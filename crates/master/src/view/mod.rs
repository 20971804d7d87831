//! The read view, from which readers are served. Each transaction advances it after its commit.
//! Readers never touch the core.
//!
//! A caller's own write is here before its reply is sent. Every answer says at which commit it was
//! read.

mod access;
mod executors;
pub(crate) mod filter;
mod page;
mod shown;
mod table;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use muster_core::{ApplicationView, DriverView, ExecutorView, ViewUpdate, WorkerView};
use muster_store::DropInBackground;
use muster_types::{ApplicationUid, Commit, ExecutorId};

pub(crate) use access::StoredAccess;
pub(crate) use executors::Executors;
pub(crate) use page::{Cursor, Pageable, executor_key};
pub(crate) use table::{NameTable, Named, StateCounts};

/// Everything that is shown, at one commit.
#[derive(Default)]
pub(crate) struct Tables {
    /// The newest commit whose changes are all applied.
    pub commit: Commit,
    pub drivers: NameTable<DriverView>,
    pub applications: NameTable<ApplicationView>,
    pub executors: Executors,
    pub workers: NameTable<WorkerView>,
    pub access: Arc<StoredAccess>,
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
            ViewUpdate::Token(record) => self.access.put_token(record),
            ViewUpdate::TokenGone(id) => self.access.remove_token(id),
            ViewUpdate::Roles(roles) => self.access.put_roles(roles),
        }
    }
}

/// The view. Its one writer, the commit loop, holds the lock for a few map inserts at a time; a
/// list holds it for at most a thousand records at a time.
#[derive(Default)]
pub(crate) struct View {
    tables: RwLock<DropInBackground<Tables>>,
}

impl View {
    /// Applies the changes of a transaction at once: no reader sees a part of them.
    pub(crate) fn advance(&self, commit: Commit, shows: impl IntoIterator<Item = ViewUpdate>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for show in shows {
            tables.show(show);
        }
        tables.commit = tables.commit.max(commit);
    }

    /// Locks the view for reading. Keep the lock for a short time, because the commit loop waits
    /// for it.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, DropInBackground<Tables>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens and roles, which have a lock of their own.
    pub(crate) fn access(&self) -> Arc<StoredAccess> {
        self.read().access.clone()
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

    pub(crate) fn executor(&self, application: ApplicationUid, executor: ExecutorId) -> Option<Arc<ExecutorView>> {
        self.read().executors.get(application, executor).cloned()
    }
}
