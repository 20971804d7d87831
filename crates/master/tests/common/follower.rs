//! A candidate that never leads, and an election that the test moves.

use std::sync::Arc;

use muster_store::{
    Archive, CampaignError, Candidate, Election, ElectionKeeper, Leader, Member, MemoryStore, Standing,
};
use muster_types::{Epoch, LeaderUid, WallTime};

/// Stands by for ever.
pub struct Follower(Election);

/// The test's hand on who leads.
pub struct Throne(Arc<ElectionKeeper>);

impl Follower {
    /// Nobody leads yet.
    pub fn new() -> (Follower, Throne) {
        let (keeper, election) = Election::kept(Standing::default());
        (Follower(election), Throne(Arc::new(keeper)))
    }
}

impl Throne {
    /// This master leads from now on, under this revision, and the follower comes second.
    pub fn seat(&self, address: &str, revision: u64) {
        let member = |address: &str, revision| Member {
            epoch: Epoch { generation: 1, revision, leader: LeaderUid(u128::from(revision)) },
            address: address.to_owned(),
            version: String::new(),
            since: WallTime(1),
        };
        let members = vec![member(address, revision), member("follower:1", revision + 1000)];
        // Third, so that the test alone deposes.
        self.0.set(Standing { members, own: Some(2), generation: 1, ..Standing::default() });
    }

    /// Nobody leads.
    pub fn vacate(&self) {
        self.0.set(Standing::default());
    }
}

impl Candidate for Follower {
    type Store = MemoryStore;

    async fn campaign(&mut self) -> Result<Leader<MemoryStore>, CampaignError> {
        std::future::pending().await
    }

    fn election(&self) -> Election {
        self.0.clone()
    }

    fn archive(&self) -> Archive {
        super::memory().archive()
    }

    async fn resign(&mut self, _leader: Leader<MemoryStore>) {}
}
