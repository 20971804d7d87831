//! A candidate that never leads, and an election that the test controls.

use std::sync::Arc;

use super::Master;
use muster_store::{
    Archive, CampaignError, Candidate, Leader, LeaderView, LeaderWatch, LeaderWatchKeeper, Member, MemoryStore,
};
use muster_types::{Epoch, LeaderUid, WallTime};

/// Stands by for ever.
pub struct Follower(LeaderWatch);

/// Lets the test decide who leads.
pub struct ElectionControl(Arc<LeaderWatchKeeper>);

impl Follower {
    /// Nobody leads yet.
    pub fn new() -> (Follower, ElectionControl) {
        let (keeper, election) = LeaderWatch::kept(LeaderView::default());
        (Follower(election), ElectionControl(Arc::new(keeper)))
    }
}

/// This master leads under this revision. The place of the test's own master is beyond the members,
/// so it is never next in standby order, and the test alone deposes.
pub fn view_of(address: &str, revision: u64) -> LeaderView {
    let member = |address: &str, revision| Member {
        epoch: Epoch { generation: 1, revision, leader: LeaderUid(u128::from(revision)) },
        address: address.to_owned(),
        version: String::new(),
        since: WallTime(1),
    };
    let members = vec![member(address, revision), member("follower:1", revision + 1000)];
    LeaderView { members, own: Some(2), generation: 1, ..LeaderView::default() }
}

impl ElectionControl {
    /// This master leads from now on, under this revision.
    pub fn lead(&self, address: &str, revision: u64) {
        self.0.set(view_of(address, revision));
    }

    /// Nobody leads from now on.
    pub fn vacate(&self) {
        self.0.set(LeaderView::default());
    }
}

/// A leader, and a standby that hands its calls on to it, with the same flags.
pub async fn leader_and_standby(flags: &[&str]) -> (Master, Master, ElectionControl) {
    let leader = Master::start(flags).await;
    let (follower, control) = Follower::new();
    control.lead(&leader.address, 1);
    let standby = Master::start_on(follower, flags).await;
    (leader, standby, control)
}

impl Candidate for Follower {
    type Store = MemoryStore;

    async fn campaign(&mut self) -> Result<Leader<MemoryStore>, CampaignError> {
        std::future::pending().await
    }

    fn election(&self) -> LeaderWatch {
        self.0.clone()
    }

    fn archive(&self) -> Archive {
        super::memory().archive()
    }

    async fn resign(&mut self, _leader: Leader<MemoryStore>) {}
}
