//! Orders for the runner, in one queue: commands, renewals and the question for the inventory keep
//! their order.

use muster_agent::runner_protocol::{KillReason, Renewal};
use muster_types::{Acknowledgement, AttemptKey, Session, WorkerCommand};
use tokio::sync::mpsc;

use super::fence;
use crate::attempts::Attempts;
use crate::protection;

/// Orders that may wait. A batch of commands is one.
const ORDERS: usize = 4_096;

/// Numbers the connections to the runner. An order is for the connection that its giver knew of. If
/// the runner has ended meanwhile, the order is void, since the next runner has another
/// incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionNumber(pub u64);

/// One order.
#[derive(Debug)]
pub enum RunnerOrder {
    /// Commands of the leader.
    Obey(Vec<WorkerCommand>),
    /// Ask for the inventory, for the stream of this session.
    AskInventory(Session),
    /// The lease counts from a later sending time.
    Renew(Renewal),
    /// The end of an attempt is durable.
    Forget(Acknowledgement),
    /// End an attempt for a reason of the worker's own.
    End(AttemptKey, KillReason),
}

/// There is no room, so the order was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrdersFull;

/// The sending end of the queue.
#[derive(Debug, Clone)]
pub struct RunnerOrders {
    queue: mpsc::Sender<(ConnectionNumber, RunnerOrder)>,
    connection: ConnectionNumber,
    attempts: Attempts,
}

impl RunnerOrders {
    /// The two ends of a new queue.
    pub fn channel(attempts: Attempts) -> (RunnerOrders, mpsc::Receiver<(ConnectionNumber, RunnerOrder)>) {
        let (queue, orders) = mpsc::channel(ORDERS);
        (RunnerOrders { queue, connection: ConnectionNumber::default(), attempts }, orders)
    }

    /// From here on, orders are for this connection.
    pub fn turn_to(&mut self, connection: ConnectionNumber) {
        self.connection = connection;
    }

    /// Puts an order at the end.
    pub fn give(&self, order: RunnerOrder) -> Result<(), OrdersFull> {
        self.queue.try_send((self.connection, order)).map_err(|_| OrdersFull)
    }

    /// Ends the leased trees without the runner, which does not answer, on a thread of its own.
    pub fn fence_without_runner(&self) {
        let leased = self.attempts.running().into_iter().filter(|known| known.facts.leased);
        let attempts: Vec<AttemptKey> = leased.map(|known| known.report.attempt).collect();
        tracing::error!(count = attempts.len(), "the runner does not answer at the lease's end: ending leased trees");
        tokio::task::spawn_blocking(move || protection::hurry(|| fence::end_trees(&attempts)));
    }
}
