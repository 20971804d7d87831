//! What waits for the commit loop: two bounded queues, workers before callers.

use muster_core::Input;
use tokio::sync::mpsc;

use super::pending_call::PendingCall;

/// Calls that may wait. At 15,000 a second this is a quarter of a second of work; beyond, callers
/// are told at once.
pub(crate) const CALLS: usize = 4096;
/// Inputs of links, sessions and expiry that may wait; their senders wait for room.
const LINK_INPUTS: usize = 1024;

/// The sender's side for workers' links, broken sessions and expiry.
pub(crate) type LinkInputs = mpsc::Sender<Input>;

/// The senders' side.
#[derive(Debug, Clone)]
pub(crate) struct InputSender {
    /// For callers: refused when full.
    pub calls: mpsc::Sender<PendingCall>,
    /// For everything that is not a call: waits when full.
    pub links: LinkInputs,
}

/// The commit loop's side.
#[derive(Debug)]
pub(crate) struct InputQueue {
    calls: mpsc::Receiver<PendingCall>,
    links: mpsc::Receiver<Input>,
}

/// Both sides.
pub(crate) fn input_queue() -> (InputSender, InputQueue) {
    let (calls, asked) = mpsc::channel(CALLS);
    let (links, linked) = mpsc::channel(LINK_INPUTS);
    (InputSender { calls, links }, InputQueue { calls: asked, links: linked })
}

/// What was taken at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// From links, sessions and expiry; handled first, so that a flood of callers never starves the
    /// workers.
    pub links: Vec<Input>,
    /// From callers.
    pub calls: Vec<PendingCall>,
}

impl Batch {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.links.len() + self.calls.len()
    }
}

impl InputQueue {
    /// Waits for something, then takes all that waits, up to `bound`. `false`: every sender is
    /// gone.
    pub(crate) async fn take(&mut self, batch: &mut Batch, bound: usize) -> bool {
        tokio::select! {
            biased;
            taken = self.links.recv_many(&mut batch.links, bound) => if taken == 0 { return false },
            taken = self.calls.recv_many(&mut batch.calls, bound) => if taken == 0 { return false },
        }
        while batch.len() < bound {
            let Ok(input) = self.links.try_recv() else { break };
            batch.links.push(input);
        }
        while batch.len() < bound {
            let Ok(ask) = self.calls.try_recv() else { break };
            batch.calls.push(ask);
        }
        true
    }

    /// Takes no more calls, and hands out those that wait.
    pub(crate) fn close(&mut self) -> Vec<PendingCall> {
        self.calls.close();
        self.links.close();
        std::iter::from_fn(|| self.calls.try_recv().ok()).collect()
    }
}
