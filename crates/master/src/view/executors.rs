//! Executors, by application and number.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use muster_core::ExecutorView;
use muster_types::{ApplicationId, ApplicationUid, ExecutorId};

/// A place in the order of all executors: by the application's name, its uid, and the executor's
/// number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ExecutorCursor {
    application: ApplicationId,
    uid: ApplicationUid,
    executor: ExecutorId,
}

#[derive(Default)]
pub(crate) struct Executors {
    names: BTreeMap<ApplicationUid, ApplicationId>,
    ordered: BTreeMap<ExecutorCursor, Arc<ExecutorView>>,
}

impl Executors {
    /// Adds or replaces.
    pub(crate) fn put(&mut self, executor: Arc<ExecutorView>) {
        self.names.entry(executor.application).or_insert_with(|| executor.application_id.clone());
        self.ordered.insert(cursor_of(&executor), executor);
    }

    pub(crate) fn remove(&mut self, application: ApplicationUid, executor: ExecutorId) {
        if let Some(name) = self.names.get(&application) {
            self.ordered.remove(&ExecutorCursor { application: name.clone(), uid: application, executor });
        }
    }

    /// Removes all executors of an application.
    pub(crate) fn remove_application(&mut self, application: ApplicationUid) {
        let Some(name) = self.names.remove(&application) else { return };
        let gone: Vec<ExecutorCursor> = self.of(&name, application).map(|item| cursor_of(item)).collect();
        for cursor in gone {
            self.ordered.remove(&cursor);
        }
    }

    pub(crate) fn get(&self, application: ApplicationUid, executor: ExecutorId) -> Option<&Arc<ExecutorView>> {
        let name = self.names.get(&application)?.clone();
        self.ordered.get(&ExecutorCursor { application: name, uid: application, executor })
    }

    /// All executors, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ExecutorView>> {
        self.ordered.values()
    }

    /// All executors behind one of an application, or without `after` from that application's
    /// first.
    pub(crate) fn behind<'a>(
        &'a self,
        name: &ApplicationId,
        uid: ApplicationUid,
        after: Option<ExecutorId>,
    ) -> impl Iterator<Item = &'a Arc<ExecutorView>> + use<'a> {
        let at = |executor| ExecutorCursor { application: name.clone(), uid, executor };
        let start = after.map_or_else(|| Bound::Included(at(ExecutorId(0))), |last| Bound::Excluded(at(last)));
        self.ordered.range((start, Bound::Unbounded)).map(|(_, item)| item)
    }

    fn of(&self, name: &ApplicationId, uid: ApplicationUid) -> impl Iterator<Item = &Arc<ExecutorView>> {
        let at = |executor| ExecutorCursor { application: name.clone(), uid, executor };
        self.ordered.range(at(ExecutorId(0))..=at(ExecutorId(u32::MAX))).map(|(_, item)| item)
    }
}

fn cursor_of(executor: &ExecutorView) -> ExecutorCursor {
    ExecutorCursor {
        application: executor.application_id.clone(),
        uid: executor.application,
        executor: executor.record.id,
    }
}
