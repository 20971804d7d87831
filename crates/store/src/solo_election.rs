//! The election of a store that only one process can hold.

use crate::{LeaderView, LeaderWatch, LeaderWatchKeeper, Member, clock};
use muster_types::Epoch;

/// Shows the only member, while it leads.
#[derive(Debug)]
pub(crate) struct SoloElection {
    address: String,
    version: String,
    keeper: LeaderWatchKeeper,
    election: LeaderWatch,
}

impl SoloElection {
    pub(crate) fn new(address: String, version: String) -> SoloElection {
        let (keeper, election) = LeaderWatch::kept(LeaderView::default());
        SoloElection { address, version, keeper, election }
    }

    pub(crate) fn election(&self) -> LeaderWatch {
        self.election.clone()
    }

    pub(crate) fn won(&self, epoch: Epoch) {
        let (address, version) = (self.address.clone(), self.version.clone());
        let member = Member { epoch, address, version, since: clock::wall() };
        self.keeper.set(LeaderView {
            members: vec![member],
            own: Some(0),
            generation: epoch.generation,
            rolled_back: false,
        });
    }

    pub(crate) fn resigned(&self) {
        let generation = self.election.view().generation;
        self.keeper.set(LeaderView { generation, ..LeaderView::default() });
    }
}
