//! Faults that are put into the code on purpose: the simulation is worth as much as it catches of
//! them.
//!
//! Where a check is in the shell that the world plays (store, master's loop, agent's loop), the
//! fault is a switch there. Where a check is inside the real `core` or `agent`, the fault rewrites
//! what crosses the boundary, so that the check has no effect.

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// The store applies transactions even if the leader's key is gone.
    EpochGuardOff,
    /// Effects are released when their transaction is sent.
    SendBeforeWrite,
    /// A late report of an earlier attempt is taken for one of the open attempt.
    AttemptCheckOff,
    /// Messages of an older stream are taken for the present one's, by both ends.
    SessionCheckOff,
    /// A hello of a new runner is taken for one of the incarnation that is known, and commands for
    /// any incarnation are obeyed.
    IncarnationCheckOff,
    /// Workers are given a lease that ends after the worker timeout.
    LeaseBeyondWait,
    /// The worker's lease counts from when an answer was received.
    LeaseFromReceipt,
    /// A heartbeat is answered at once, and entered in the liveness table when the commit loop
    /// comes to it.
    AnswerBeforeTable,
    /// Records are stored without the request that made them.
    RequestNotStored,
    /// Reports are acknowledged when their transaction is sent.
    AcknowledgeBeforeCommit,
    /// A standby leads with what it has followed, and does not read the rest after its win.
    LoadBeforeWin,
    /// A new leader does not know which executors were granted.
    ExecutorsForgotten,
    /// After an unknown outcome the state is loaded again under the same key.
    ReloadUnderSameKey,
    /// A new leader does not wait for workers from its win.
    NoWaitAfterWin,
    /// What is still in a dead agent's socket reaches the runner.
    OldSocketRead,
    /// The runner accepts leased attempts whether or not the lease stands, and does not hold them
    /// before they start: an attempt that waited for its artifacts through the end of one lease is
    /// started under the next.
    AcceptWithoutLease,
    /// The runner starts leased attempts whether or not the lease stands.
    StartWithoutLease,
    /// The runner thaws a confirmed attempt whether or not the lease stands.
    ThawWithoutLease,
    /// There is no guard: leased trees go on while agent and runner are stopped.
    GuardTakenAway,
    /// Clocks drift far beyond the promised bound. This is no fault of the code: more than one copy
    /// may then execute, and everything else still holds. Overlaps are counted and break no rule.
    DriftBeyondBound,
}

impl Sabotage {
    /// All faults of the code. Each must be caught.
    pub const ALL: [Sabotage; 19] = [
        Sabotage::EpochGuardOff,
        Sabotage::SendBeforeWrite,
        Sabotage::AttemptCheckOff,
        Sabotage::SessionCheckOff,
        Sabotage::IncarnationCheckOff,
        Sabotage::LeaseBeyondWait,
        Sabotage::LeaseFromReceipt,
        Sabotage::AnswerBeforeTable,
        Sabotage::RequestNotStored,
        Sabotage::AcknowledgeBeforeCommit,
        Sabotage::LoadBeforeWin,
        Sabotage::ExecutorsForgotten,
        Sabotage::ReloadUnderSameKey,
        Sabotage::NoWaitAfterWin,
        Sabotage::OldSocketRead,
        Sabotage::AcceptWithoutLease,
        Sabotage::StartWithoutLease,
        Sabotage::ThawWithoutLease,
        Sabotage::GuardTakenAway,
    ];
}
