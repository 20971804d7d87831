//! Where the outputs of stages are, as the driver has said last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_proto::v1;

/// The keepers of outputs by stage.
#[derive(Debug, Default)]
pub(crate) struct OutputDirectory {
    stages: Mutex<BTreeMap<u64, Arc<Vec<v1::OutputKeeper>>>>,
}

impl OutputDirectory {
    pub(crate) fn set(&self, locations: v1::OutputLocations) {
        self.lock().insert(locations.stage, Arc::new(locations.keepers));
    }

    pub(super) fn get(&self, stage: u64) -> Option<Arc<Vec<v1::OutputKeeper>>> {
        self.lock().get(&stage).cloned()
    }

    pub(crate) fn remove(&self, stage: u64) {
        self.lock().remove(&stage);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Vec<v1::OutputKeeper>>>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
