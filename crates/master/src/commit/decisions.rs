//! The core with its clock, kept from taking the process down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use muster_core::{CallId, Core, Entropy, Group, Input, Request};
use muster_types::{Now, Time};

use super::pending_call::{CallReply, Calls, PendingCall};
use crate::clock;
use crate::entropy::KernelEntropy;
use crate::poison_inputs::InputDigest;

/// What the commit loop asks for decisions: the core, or in tests of the loop something simpler.
pub(crate) trait DecisionCore: Send + 'static {
    /// Takes one input.
    fn handle(&mut self, now: Now, entropy: &mut dyn Entropy, input: Input);
    /// Places what waits.
    fn place(&mut self, now: Now, entropy: &mut dyn Entropy);
    /// Hands over what was decided, in order.
    fn drain(&mut self) -> Vec<Group>;
    /// When a tick is wanted.
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

/// The core panicked: what it remembers may be torn, and is thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CorePanicked {
    /// What it was handling; `None` for what nobody sent (time, placement).
    pub input: Option<InputDigest>,
}

/// The core, with the time that its deadlines are measured in.
pub(crate) struct Decisions<M = Core> {
    core: M,
    entropy: KernelEntropy,
    /// How far the core's time lies behind the clock: the sum of all that this loop was late by.
    behind: Duration,
}

impl<M: DecisionCore> Decisions<M> {
    /// A loaded core.
    pub(crate) fn new(core: M, entropy: KernelEntropy) -> Decisions<M> {
        Decisions { core, entropy, behind: Duration::ZERO }
    }

    /// This loop was late: every deadline of the core moves by that much.
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

    /// Hands over what a link, a session or expiry says.
    pub(crate) fn handle(&mut self, input: Input) -> Result<(), CorePanicked> {
        let digest = InputDigest::of_input(&input);
        self.guarded(digest, |core, now, entropy| core.handle(now, entropy, input))
    }

    /// Hands over a call, unless its caller has gone away: then nothing is done.
    pub(crate) fn call(&mut self, ask: PendingCall, calls: &mut Calls) -> Result<(), CorePanicked> {
        let PendingCall { request, reply } = ask;
        if reply.is_closed() {
            return Ok(());
        }
        let call = calls.enter(reply);
        let kept = KeptRequest::of(&request);
        let handled = self.guarded(None, |core, now, entropy| core.handle(now, entropy, Input::Call(call, request)));
        handled.map_err(|_| kept.panicked(call, calls))
    }

    /// Places what waits, and takes out all that was decided.
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
        // What a panic leaves behind is never looked at again.
        catch_unwind(AssertUnwindSafe(|| act(core, now, entropy))).map_err(|_| CorePanicked { input })
    }
}

/// Enough of a request to know it again. Requests hold their bulk behind pointers, so this costs
/// little.
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
