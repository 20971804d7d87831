//! Where the outputs of a stage are, as executors are told.

use std::collections::BTreeMap;

use muster_dag::{OutputLocation, Scheduler, StageId};
use muster_proto::v1;
use muster_types::ExecutorId;

/// The keepers of the outputs of a stage, with the addresses of those that are linked.
pub(super) fn output_locations<'a>(
    scheduler: &Scheduler,
    stage: StageId,
    address: impl Fn(ExecutorId) -> Option<&'a str>,
) -> v1::OutputLocations {
    let mut keepers: BTreeMap<ExecutorId, Vec<u32>> = BTreeMap::new();
    for (partition, location) in (0..).zip(scheduler.outputs(stage)) {
        match location {
            Some(OutputLocation::Executor(executor)) => keepers.entry(executor).or_default().push(partition),
            // No agent keeps outputs yet. What is not named is missed by the reader.
            Some(OutputLocation::Worker(_)) | None => {}
        }
    }
    let keepers = keepers.into_iter().filter_map(|(executor, partitions)| {
        let address = address(executor)?.to_owned();
        Some(v1::OutputKeeper { executor_id: executor.0, address, partitions })
    });
    v1::OutputLocations { stage: stage.0, keepers: keepers.collect() }
}
