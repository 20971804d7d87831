//! Compaction of an application's executor records, which only grow. When most entries are dead,
//! the oldest records are rewritten: their live entries move to a new record, in the group of
//! writes that deletes the old ones.

use std::sync::Arc;

use muster_types::{ApplicationUid, ExecutorRecord, ExecutorsRecord, Write};

use crate::core::Core;

/// With fewer dead entries than this, a write is not worth its cost.
const SLACK: usize = 64;
/// One step rewrites at most about this many entries and deletes at most this many records, so that
/// a group holds it.
const STEP_ENTRIES: usize = 128;
const STEP_RECORDS: usize = 16;

impl Core {
    /// Does one step, if dead entries outnumber the live ones and the group has room.
    pub(crate) fn compact_executors(&mut self, uid: ApplicationUid) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        let alive = application.executors().count();
        if application.entries <= 2 * alive + SLACK || !self.out.has_room(STEP_RECORDS + 2, STEP_ENTRIES * 1024) {
            return;
        }
        let mut moved: Vec<ExecutorRecord> = Vec::new();
        let mut deleted = Vec::new();
        while moved.len() < STEP_ENTRIES && deleted.len() < STEP_RECORDS && application.records.len() > 1 {
            let Some((sequence, ids)) = application.records.pop_first() else { break };
            application.entries -= ids.len();
            let alive = ids.iter().filter_map(|id| application.executor(*id));
            moved.extend(alive.filter(|executor| executor.stored_in == sequence).map(|e| (*e.record).clone()));
            deleted.push(sequence);
        }
        for sequence in deleted {
            self.out.write(Write::DeleteExecutors(uid, sequence));
        }
        self.store_moved(uid, moved);
    }

    fn store_moved(&mut self, uid: ApplicationUid, moved: Vec<ExecutorRecord>) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        if !moved.is_empty() {
            let sequence = application.next_record;
            application.next_record += 1;
            application.entries += moved.len();
            application.records.insert(sequence, moved.iter().map(|record| record.id).collect());
            for record in &moved {
                application.change(record.id, |executor| executor.stored_in = sequence);
            }
            let record = ExecutorsRecord { application: uid, sequence, executors: moved };
            self.out.write(Write::PutExecutors(Arc::new(record)));
        }
        // The numbers of dropped executors must not be given again.
        let record = Arc::make_mut(&mut application.record);
        record.version += 1;
        record.next_executor = application.next_executor;
        record.next_executors_record = application.next_record;
        self.out.write(Write::PutApplication(Arc::clone(&application.record)));
    }
}
