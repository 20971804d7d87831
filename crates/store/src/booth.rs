//! The election of a store that only one process can hold: it stands alone.

use crate::{Election, ElectionKeeper, Member, Standing, clock};
use muster_types::Epoch;

/// Shows the one member, while it leads.
#[derive(Debug)]
pub(crate) struct Booth {
    address: String,
    version: String,
    keeper: ElectionKeeper,
    election: Election,
}

impl Booth {
    pub(crate) fn new(address: String, version: String) -> Booth {
        let (keeper, election) = Election::kept(Standing::default());
        Booth { address, version, keeper, election }
    }

    pub(crate) fn election(&self) -> Election {
        self.election.clone()
    }

    pub(crate) fn won(&self, epoch: Epoch) {
        let (address, version) = (self.address.clone(), self.version.clone());
        let member = Member { epoch, address, version, since: clock::wall() };
        self.keeper.set(Standing {
            members: vec![member],
            own: Some(0),
            generation: epoch.generation,
            went_back: false,
        });
    }

    pub(crate) fn resigned(&self) {
        let generation = self.election.standing().generation;
        self.keeper.set(Standing { generation, ..Standing::default() });
    }
}
