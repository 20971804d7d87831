//! Who keeps the outputs of stages, and which of them are lost.

use std::collections::{BTreeMap, BTreeSet};

use muster_types::ExecutorId;

use crate::OutputLocation;
use crate::ids::{LocationIndex, StageSlot};

/// A keeper of outputs.
#[derive(Debug)]
struct LocationEntry {
    location: OutputLocation,
    /// What was made under this output epoch, or an earlier one, is lost. 0: nothing.
    lost_epoch: u64,
    /// Whether it leaves in good order. Fetches that fail there fail no stage.
    is_decommissioned: bool,
    /// What it keeps. An entry whose task has another location now is ignored.
    outputs: BTreeMap<StageSlot, Vec<u32>>,
}

/// All keepers of outputs.
#[derive(Debug, Default)]
pub(crate) struct OutputIndex {
    entries: Vec<LocationEntry>,
    by_location: BTreeMap<OutputLocation, LocationIndex>,
}

impl OutputIndex {
    /// The number of a keeper; a new one if it is not known.
    pub(crate) fn index(&mut self, location: OutputLocation) -> LocationIndex {
        let next = LocationIndex(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        let index = *self.by_location.entry(location).or_insert(next);
        if index == next {
            self.entries.push(LocationEntry {
                location,
                lost_epoch: 0,
                is_decommissioned: false,
                outputs: BTreeMap::new(),
            });
        }
        index
    }

    pub(crate) fn location(&self, index: LocationIndex) -> Option<OutputLocation> {
        self.entries.get(index.0 as usize).map(|entry| entry.location)
    }

    /// Adds an output. Returns whether it is the first one of its stage there.
    pub(crate) fn add(&mut self, index: LocationIndex, stage: StageSlot, partition: u32) -> bool {
        let Some(entry) = self.entries.get_mut(index.0 as usize) else { return false };
        let outputs = entry.outputs.entry(stage).or_default();
        outputs.push(partition);
        outputs.len() == 1
    }

    /// Whether anything may be there.
    pub(crate) fn keeps_any(&self, index: LocationIndex) -> bool {
        self.entries.get(index.0 as usize).is_some_and(|entry| !entry.outputs.is_empty())
    }

    /// Whether an output is lost that was made there under an output epoch.
    pub(crate) fn is_lost(&self, index: LocationIndex, output_epoch: u64) -> bool {
        self.entries.get(index.0 as usize).is_some_and(|entry| output_epoch <= entry.lost_epoch)
    }

    /// Takes all outputs away from a keeper, and refuses what was made there up to an output epoch.
    pub(crate) fn lose(&mut self, index: LocationIndex, output_epoch: u64) -> BTreeMap<StageSlot, Vec<u32>> {
        let Some(entry) = self.entries.get_mut(index.0 as usize) else { return BTreeMap::new() };
        entry.lost_epoch = entry.lost_epoch.max(output_epoch);
        std::mem::take(&mut entry.outputs)
    }

    /// Refuses whatever is said to be at a keeper that is gone for ever.
    pub(crate) fn close(&mut self, index: LocationIndex) {
        if let Some(entry) = self.entries.get_mut(index.0 as usize) {
            entry.lost_epoch = u64::MAX;
        }
    }

    pub(crate) fn set_decommissioned(&mut self, executor: ExecutorId) {
        let index = self.index(OutputLocation::Executor(executor));
        if let Some(entry) = self.entries.get_mut(index.0 as usize) {
            entry.is_decommissioned = true;
        }
    }

    pub(crate) fn is_decommissioned(&self, index: LocationIndex) -> bool {
        self.entries.get(index.0 as usize).is_some_and(|entry| entry.is_decommissioned)
    }

    /// Forgets the outputs of a stage, which are or were at these locations.
    pub(crate) fn forget(&mut self, stage: StageSlot, locations: &BTreeSet<LocationIndex>) {
        for index in locations {
            if let Some(entry) = self.entries.get_mut(index.0 as usize) {
                entry.outputs.remove(&stage);
            }
        }
    }
}
