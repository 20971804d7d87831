//! The outputs of stages that this executor keeps: how they are made, kept, served and read.

mod block;
mod fetch;
mod locations;
mod scratch;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use muster_proto::v1;
use muster_types::Secret;

pub(crate) use fetch::{OutputReader, read_outputs};
pub(crate) use locations::OutputDirectory;
pub(crate) use serve::{OutputServer, serve_outputs};
pub(crate) use store::{KeptOutput, OutputStore};
pub(crate) use writer::{CombineValues, KeyTable, OutputWriter};

/// The outputs that an executor keeps, and what it needs to read those of others.
#[derive(Debug)]
pub(crate) struct ExecutorOutputs {
    pub(crate) store: Arc<OutputStore>,
    pub(crate) directory: OutputDirectory,
    pub(crate) reader: Arc<OutputReader>,
}

impl ExecutorOutputs {
    /// It must be called within a tokio runtime. What has no room in memory goes to the folder.
    pub(crate) fn new(executor: u32, folder: std::path::PathBuf, token: Secret) -> ExecutorOutputs {
        ExecutorOutputs {
            store: Arc::new(OutputStore::new(folder)),
            directory: OutputDirectory::default(),
            reader: Arc::new(OutputReader::new(executor, token)),
        }
    }

    /// Takes the driver's settings.
    pub(crate) fn configure(&self, terms: &v1::ExecutorRegistered) {
        self.store.configure(terms.output_memory_bytes, terms.output_codec());
        self.reader.configure(terms.fetch_bytes);
    }

    /// Forgets a stage.
    pub(crate) fn remove(&self, stage: u64) {
        self.store.remove(stage);
        self.directory.remove(stage);
    }
}
