//! What the link wants done.

use std::time::Duration;

use muster_types::{Acknowledgement, ClusterUid, Epoch, Incarnation, Report, Session, Time, WorkerCommand};

use super::RememberedCluster;

/// One thing to do. The effects for the runner ([`LinkEffect::RenewLease`], [`LinkEffect::Obey`],
/// [`LinkEffect::AskInventory`], [`LinkEffect::Forget`]) go into one queue, in the order in which
/// they are drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEffect {
    /// Open a stream to this address, under this session. Answered by `Connected` or `Broken`.
    Dial(Session, String),
    /// Drop the stream of this session, opened or not. Nothing of it is read any more.
    Close(Session),
    /// Send the hello on this stream.
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
    /// Ask the runner for its inventory, after everything sent to it before; answered by
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
    /// The master has made the end of an attempt durable: the runner may forget it.
    Forget(Acknowledgement),
    /// The lease has ended and the runner does not answer: end leased trees without it.
    FenceWithoutRunner,
    /// Keep one call open to this master that tells who leads; no other watch is open then.
    /// Answered by `LeaderSeen` at once and with each change, and by `WatchBroken` when it ends.
    Watch(String),
    /// Drop the watch.
    Unwatch,
    /// The addresses of the masters, as they are now known. They are to be stored beside the epoch,
    /// if that works.
    Masters(Vec<String>),
    /// For the log.
    Say(Notice),
}

/// Events for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A master refused this worker.
    Refused {
        /// The stable word of the refusal.
        refusal: String,
        /// A text for people.
        message: String,
    },
    /// The master belongs to another cluster than the one that was joined.
    WrongCluster {
        /// The cluster that was joined.
        joined: ClusterUid,
        /// The cluster of the master.
        offered: ClusterUid,
    },
    /// A master's epoch is lower than the highest seen, or equal to it and of another leader.
    StaleLeader {
        /// The highest seen.
        seen: Epoch,
        /// The epoch of the master.
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
