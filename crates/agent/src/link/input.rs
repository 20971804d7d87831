//! What the link is told.

use std::time::Duration;

use muster_types::{Acknowledgement, ClusterUid, Epoch, Incarnation, Report, Session, WorkerCommand};

use super::RememberedCluster;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkInput {
    /// A runner of this incarnation was adopted or started. Its connection is fresh: what an older
    /// one held is void.
    RunnerReady(Incarnation),
    /// The runner did not answer in time. No heartbeat goes out until it does.
    RunnerSilent,
    /// The runner answers again, on the same connection.
    RunnerAnswers,
    /// The runner's process or the connection to it is gone.
    RunnerGone,
    /// The stream of this session is open: nothing was said on it yet.
    Connected(Session),
    /// The stream of this session could not be opened, or ended.
    Broken(Session),
    /// A message came down the stream of this session.
    Down(Session, NumberedDownlink),
    /// What was to be remembered is on disk.
    Persisted(RememberedCluster),
    /// The runner's answer to [`super::LinkEffect::AskInventory`]: all that is not acknowledged as
    /// ended.
    Inventory(Session, Vec<Report>),
    /// The runner tells of changes.
    Reports(Vec<Report>),
    /// The master that is watched says who leads.
    LeaderSeen(LeaderSeen),
    /// The watch on this master could not be begun, or ended.
    WatchBroken(String),
    /// Time has passed.
    Tick,
}

/// What a master that is watched says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderSeen {
    /// Address of the master that says it.
    pub from: String,
    /// Address and epoch of the leader, if it knows one.
    pub leader: Option<(String, Epoch)>,
    /// Addresses of the masters that it knows.
    pub masters: Vec<String>,
}

/// A message from a master, with the numbers that everything which goes down carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedDownlink {
    /// The leader's epoch; absent only where a master that does not lead says goodbye.
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
    /// Reports that are durable.
    Acknowledgements(Vec<Acknowledgement>),
    /// The stream ends.
    Goodbye(ReceivedGoodbye),
    /// The masters that are known have changed.
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

/// Why a master ends the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedGoodbye {
    /// Why.
    pub reason: GoodbyeReason,
    /// For people.
    pub message: String,
}

/// Why a master ends the stream, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoodbyeReason {
    /// Not said: dial again after a while.
    Unknown,
    /// The master goes away: dial another.
    Shutdown,
    /// Say hello anew, at once.
    SayHello,
    /// A newer stream of this worker was taken. On the current stream it means that somebody else
    /// says hello as this worker.
    Superseded,
    /// Refused under this stable word; of no use to repeat it soon.
    Refused(String),
    /// This master does not lead; perhaps it knows who does.
    NotLeader(Option<String>),
    /// Too many hellos at once.
    Busy,
}
