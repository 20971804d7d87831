//! The core with its clock. A panic of the core does not end the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use muster_core::{CallId, Core, Entropy, Group, Input, Request};
use muster_types::{Now, Time};

use super::pending_call::{CallReply, Calls, PendingCall};
use crate::clock;
use crate::entropy::KernelEntropy;
use crate::poison_inputs::InputDigest;

/// Decides for the commit loop: the core, or a simpler one in tests of the loop.
pub(crate) trait DecisionCore: Send + 'static {
    fn handle(&mut self, now: Now, entropy: &mut dyn Entropy, input: Input);
    /// Places waiting drivers and executors.
    fn place(&mut self, now: Now, entropy: &mut dyn Entropy);
    /// Returns the decisions since the last call, in order.
    fn drain(&mut self) -> Vec<Group>;
    /// When the core wants its next tick.
    fn next_deadline(&self) -> Option<Time>;
}

impl DecisionCore for Core {
    fn handle(&mut self, now: Now, entropy: &mut dyn Entropy, input: Input) {
        Core::handle(self, now, entropy, input);
    }

    fn place(&mut self, now: Now, entropy: &mut dyn Entropy) {
        Core::place(self, now, entropy);
    }

    fn drain(&mut self) -> Vec<Group> {
        Core::drain(self)
    }

    fn next_deadline(&self) -> Option<Time> {
        Core::next_deadline(self)
    }
}

/// The core panicked. Its state may be inconsistent, and is thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CorePanicked {
    /// The input that it was handling; `None` if nobody in particular sent it, as with a tick.
    pub input: Option<InputDigest>,
}

/// The core, with the time against which its deadlines are measured.
pub(crate) struct Decisions<M = Core> {
    core: M,
    entropy: KernelEntropy,
    /// How far the core's time lies behind the clock: the sum of all delays of the loop.
    behind: Duration,
}

impl<M: DecisionCore> Decisions<M> {
    pub(crate) fn new(core: M, entropy: KernelEntropy) -> Decisions<M> {
        Decisions { core, entropy, behind: Duration::ZERO }
    }

    /// Moves every deadline of the core by the time that the loop was late.
    pub(crate) fn extend_all(&mut self, late: Duration) {
        self.behind += late;
    }

    fn now(&self) -> Now {
        let now = clock::now();
        Now { time: now.time - self.behind, wall: now.wall }
    }

    /// How long until the core wants a tick.
    pub(crate) fn until_deadline(&self) -> Option<Duration> {
        self.core.next_deadline().map(|deadline| deadline.since(self.now().time))
    }

    /// Tells the core that time has passed.
    pub(crate) fn tick(&mut self) -> Result<(), CorePanicked> {
        self.guarded(None, |core, now, entropy| core.handle(now, entropy, Input::Tick))
    }

    /// Hands an input of a link, a session or expiry to the core.
    pub(crate) fn handle(&mut self, input: Input) -> Result<(), CorePanicked> {
        let digest = InputDigest::of_input(&input);
        self.guarded(digest, |core, now, entropy| core.handle(now, entropy, input))
    }

    /// Hands a call to the core, unless its caller has gone away: then nothing is done.
    pub(crate) fn call(&mut self, call: PendingCall, calls: &mut Calls) -> Result<(), CorePanicked> {
        let PendingCall { request, reply } = call;
        if reply.is_closed() {
            return Ok(());
        }
        let call = calls.enter(reply);
        let kept = KeptRequest::of(&request);
        let handled = self.guarded(None, |core, now, entropy| core.handle(now, entropy, Input::Call(call, request)));
        handled.map_err(|_| kept.panicked(call, calls))
    }

    /// Places what waits, and returns all decisions.
    pub(crate) fn decide(&mut self) -> Result<Vec<Group>, CorePanicked> {
        self.guarded(None, |core, now, entropy| {
            core.place(now, entropy);
            core.drain()
        })
    }

    fn guarded<T>(
        &mut self,
        input: Option<InputDigest>,
        act: impl FnOnce(&mut M, Now, &mut KernelEntropy) -> T,
    ) -> Result<T, CorePanicked> {
        let now = self.now();
        let (core, entropy) = (&mut self.core, &mut self.entropy);
        // The core is not used again after a panic.
        catch_unwind(AssertUnwindSafe(|| act(core, now, entropy))).map_err(|_| CorePanicked { input })
    }
}

/// A copy of a request, from which its digest is made if the core panics. The copy is cheap,
/// because requests hold their bulk behind pointers.
struct KeptRequest(Request);

impl KeptRequest {
    fn of(request: &Request) -> KeptRequest {
        KeptRequest(request.clone())
    }

    fn panicked(self, call: CallId, calls: &mut Calls) -> CorePanicked {
        calls.answer(call, CallReply::Failed);
        CorePanicked { input: Some(InputDigest::of_request(&self.0)) }
    }
}
