//! The inputs of the link.

use std::time::Duration;

use muster_types::{Acknowledgement, ClusterUid, Epoch, Incarnation, Report, Session, WorkerCommand};

use super::RememberedCluster;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkInput {
    /// A runner of this incarnation was adopted or started. Its connection is new: nothing that an
    /// older connection held counts any more.
    RunnerReady(Incarnation),
    /// The runner did not answer in time. No heartbeat goes out until it does.
    RunnerSilent,
    /// The runner answers again, on the same connection.
    RunnerAnswers,
    /// The runner's process or the connection to it is gone.
    RunnerGone,
    /// The stream of this session is open; nothing was sent on it yet.
    Connected(Session),
    /// The stream of this session could not be opened, or ended.
    Broken(Session),
    /// A message came down the stream of this session.
    Down(Session, NumberedDownlink),
    /// This is on disk.
    Persisted(RememberedCluster),
    /// The runner's answer to [`super::LinkEffect::AskInventory`]: every attempt whose end is not
    /// acknowledged.
    Inventory(Session, Vec<Report>),
    /// The runner's reports of changes.
    Reports(Vec<Report>),
    /// The watched master says who leads.
    LeaderSeen(LeaderSeen),
    /// The watch on this master could not be started, or ended.
    WatchBroken(String),
    /// Time has passed.
    Tick,
}

/// What a watched master says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderSeen {
    /// The address of that master.
    pub from: String,
    /// Address and epoch of the leader, if it knows one.
    pub leader: Option<(String, Epoch)>,
    /// Addresses of the masters that it knows.
    pub masters: Vec<String>,
}

/// A message from a master, with the epoch and the session that every message down carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedDownlink {
    /// The leader's epoch; absent only in the goodbye of a master that does not lead.
    pub epoch: Option<Epoch>,
    /// The session that it answers.
    pub session: Session,
    /// The message.
    pub message: DownlinkMessage,
}

/// What a master says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownlinkMessage {
    /// The hello was taken.
    Welcome(Welcome),
    /// The heartbeat of this number was heard by a leader.
    HeartbeatAnswer(u64),
    /// Commands for this incarnation, in order.
    Commands(Incarnation, Vec<WorkerCommand>),
    /// These reports are durable at the master.
    Acknowledgements(Vec<Acknowledgement>),
    /// The stream ends.
    Goodbye(ReceivedGoodbye),
    /// The known masters have changed: the addresses of all of them.
    Masters(Vec<String>),
}

/// What the leader dictates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The cluster.
    pub cluster: ClusterUid,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Length of the lease.
    pub lease: Duration,
    /// Addresses of the masters that are known.
    pub masters: Vec<String>,
}

/// A goodbye, as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedGoodbye {
    /// Why the stream ends.
    pub reason: GoodbyeReason,
    /// A text for people.
    pub message: String,
}

/// Why a master ends the stream, and what the worker does then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoodbyeReason {
    /// No reason was given: dial again after a while.
    Unknown,
    /// The master goes away: dial another.
    Shutdown,
    /// Say hello anew, at once.
    SayHello,
    /// A newer stream of this worker was taken. On the current stream it means that another process
    /// says hello as this worker.
    Superseded,
    /// Refused under this stable word; it is of no use to try again soon.
    Refused(String),
    /// This master does not lead. It names the leader if it knows one.
    NotLeader(Option<String>),
    /// Too many hellos at once.
    Busy,
}
