//! Faults that are put between the scheduler and its executors on purpose: the checks are worth as
//! much as they catch of them.

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The scheduler does not hear that an executor is gone, and hears its heartbeats for ever.
    LossNotTold,
    /// A launch is carried out twice.
    LaunchTwice,
    /// Whoever asks may commit.
    CommitAlways,
    /// The end of an attempt now and then does not arrive.
    EndDropped,
    /// Executors register with twice the cores they have.
    CoresDoubled,
    /// A fetch that failed is reported as the task's own failure.
    FetchAsFailure,
    /// The loss of a worker is reported as an exit of each executor.
    LossAsExit,
    /// An attempt that runs is reported to have succeeded.
    SuccessInvented,
    /// One launch of a barrier stage is not carried out.
    BarrierSplit,
    /// Deadlines pass unnoticed.
    DeadlinesIgnored,
    /// A cancellation does not arrive.
    CancelDropped,
}

impl Sabotage {
    pub(crate) const ALL: [Sabotage; 11] = [
        Sabotage::LossNotTold,
        Sabotage::LaunchTwice,
        Sabotage::CommitAlways,
        Sabotage::EndDropped,
        Sabotage::CoresDoubled,
        Sabotage::FetchAsFailure,
        Sabotage::LossAsExit,
        Sabotage::SuccessInvented,
        Sabotage::BarrierSplit,
        Sabotage::DeadlinesIgnored,
        Sabotage::CancelDropped,
    ];
}
