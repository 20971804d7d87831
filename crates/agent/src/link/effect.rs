//! What the link wants done.

use std::time::Duration;

use muster_types::{Acknowledgement, ClusterUid, Epoch, Incarnation, Report, Session, Time, WorkerCommand};

use super::RememberedCluster;

/// One thing to do. Those that go to the runner ([`LinkEffect::RenewLease`], [`LinkEffect::Obey`],
/// [`LinkEffect::AskInventory`], [`LinkEffect::Forget`]) go down one queue, in the order in which
/// they are drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEffect {
    /// Open a stream to this address, under this session. Answered by `Connected` or `Broken`.
    Dial(Session, String),
    /// Drop the stream of this session, opened or not. Nothing of it is heard any more.
    Close(Session),
    /// Say hello on it.
    SendHello {
        /// The stream.
        session: Session,
        /// Incarnation of the runner.
        incarnation: Incarnation,
        /// The cluster that was joined.
        cluster: Option<ClusterUid>,
        /// The highest epoch seen.
        epoch: Option<Epoch>,
    },
    /// Write this to disk, synced; answered by `Persisted`.
    Persist(RememberedCluster),
    /// Ask the runner for its inventory, behind everything that it was told before; answered by
    /// `Inventory`.
    AskInventory(Session),
    /// Send a part of the inventory; the flag is set on the last.
    SendInventory(Session, Vec<Report>, bool),
    /// The worker is registered: its inventory is on its way up.
    Registered(Session, Epoch),
    /// Send a heartbeat, ahead of everything else that waits.
    SendHeartbeat(Session, u64),
    /// Send reports.
    SendReports(Session, Vec<Report>),
    /// Tell the runner that leases now count from `sent`.
    RenewLease {
        /// Sending time of the newest hello or heartbeat that was answered.
        sent: Time,
        /// Length of the lease.
        lease: Duration,
    },
    /// Carry out commands, in order.
    Obey(Vec<WorkerCommand>),
    /// An end is durable at the master: the runner may forget it.
    Forget(Acknowledgement),
    /// The lease has ended and the runner does not answer: end leased trees without it.
    FenceWithoutRunner,
    /// Watch at this master who leads, with no other watch beside; answered by `LeaderSeen` at once
    /// and with each change, and by `WatchBroken` when it ends.
    Watch(String),
    /// Drop the watch.
    Unwatch,
    /// Addresses of masters, as they are now known. To be remembered beside the epoch, as far as
    /// that works.
    Masters(Vec<String>),
    /// For the log.
    Say(Notice),
}

/// What people may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A master refused this worker.
    Refused {
        /// The stable word.
        refusal: String,
        /// For people.
        message: String,
    },
    /// The master belongs to another cluster than the one that was joined.
    WrongCluster {
        /// Joined.
        joined: ClusterUid,
        /// Offered.
        offered: ClusterUid,
    },
    /// A master's epoch is lower than the highest seen, or equal and another's.
    StaleLeader {
        /// The highest seen.
        seen: Epoch,
        /// Offered.
        offered: Epoch,
    },
    /// A master broke the protocol.
    Nonsense(&'static str),
    /// A master said goodbye.
    Goodbye(String),
    /// Two heartbeats were not answered.
    Unanswered,
    /// The lease ended.
    LeaseEnded,
    /// Commands were for another incarnation, and dropped.
    OtherIncarnation(Incarnation),
}
