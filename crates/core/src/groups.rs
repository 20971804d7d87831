//! Closing groups. The changed executors of an application become one record, and each change is
//! shown to readers once.

use std::sync::Arc;

use muster_types::{ApplicationUid, DriverUid, ExecutorId, ExecutorsRecord, TokenId, WorkerUid, Write};

use crate::core::Core;
use crate::{Effect, ViewUpdate};

impl Core {
    /// Closes the group if the next decision might not fit. Called between two decisions.
    pub(crate) fn boundary(&mut self) {
        if self.out.is_full() {
            self.seal();
        }
    }

    pub(crate) fn seal(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let changed = std::mem::take(&mut self.out.executors);
        for (uid, executors) in changed {
            let Some(application) = self.applications.get_mut(uid) else { continue };
            let sequence = application.next_record;
            application.next_record += 1;
            let ids: Vec<ExecutorId> = executors.keys().copied().collect();
            for id in &ids {
                application.change(*id, |executor| executor.stored_in = sequence);
            }
            application.entries += ids.len();
            application.records.insert(sequence, ids);
            let executors = executors.into_values().collect();
            self.out.write(Write::PutExecutors(Arc::new(ExecutorsRecord { application: uid, sequence, executors })));
            self.compact_executors(uid);
        }
        let updates = self.view_updates();
        self.out.close(updates);
    }

    fn view_updates(&mut self) -> Vec<Effect> {
        let touched = std::mem::take(&mut self.out.touched);
        let drivers = touched.drivers.into_iter().map(|uid| self.update_driver_view(uid));
        let applications = touched.applications.into_iter().map(|uid| self.update_application_view(uid));
        let executors = touched.executors.into_iter().map(|(uid, id)| self.update_executor_view(uid, id));
        let workers = touched.workers.into_iter().map(|uid| self.update_worker_view(uid));
        let tokens = touched.tokens.into_iter().map(|id| self.update_token_view(id));
        let roles = touched.roles.then(|| ViewUpdate::Roles(self.roles.clone()));
        let shown = drivers.chain(applications).chain(executors).chain(workers).chain(tokens).chain(roles);
        shown.map(Effect::UpdateView).collect()
    }

    fn update_driver_view(&self, uid: DriverUid) -> ViewUpdate {
        self.shown_driver(uid).map_or(ViewUpdate::DriverGone(uid), ViewUpdate::Driver)
    }

    fn update_application_view(&self, uid: ApplicationUid) -> ViewUpdate {
        self.shown_application(uid).map_or(ViewUpdate::ApplicationGone(uid), ViewUpdate::Application)
    }

    fn update_executor_view(&self, uid: ApplicationUid, id: ExecutorId) -> ViewUpdate {
        self.shown_executor(uid, id).map_or(ViewUpdate::ExecutorGone(uid, id), ViewUpdate::Executor)
    }

    fn update_token_view(&self, id: TokenId) -> ViewUpdate {
        self.tokens.get(id).cloned().map_or(ViewUpdate::TokenGone(id), ViewUpdate::Token)
    }

    fn update_worker_view(&self, uid: WorkerUid) -> ViewUpdate {
        self.shown_worker(uid).map_or(ViewUpdate::WorkerGone(uid), ViewUpdate::Worker)
    }
}
