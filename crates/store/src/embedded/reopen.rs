//! Opens the database anew after a failed write.
//!
//! After such a write fjall accepts nothing more, even when there is room again. Only reading shows
//! whether the write was applied: its bytes may have reached the log before the failure, or while
//! the database was closed. The number of the newest transaction tells.

use super::contents::Contents;
use super::database::{self, Database, is_busy};
use super::keeper::{MARK, RECORDS, StoreThread};
use super::space::is_storage_full;
use crate::CommitError;
use crate::error::Cause;

impl StoreThread {
    /// Opens the database anew and reads its content: everything that was acknowledged, and perhaps
    /// the failed transaction.
    pub(super) fn reopen(&mut self) -> Result<(), CommitError> {
        self.database = None;
        let path = self.directory.join(RECORDS);
        let full = |source: Cause| CommitError::Full { path: path.clone(), source };
        database::sync_logs(&path).map_err(|error| match is_storage_full(&error) {
            true => full(error.into()),
            false => self.failed(error.into()),
        })?;
        let database = Database::open(&path).map_err(|error| match self.is_full(&error) || is_busy(&error) {
            true => full(error.into()),
            false => self.failed(error.into()),
        })?;
        let Contents { epoch, commit, checksums, .. } =
            Contents::read(&database).map_err(|error| self.failed(error.into()))?;
        // The epoch of a term that began on a full disk may be in the mark alone.
        let is_older = !self.has_epoch && epoch.revision < self.epoch.revision;
        if (epoch != self.epoch && !is_older) || (commit != self.commit && commit != self.commit.next()) {
            let (found, newest) = (commit.0, self.commit.0);
            let text =
                format!("transaction {newest} was acknowledged, the newest found after the disk was full is {found}");
            return Err(self.failed(text.into()));
        }
        self.has_epoch = epoch == self.epoch;
        (self.database, self.checksums, self.commit) = (Some(database), checksums, commit);
        self.acknowledge()
    }

    /// Raises the mark to the durable state. When there is no space, the mark stays as it is: it
    /// then detects less, and the transaction is durable without it.
    pub(super) fn acknowledge(&self) -> Result<(), CommitError> {
        match self.raise_mark() {
            Err(error) if !is_storage_full(&error) => {
                Err(CommitError::Database { path: self.directory.join(MARK), source: error.into() })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_types::Commit;

    use super::*;
    use crate::Transaction;
    use crate::conformance::{Sample, new_cluster};
    use crate::embedded::contents;

    /// A transaction of a sample's events.
    fn transaction(commit: Commit) -> Transaction {
        let events = Sample::new(commit.0).events(commit);
        Transaction { commit, writes: vec![muster_types::Write::PutEvents(events)] }
    }

    #[test]
    fn a_write_that_was_refused_and_is_there_all_the_same_is_applied() {
        let directory = tempfile::tempdir().unwrap();
        let mut thread = StoreThread::open(directory.path(), Some(new_cluster())).unwrap();
        let applied = transaction(Commit(1));
        let changes = contents::changes(applied.commit, &applied.writes, &mut thread.checksums);
        thread.write(changes).unwrap();
        assert_eq!(thread.commit, Commit(0), "nobody has said so yet");
        thread.reopen().unwrap();
        assert_eq!(thread.commit, Commit(1));
        thread.commit(0, &transaction(Commit(2))).unwrap();
        drop(thread);
        assert_eq!(StoreThread::open(directory.path(), None).unwrap().commit, Commit(2));
    }

    #[test]
    fn a_write_that_was_refused_and_is_not_there_is_not_applied() {
        let directory = tempfile::tempdir().unwrap();
        let mut thread = StoreThread::open(directory.path(), Some(new_cluster())).unwrap();
        let refused = transaction(Commit(1));
        let _ = contents::changes(refused.commit, &refused.writes, &mut thread.checksums);
        thread.reopen().unwrap();
        assert_eq!(thread.commit, Commit(0));
        thread.commit(0, &refused).unwrap();
        drop(thread);
        assert_eq!(StoreThread::open(directory.path(), None).unwrap().commit, Commit(1));
    }

    #[test]
    fn a_store_that_has_less_than_was_acknowledged_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let mut thread = StoreThread::open(directory.path(), Some(new_cluster())).unwrap();
        thread.commit = Commit(7);
        let error = thread.reopen().unwrap_err();
        assert!(error.is_fatal(), "{error}");
    }
}
