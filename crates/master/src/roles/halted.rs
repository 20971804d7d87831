//! The role of a leader whose store went back in time: it keeps the key and does nothing.

use muster_store::{Candidate, Leader};

use super::standby::{MasterProcess, Standby};
use crate::clock;
use crate::stop::until_stopped;

/// A leader that found its store restored from the past. It keeps the key, so that no other master
/// acts on this store, until `muster-master recover` deletes every key and raises the generation.
pub(crate) struct Halted<C: Candidate> {
    pub(super) node: MasterProcess<C>,
    pub(super) term: Leader<C::Store>,
}

impl<C: Candidate> Halted<C>
where
    C::Store: 'static,
{
    /// Waits until the key is gone; `Err` if the process is told to stop first.
    pub(crate) async fn run(self) -> Result<Standby<C>, MasterProcess<C>> {
        let Halted { mut node, term } = self;
        let mut stop = node.stop.clone();
        let stopped = tokio::select! {
            () = clock::past(term.deadline.clone()) => false,
            () = until_stopped(&mut stop) => true,
        };
        node.candidate.resign(term).await;
        if stopped {
            return Err(node);
        }
        node.slot.set(None);
        Ok(Standby(node))
    }
}
