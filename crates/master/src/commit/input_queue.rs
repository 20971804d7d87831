//! The two bounded queues of the commit loop: inputs of workers come before calls.

use muster_core::Input;
use tokio::sync::mpsc;

use super::pending_call::PendingCall;

/// Calls that may wait. At 15,000 a second this is a quarter of a second of work; further callers
/// are refused at once.
pub(crate) const CALLS: usize = 4096;
/// Inputs of links, sessions and expiry that may wait; beyond them, senders wait for room.
const LINK_INPUTS: usize = 1024;

/// The sender's side for workers' links, broken sessions and expiry.
pub(crate) type LinkInputs = mpsc::Sender<Input>;

/// The senders' side.
#[derive(Debug, Clone)]
pub(crate) struct InputSender {
    /// For calls, which are refused when the queue is full.
    pub calls: mpsc::Sender<PendingCall>,
    /// For all other inputs, whose senders wait when the queue is full.
    pub links: LinkInputs,
}

/// The commit loop's side.
#[derive(Debug)]
pub(crate) struct InputQueue {
    calls: mpsc::Receiver<PendingCall>,
    links: mpsc::Receiver<Input>,
}

pub(crate) fn input_queue() -> (InputSender, InputQueue) {
    let (calls, asked) = mpsc::channel(CALLS);
    let (links, linked) = mpsc::channel(LINK_INPUTS);
    (InputSender { calls, links }, InputQueue { calls: asked, links: linked })
}

/// The inputs of one turn of the loop.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Inputs of links, sessions and expiry. They are handled first, so that a flood of callers
    /// never starves the workers.
    pub links: Vec<Input>,
    pub calls: Vec<PendingCall>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.links.len() + self.calls.len()
    }
}

impl InputQueue {
    /// Waits for an input, then takes all that wait, up to `bound`. `false` once the senders are
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
            let Ok(call) = self.calls.try_recv() else { break };
            batch.calls.push(call);
        }
        true
    }

    /// Takes no more inputs, and returns the calls that wait.
    pub(crate) fn close(&mut self) -> Vec<PendingCall> {
        self.calls.close();
        self.links.close();
        std::iter::from_fn(|| self.calls.try_recv().ok()).collect()
    }
}
