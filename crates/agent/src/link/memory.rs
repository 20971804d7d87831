//! What the agent keeps on disk of the link: the cluster and the highest epoch, nothing else.

use muster_types::{ClusterUid, Epoch, EpochCheck};

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedCluster {
    /// The cluster that was joined.
    pub cluster: ClusterUid,
    /// The highest epoch seen in it.
    pub epoch: Epoch,
}

/// What was seen, what of it is on disk, and what is on its way there.
#[derive(Debug, Default)]
pub(super) struct EpochMemory {
    seen: Option<RememberedCluster>,
    durable: Option<RememberedCluster>,
    asked: Option<RememberedCluster>,
}

/// What to make of a welcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Known and on disk.
    Durable,
    /// Must be on disk first; `true` when the write is still to be asked for.
    Pending(bool),
    /// Another cluster than the one joined.
    WrongCluster(ClusterUid),
    /// Not above the highest seen, which this is.
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

    /// Judges a welcome, and remembers what it raises: from here on anything lower is refused, on
    /// disk or not.
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

    /// A write is done.
    pub(super) fn persisted(&mut self, written: RememberedCluster) {
        self.durable = Some(written);
        if self.asked == Some(written) {
            self.asked = None;
        }
    }

    /// Whether this is what is on disk.
    pub(super) fn is_durable(&self, remembered: &RememberedCluster) -> bool {
        self.durable.as_ref() == Some(remembered)
    }
}
