//! What the agent keeps on disk of the link: the cluster and the highest epoch, nothing else.

use muster_types::{ClusterUid, Epoch, EpochCheck};

/// The cluster and the epoch that are kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedCluster {
    /// The cluster that was joined.
    pub cluster: ClusterUid,
    /// The highest epoch seen in it.
    pub epoch: Epoch,
}

/// What was seen, what of it is on disk, and what is being written.
#[derive(Debug, Default)]
pub(super) struct EpochMemory {
    seen: Option<RememberedCluster>,
    durable: Option<RememberedCluster>,
    asked: Option<RememberedCluster>,
}

/// How a welcome is judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Known and on disk.
    Durable,
    /// It must be on disk first; `true` if the write must still be requested.
    Pending(bool),
    /// Another cluster than the one joined.
    WrongCluster(ClusterUid),
    /// Lower than the highest epoch seen, which is given, or equal to it and of another leader.
    Stale(Epoch),
}

impl EpochMemory {
    pub(super) fn new(durable: Option<RememberedCluster>) -> EpochMemory {
        EpochMemory { seen: durable, durable, asked: None }
    }

    pub(super) fn cluster(&self) -> Option<ClusterUid> {
        self.seen.map(|seen| seen.cluster)
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.seen.map(|seen| seen.epoch)
    }

    /// Judges a welcome, and remembers its epoch if that is higher: from then on anything lower is
    /// refused, even before the epoch is on disk.
    pub(super) fn offer(&mut self, offered: RememberedCluster) -> Offer {
        if let Some(seen) = self.seen {
            if seen.cluster != offered.cluster {
                return Offer::WrongCluster(seen.cluster);
            }
            if seen.epoch.check(&offered.epoch) == EpochCheck::Refused {
                return Offer::Stale(seen.epoch);
            }
        }
        self.seen = Some(offered);
        if self.durable == Some(offered) {
            return Offer::Durable;
        }
        let ask = self.asked != Some(offered);
        self.asked = Some(offered);
        Offer::Pending(ask)
    }

    /// Called when a write is done.
    pub(super) fn persisted(&mut self, written: RememberedCluster) {
        self.durable = Some(written);
        if self.asked == Some(written) {
            self.asked = None;
        }
    }

    /// Whether exactly this is on disk.
    pub(super) fn is_durable(&self, remembered: &RememberedCluster) -> bool {
        self.durable.as_ref() == Some(remembered)
    }
}
